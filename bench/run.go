package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	_ "embed"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/producer"
	"tallybook/pipeline/worker"
)

//go:embed same_job.py
var duckdbScript []byte

// Config of a whole run.
type Config struct {
	Out     io.Writer
	Dir     string // where its data goes for a while; default the system's place for such
	Events  int64  // of each load of the pipeline
	Runs    int    // of each load; the median is printed last
	Only    []string
	Binary  string // tallybook, for the restart
	Profile string // file for a CPU profile of the last pipeline run; of each question one beside it
	Python  string // with duckdb; "": that part is left out
}

// Parts that Only may name.
var Parts = []string{"dense", "wide", "collector", "freshness", "restart", "query", "validate"}

func defaultWorkers() worker.Config { return worker.Config{} }

// Run prints a table of what it measures.
func Run(ctx context.Context, cfg Config) error {
	steps := map[string]func(context.Context, string) error{
		"dense":     func(ctx context.Context, dir string) error { return cfg.pipeline(ctx, producer.Dense, dir) },
		"wide":      func(ctx context.Context, dir string) error { return cfg.pipeline(ctx, producer.Wide, dir) },
		"collector": cfg.collectorPart, "freshness": cfg.freshnessPart, "restart": cfg.restartPart, "query": cfg.queryPart,
		"validate": cfg.validatePart,
	}
	for _, part := range Parts {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, part) {
			continue
		}
		if err := inFolder(ctx, cfg.Dir, steps[part]); err != nil {
			return fmt.Errorf("bench %s: %w", part, err)
		}
	}
	return nil
}

func inFolder(ctx context.Context, parent string, do func(context.Context, string) error) error {
	dir, err := os.MkdirTemp(parent, "tallybook-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return do(ctx, dir)
}

func (c *Config) printf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

func (c *Config) pipeline(ctx context.Context, shape producer.Shape, dir string) error {
	load := producer.GenerateConfig{Seed: 1, Events: c.Events, Shape: shape, DuplicateShare: 0.01, Now: time.Now}
	c.printf("%s: %d usage events, 1 %% duplicates, 4 partitions; log first, then worked off, all durable\n", shape, c.Events)
	var rates []float64
	for n := range c.Runs {
		run := filepath.Join(dir, fmt.Sprint(n))
		if err := os.Mkdir(run, 0o755); err != nil {
			return err
		}
		res, err := Pipeline(ctx, PipelineConfig{Dir: run, Load: load, Partitions: 4, Workers: defaultWorkers(), Profile: c.Profile}, c.Out)
		if err != nil {
			return err
		}
		c.printf("  tallybook  %s\n", res)
		rates = append(rates, float64(res.Events)/res.Wall.Seconds())
		if err := os.RemoveAll(run); err != nil {
			return err
		}
	}
	slices.Sort(rates)
	median := rates[len(rates)/2]
	c.printf("  tallybook  median of %d: %.0f events/s\n", c.Runs, median)
	if c.Python == "" {
		c.printf("  duckdb     left out: no --python with the duckdb package was named\n")
		return nil
	}
	return c.duckdb(ctx, load, dir, median)
}

// duckdb runs the same job there, on the same events as a plain file.
func (c *Config) duckdb(ctx context.Context, load producer.GenerateConfig, dir string, ours float64) error {
	load.Events = min(load.Events, 4_000_000) // it holds all of them in memory
	events := filepath.Join(dir, "events.ndjson")
	if err := writeEvents(ctx, load, events); err != nil {
		return err
	}
	script := filepath.Join(dir, "same_job.py")
	if err := os.WriteFile(script, duckdbScript, 0o644); err != nil {
		return err
	}
	var rates []float64
	for range c.Runs {
		cmd := exec.CommandContext(ctx, c.Python, script, events, filepath.Join(dir, "out.parquet"))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("duckdb: %w", err)
		}
		var seconds float64
		var counted, rows int64
		if _, err := fmt.Sscan(string(out), &seconds, &counted, &rows); err != nil {
			return fmt.Errorf("duckdb printed %q: %w", out, err)
		}
		rates = append(rates, float64(load.Events)/seconds)
		c.printf("  duckdb     %9.0f events/s  (%d events, plain file, 2 threads, one commit at the end)\n", float64(load.Events)/seconds, load.Events)
	}
	slices.Sort(rates)
	c.printf("  ratio      tallybook / duckdb = %.2f (medians)\n", ours/rates[len(rates)/2])
	return nil
}

func writeEvents(ctx context.Context, load producer.GenerateConfig, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = producer.Generate(ctx, load, func(records []kafka.Message) error {
		for i := range records {
			if _, err := w.Write(append(records[i].Value, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (c *Config) collectorPart(ctx context.Context, dir string) error {
	c.printf("collector: POST /api/v1/events, each answer behind an fsync of the log; clients on the same cores\n")
	for n := range c.Runs {
		for _, load := range []struct {
			name                        string
			connections, size, requests int
		}{{"batches of 500, 16 connections", 16, 500, 2000}, {"single events, 64 connections", 64, 1, 20_000}} {
			run := filepath.Join(dir, fmt.Sprintf("%d-%d", n, load.size))
			if err := os.Mkdir(run, 0o755); err != nil {
				return err
			}
			res, err := Collector(ctx, run, load.connections, load.size, load.requests)
			if err != nil {
				return err
			}
			c.printf("  %-32s %s\n", load.name, res)
		}
	}
	return nil
}

func (c *Config) freshnessPart(ctx context.Context, dir string) error {
	c.printf("freshness: from the 2xx to the meter query, 20,000 events/s over HTTP beside it, 30 s\n")
	res, err := Freshness(ctx, dir, 20_000, 30*time.Second)
	if err == nil {
		c.printf("  %s\n", res)
	}
	return err
}

func (c *Config) restartPart(ctx context.Context, dir string) error {
	c.printf("restart: 'tallybook run' with 5 million ids in the dedupe window\n")
	res, err := Restart(ctx, c.Binary, dir, 5_000_000)
	if err == nil {
		c.printf("  %s\n", res)
	}
	return err
}
