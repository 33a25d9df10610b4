package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tallybook/archive"
	"tallybook/pipeline/broker"
	"tallybook/pipeline/producer"
	"tallybook/pipeline/worker"
	"tallybook/schemas"
	"tallybook/store"
)

// PipelineConfig is one run: events are put into the embedded broker's log
// first, then the workers work them off against the clock.
type PipelineConfig struct {
	Dir        string // empty; removed by the caller
	Load       producer.GenerateConfig
	Partitions int
	Workers    worker.Config // what differs from the defaults
	Profile    string        // file for a CPU profile of the work; "": none
}

// PipelineResult is what a run took.
type PipelineResult struct {
	Events       int64
	Wall         time.Duration
	CPU          time.Duration // of the process: broker, workers, store, archive, garbage collection
	MaxRSS       int64         // bytes, while working off
	ParquetBytes int64
	Files        int
	Counted      int64
	Steps        string // mean time of each step of a checkpoint
}

func (r PipelineResult) String() string {
	return fmt.Sprintf("%9.0f events/s  %5.2f µs CPU/event  %5.1f Parquet bytes/event  %4d files  %4d MiB resident at most;%s",
		float64(r.Events)/r.Wall.Seconds(), float64(r.CPU.Microseconds())/float64(r.Events),
		float64(r.ParquetBytes)/float64(r.Events), r.Files, r.MaxRSS>>20, r.Steps)
}

// rig is a broker, a store and an archive in a folder.
type rig struct {
	dir     string
	broker  *broker.Broker
	kafka   *broker.Kafka
	store   *store.Store
	archive *archive.Archive
	log     *slog.Logger
}

func openRig(ctx context.Context, dir string, partitions int) (_ *rig, err error) {
	r := &rig{dir: dir, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	r.broker, err = broker.Start(broker.Config{Dir: filepath.Join(dir, "kafka"), Listen: "127.0.0.1:0",
		Partitions: partitions, MaxLogBytes: 64 << 30, Log: r.log})
	if err != nil {
		return nil, err
	}
	r.kafka = broker.NewKafka(r.broker.Addr())
	if r.store, err = store.Open(ctx, filepath.Join(dir, "tallybook.db"), store.Options{Log: r.log}); err != nil {
		return nil, err
	}
	r.archive, err = archive.Open(filepath.Join(dir, "archive"))
	return r, err
}

func (r *rig) close() {
	r.kafka.Close()
	if err := r.store.Close(); err != nil {
		r.log.Error("close store", "error", err)
	}
	if err := r.broker.Close(); err != nil {
		r.log.Error("close broker", "error", err)
	}
}

func (r *rig) workers(cfg worker.Config) *worker.Workers {
	cfg.Brokers, cfg.Client, cfg.Dialer = r.kafka.Brokers, r.kafka.Client(), r.kafka.Dialer
	cfg.Store, cfg.Archive, cfg.Log = r.store, r.archive, r.log
	return worker.New(cfg)
}

// preload puts the generator's events into the log with two producers.
func (r *rig) preload(ctx context.Context, load producer.GenerateConfig) (records int64, err error) {
	const producers = 2
	var sent atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for i := range int64(producers) {
		part := load
		part.BatchRecords, part.Now = 20_000, time.Now
		part.From = load.Events * i / producers
		stop := load.Events * (i + 1) / producers
		w := r.kafka.Writer("")
		g.Go(func() error {
			defer w.Close()
			ctx, done := context.WithCancel(ctx)
			defer done()
			at := part.From
			_, err := producer.Generate(ctx, part, func(records []kafka.Message) error {
				if n := stop - at; int64(len(records)) > n {
					records = records[:n]
				}
				at += int64(len(records))
				if at == stop {
					defer done()
				}
				if len(records) == 0 {
					return nil
				}
				sent.Add(int64(len(records)))
				return producer.Send(context.WithoutCancel(ctx), w, records)
			})
			if at == stop {
				return nil
			}
			return err
		})
	}
	return sent.Load(), g.Wait()
}

// drained waits until every partition's position is at its log's end.
func (r *rig) drained(ctx context.Context) error {
	ends := map[schemas.Partition]int64{}
	for _, topic := range schemas.Topics {
		for id := range r.broker.Partitions(topic) {
			tp := schemas.Partition{Topic: topic, ID: int32(id)}
			_, end, err := r.kafka.Offsets(ctx, tp)
			if err != nil {
				return err
			}
			if end > 0 {
				ends[tp] = end
			}
		}
	}
	for {
		behind := len(ends)
		err := r.store.View(ctx, func(v *store.View) error {
			positions, err := v.Positions()
			for _, p := range positions {
				if end, ok := ends[p.Partition]; ok && p.Next >= end {
					behind--
				}
			}
			return err
		})
		if err != nil || behind == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Pipeline runs one load.
func Pipeline(ctx context.Context, cfg PipelineConfig, progress io.Writer) (PipelineResult, error) {
	r, err := openRig(ctx, cfg.Dir, cfg.Partitions)
	if err != nil {
		return PipelineResult{}, err
	}
	defer r.close()
	began := time.Now()
	if _, err := r.preload(ctx, cfg.Load); err != nil {
		return PipelineResult{}, err
	}
	fmt.Fprintf(progress, "  %d events of shape %s in the log after %s\n", cfg.Load.Events, cfg.Load.Shape, time.Since(began).Round(time.Millisecond))
	debug.FreeOSMemory()
	resetPeak()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	registry := prometheus.NewRegistry()
	cfg.Workers.Registry = registry
	workers := r.workers(cfg.Workers)
	exited := make(chan error, 1)
	go func() { exited <- workers.Run(ctx) }()
	for workers.Ready() != nil { // joining the consumer group takes seconds of its own
		time.Sleep(time.Millisecond)
	}
	cpu := cpuTime()
	began = time.Now()
	if cfg.Profile != "" {
		stopProfile, err := CPUProfile(cfg.Profile)
		if err != nil {
			return PipelineResult{}, err
		}
		defer stopProfile()
	}
	if err := r.drained(ctx); err != nil {
		return PipelineResult{}, err
	}
	res := PipelineResult{Events: cfg.Load.Events, Wall: time.Since(began), CPU: cpuTime() - cpu, MaxRSS: peakRSS()}
	stop()
	if err := <-exited; err != nil {
		return res, err
	}
	if err := steps(registry, &res); err != nil {
		return res, err
	}
	return res, r.measure(context.WithoutCancel(ctx), &res)
}

// steps reads how long the steps of a checkpoint took from the workers' own
// metrics.
func steps(registry *prometheus.Registry, res *PipelineResult) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if f.GetName() != "tallybook_checkpoint_step_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			res.Steps += fmt.Sprintf("  %s %.0f ms", m.GetLabel()[0].GetValue(), 1000*h.GetSampleSum()/float64(h.GetSampleCount()))
		}
	}
	return nil
}

// measure adds what is in archive and store.
func (r *rig) measure(ctx context.Context, res *PipelineResult) error {
	return r.store.View(ctx, func(v *store.View) error {
		files, err := v.Files(store.FileFilter{})
		if err != nil {
			return err
		}
		res.Files = len(files)
		for _, f := range files {
			res.ParquetBytes += f.Bytes
			res.Counted += f.Rows
		}
		return nil
	})
}

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeak makes the kernel forget the highest resident size so far.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakRSS is the highest resident size in bytes since resetPeak; 0 where the
// system does not tell.
func peakRSS() int64 { return statusBytes("/proc/self/status", "VmHWM:") }

// CPUProfile writes one of this process to a file until stop.
func CPUProfile(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
