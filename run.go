package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/pipeline/broker"
	"tallybook/pipeline/collector"
	"tallybook/pipeline/worker"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// parts are what a mode is wired from; a mode leaves out what it does not run.
type parts struct {
	cfg      *config
	log      *slog.Logger
	registry *prometheus.Registry
	release  func() // of the data folder
	listener net.Listener
	store    *store.Store
	keys     *api.Keys // of store; the collector runs it, and where there is none the mode
	archive  *archive.Archive
	broker   *broker.Broker // nil: an external Kafka
	kafka    *broker.Kafka
	mail     *mailParts
	router   *mux.Router
	topics   map[schemas.Topic]int // their partitions, where they are made sure of

	mounted atomic.Bool            // the router answers; until then front does
	waiting atomic.Pointer[string] // what for
}

// runAll is everything in one process, the default:
//
//	HTTP ► collector ─┐
//	Kafka clients ────┴► embedded broker ► workers ► SQLite + archive folder
//	HTTP ◄ query ◄──────────────────────────────────────┘    jobs on a schedule
func runAll(ctx context.Context, c *config) error {
	p, err := openAll(ctx, c)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.firstKey(ctx); err != nil {
		return err
	}
	p.announce()
	return p.serve(ctx)
}

// openAll opens everything that run needs, in the order in which a mistake in
// the set-up costs least: nothing listens before the data folder is ours.
func openAll(ctx context.Context, c *config) (_ *parts, err error) {
	if len(c.Brokers) > 0 {
		return nil, usageError{errors.New("run has its own broker; with --brokers use 'tallybook pipeline' and 'tallybook query'")}
	}
	p := newParts(c)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := c.loopbackOnly("kafka-listen", c.KafkaListen, "the embedded broker asks nobody for credentials"); err != nil {
		return nil, usageError{err}
	}
	if p.release, err = lockData(c.Data); err != nil {
		return nil, usageError{err}
	}
	if err := p.listen(); err != nil {
		return nil, err
	}
	if err := p.openStores(ctx); err != nil {
		return nil, err
	}
	p.broker, err = broker.Start(broker.Config{Dir: c.Data + "/kafka", Listen: c.KafkaListen, Advertise: c.Advertise, Partitions: c.Partitions,
		MaxLogBytes: c.LogMaxBytes, MaxMessageBytes: c.MaxRecord + 1<<20, Log: p.log})
	if err != nil {
		return nil, usageError{err}
	}
	p.kafka = broker.NewKafka(p.broker.Addr())
	if err := noteBroker(c.Data, p.broker.Addr()); err != nil {
		return nil, err
	}
	return p, nil
}

func newParts(c *config) *parts {
	p := &parts{cfg: c, log: c.logger(), registry: prometheus.NewRegistry(), router: mux.NewRouter()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p
}

func (p *parts) listen() error {
	if p.cfg.NoAuth {
		if err := p.cfg.loopbackOnly("http", p.cfg.HTTP, "with --no-auth every caller is an administrator"); err != nil {
			return usageError{err}
		}
	}
	l, err := net.Listen("tcp", p.cfg.HTTP)
	if err != nil {
		return usageError{fmt.Errorf("listen on %s: %w; choose another address with --http", p.cfg.HTTP, err)}
	}
	p.listener = l
	return nil
}

func (p *parts) openStores(ctx context.Context) (err error) {
	if err := os.MkdirAll(p.cfg.Data, 0o700); err != nil {
		return usageError{fmt.Errorf("data folder: %w", err)}
	}
	if p.store, err = store.Open(ctx, p.cfg.storeURL(), store.Options{Log: p.log, Now: p.cfg.now}); err != nil {
		return usageError{err}
	}
	if p.archive, err = archive.Open(p.cfg.archiveURL()); err != nil {
		return usageError{err}
	}
	if err := p.store.SyncMeters(ctx, p.cfg.Meters); err != nil {
		return usageError{err}
	}
	p.keys = api.NewKeys(p.store, p.cfg.now)
	return nil
}

func (p *parts) close() {
	if p.broker != nil {
		if err := p.broker.Close(); err != nil {
			p.log.Error("close broker", "error", err)
		}
	}
	if p.store != nil {
		if err := p.store.Close(); err != nil {
			p.log.Error("close store", "error", err)
		}
	}
	if p.listener != nil {
		p.listener.Close()
	}
	if p.release != nil {
		p.release()
	}
}

func (p *parts) announce() {
	if p.cfg.NoAuth {
		p.log.Warn("--no-auth: every caller is an administrator")
	}
	p.log.Info("tallybook is up", "http", "http://"+p.listener.Addr().String(), "kafka", p.kafka.Brokers[0], "data", p.cfg.Data)
}

// serve runs the parts until ctx ends: HTTP stops taking requests first, then
// the workers write what they have folded, then the broker closes.
func (p *parts) serve(ctx context.Context) error {
	workers := worker.New(p.workerConfig())
	s, err := p.services(ctx, workers)
	if err != nil {
		return err
	}
	return p.serving(ctx, func(g *errgroup.Group, ctx, collecting context.Context) error {
		g.Go(func() error { return s.collect.Run(collecting) })
		p.runMail(g, collecting)
		g.Go(func() error { return workers.Run(ctx) })
		g.Go(func() error { return s.schedule.Run(ctx) })
		g.Go(func() error { return s.answers.Warm(ctx) })
		g.Go(func() error { return p.trim(ctx) })
		return nil
	})
}

// serving answers HTTP from now on, and starts the parts beside it. The context
// collecting ends behind ctx: when the last request is answered.
func (p *parts) serving(ctx context.Context, start func(g *errgroup.Group, ctx, collecting context.Context) error) error {
	collecting, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCollecting()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stopCollecting()
		return p.serveHTTP(ctx)
	})
	g.Go(func() error { return start(g, ctx, collecting) })
	return g.Wait()
}

// services are what stands between HTTP and the parts, and the jobs; none runs yet.
type services struct {
	collect  *collector.Collector
	answers  *query.Server
	schedule *jobs.Runner
}

// services mounts every endpoint.
func (p *parts) services(ctx context.Context, workers *worker.Workers) (s services, err error) {
	if err := p.startMail(ctx); err != nil {
		return s, err
	}
	if err := p.ensureTopics(ctx); err != nil {
		return s, err
	}
	if s.collect, err = p.collector(); err != nil {
		return s, err
	}
	s.answers, err = p.answers(func() error { return errors.Join(workers.Ready(), s.collect.Ready()) })
	if err != nil {
		return s, err
	}
	if err := p.mount([]fs.FS{collector.OpenAPI, query.OpenAPI}, s.collect.Endpoints(), s.answers.Endpoints()); err != nil {
		return s, err
	}
	s.schedule, err = p.jobs()
	return s, err
}

// mount puts every endpoint behind the guard, and the document of them all with them.
func (p *parts) mount(fragments []fs.FS, endpoints ...[]api.Endpoint) error {
	var document []byte
	all := slices.Concat(append(endpoints, query.Docs(func() []byte { return document }))...)
	doc, err := api.PartialDocument(all, fragments...)
	if err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	doc.Info.Version = version
	if document, err = doc.MarshalJSON(); err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	guard := &api.Guard{Store: p.store, Keys: p.keys, Now: p.cfg.now, NoAuth: p.cfg.NoAuth, Local: !p.cfg.Insecure, Rate: p.cfg.RateLimit}
	if err := api.Mount(p.router, api.Options{Guard: guard, Registry: p.registry, Log: p.log}, all); err != nil {
		return err
	}
	p.mounted.Store(true)
	return nil
}

// firstKey prints the administrator's key of a new installation, this once: not
// through the log, which others may keep.
func (p *parts) firstKey(ctx context.Context) error {
	if p.cfg.NoAuth {
		return nil
	}
	text, err := p.store.FirstAdminKey(ctx)
	if err != nil || text == "" {
		return err
	}
	_, err = fmt.Printf("The administrator's key, shown this once ('tallybook keys create --role admin' makes another):\n\n  %s\n\n", text)
	return err
}

func (p *parts) rules() schemas.Rules {
	rules := schemas.DefaultRules()
	if oldest, err := p.cfg.oldest(); err == nil {
		rules.OldestTime = oldest.UnixMicro()
	}
	return rules
}

func (p *parts) workerConfig() worker.Config {
	folder := ""
	if p.cfg.DedupeDisk > 0 {
		folder = filepath.Join(p.cfg.Data, "dedupe")
	}
	return worker.Config{Brokers: p.kafka.Brokers, Client: p.kafka.Client(), Dialer: p.kafka.Dialer, Codec: p.kafka.Compression, Store: p.store, Archive: p.archive, Rules: p.rules(),
		Registry: p.registry, Log: p.log, Interval: p.cfg.Interval, MaxRecordBytes: p.cfg.MaxRecord + collector.StampBytes,
		DedupeWindow: p.cfg.DedupeSpan, DedupeMaxIDs: p.cfg.DedupeIDs, DedupeFolder: folder, DedupeFiles: p.cfg.DedupeDisk, Now: p.cfg.now}
}

func (p *parts) serveHTTP(ctx context.Context) error {
	server := collector.Server(p.cfg.HTTP, p.front())
	server.ErrorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)
	down := make(chan struct{})
	go func() {
		defer close(down)
		<-ctx.Done()
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(deadline); err != nil {
			server.Close()
		}
	}()
	if err := server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP server: %w", err)
	}
	<-down // requests under way are answered
	return nil
}

// ensureTopics makes topics that are not there.
func (p *parts) ensureTopics(ctx context.Context) (err error) {
	p.topics, err = p.kafka.EnsureTopics(ctx, p.cfg.Partitions, p.cfg.Replication)
	return err
}

// collector takes events over HTTP; the embedded broker's size limit is its
// back-pressure.
func (p *parts) collector() (*collector.Collector, error) {
	cfg := collector.Config{Kafka: p.kafka, Partitions: p.topics, Store: p.store, Keys: p.keys, DedupeWindow: p.cfg.DedupeSpan, Rules: p.rules(), Log: p.log, Metrics: p.registry, Now: p.cfg.now,
		MaxEventBytes: min(p.cfg.MaxRecord, 1<<20),
		Webhooks:      collector.Webhooks{MailgunKey: p.cfg.MailgunKey, MandrillKey: p.cfg.MandrillKey, PublicURL: p.cfg.PublicURL, Report: p.mail.report}}
	if p.broker != nil {
		cfg.Behind = p.broker.Full
	}
	return collector.New(cfg)
}

// storeWait is for a probe, which waits for a second or two itself: a store that
// hangs is to be told in words.
const storeWait = time.Second

func (p *parts) storeAnswers() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), storeWait, fmt.Errorf("the store does not answer within %s", storeWait))
	defer cancel()
	err := p.store.View(ctx, func(v *store.View) error {
		_, err := v.Positions()
		return err
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// trim lets the embedded broker forget what is safely counted.
func (p *parts) trim(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		positions := map[schemas.Partition]int64{}
		err := p.store.View(ctx, func(v *store.View) error {
			all, err := v.Positions()
			for _, pos := range all {
				positions[pos.Partition] = pos.Next
			}
			return err
		})
		if err == nil {
			err = p.broker.Trim(positions)
		}
		if err != nil && ctx.Err() == nil {
			p.log.Warn("trim the log", "error", err)
		}
	}
}

func (p *parts) jobs() (*jobs.Runner, error) {
	return jobs.NewRunner(jobs.RunnerConfig{Jobs: slices.Concat(jobs.Standard(p.store, p.archive), p.cfg.archiveJobs(p.store, p.archive), []jobs.Job{jobs.Outbox(p.mail.Sender), jobs.Alerts(alertConfig(p.cfg, p.store, p.mail.Sender)), p.cfg.invoiceJob(p.store, p.archive, p.kafka)}), Registry: p.registry, Store: p.store, Now: p.cfg.now, Log: p.log})
}
