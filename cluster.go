package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/api"
	"tallybook/jobs"
	"tallybook/mail"
	"tallybook/pipeline/broker"
	"tallybook/pipeline/collector"
	"tallybook/pipeline/worker"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// runPipeline is collector and workers on an external Kafka; any number of such
// processes share the partitions:
//
//	HTTP ► collector ─┐
//	Kafka clients ────┴► Kafka ► workers ► store + archive
func runPipeline(ctx context.Context, c *config) error {
	return runPart(ctx, c, "pipeline", func(p *parts, g *errgroup.Group, ctx, collecting context.Context) error {
		var err error
		if p.mail, err = newMail(c, mail.Options{Store: p.store, Registry: p.registry, Now: c.now}, p.kafka); err != nil {
			return err
		}
		collect, err := p.collector()
		if err != nil {
			return err
		}
		cfg := p.workerConfig()
		cfg.Partitions = collect.Partitions()
		cfg.MemberFile = filepath.Join(c.Data, "member")
		workers := worker.New(cfg)
		health, err := p.answers(func() error { return errors.Join(workers.Ready(), collect.Ready()) })
		if err != nil {
			return err
		}
		if err := p.mount([]fs.FS{collector.OpenAPI, query.OpenAPI}, collect.Endpoints(), health.Health()); err != nil {
			return err
		}
		p.announce()
		g.Go(func() error { return collect.Run(collecting) })
		g.Go(func() error { return workers.Run(ctx) })
		return nil
	})
}

// runQuery is HTTP answers only. With --brokers it sends mails too.
func runQuery(ctx context.Context, c *config) error {
	return runPart(ctx, c, "query", func(p *parts, g *errgroup.Group, ctx, collecting context.Context) error {
		if p.kafka != nil {
			var err error
			if p.mail, err = newMail(c, mail.Options{Store: p.store, Registry: p.registry, Now: c.now}, p.kafka); err != nil {
				return err
			}
		}
		answers, err := p.answers(nil)
		if err != nil {
			return err
		}
		if err := p.mount([]fs.FS{query.OpenAPI}, answers.Endpoints()); err != nil {
			return err
		}
		p.log.Info("tallybook answers", "http", "http://"+p.listener.Addr().String())
		if p.mail != nil {
			p.runMail(g, collecting)
		}
		g.Go(func() error { p.keys.Run(ctx); return nil })
		g.Go(func() error { return answers.Warm(ctx) })
		return nil
	})
}

// runJobs is schedules only; where several run, leases let one do each job.
func runJobs(ctx context.Context, c *config) error {
	return runPart(ctx, c, "jobs", func(p *parts, g *errgroup.Group, ctx, collecting context.Context) error {
		var err error
		if p.mail, err = newMail(c, mail.Options{Store: p.store, Registry: p.registry, Now: c.now}, p.kafka); err != nil {
			return err
		}
		health, err := p.answers(nil)
		if err != nil {
			return err
		}
		schedule, err := p.jobs()
		if err != nil {
			return err
		}
		if err := p.mount([]fs.FS{query.OpenAPI}, health.Health()); err != nil {
			return err
		}
		p.log.Info("tallybook keeps its schedules", "http", "http://"+p.listener.Addr().String())
		p.runMail(g, collecting)
		g.Go(func() error { return schedule.Run(ctx) })
		return nil
	})
}

func (p *parts) answers(ready func() error) (*query.Server, error) {
	cfg := query.Config{Store: p.store, Archive: p.archive, Registry: p.registry, Log: p.log, Now: p.cfg.now, Ready: func() error {
		if ready == nil {
			return p.storeAnswers()
		}
		return errors.Join(ready(), p.storeAnswers())
	}}
	if p.mail != nil {
		cfg.Mail = p.mail.Sender
	}
	if p.kafka != nil {
		cfg.LogEnds = func(ctx context.Context) (map[schemas.Partition]int64, error) { return logEnds(ctx, p.store, p.kafka) }
	}
	cfg.Prove = func(ctx context.Context, i *store.Invoice, say func(string)) (string, error) {
		err := proveStored(ctx, p.store, p.archive, i, say)
		if errors.Is(err, jobs.ErrNotProven) {
			return err.Error(), nil
		}
		return "", err
	}
	return query.New(cfg)
}

// runPart is a process of a cluster. It answers probes from the beginning and
// waits for the store and Kafka as long as it takes: what is down when it starts
// comes back as what goes down later does, without a restart.
func runPart(ctx context.Context, c *config, mode string, start func(p *parts, g *errgroup.Group, ctx, collecting context.Context) error) error {
	if mode != "query" && len(c.Brokers) == 0 {
		return usageError{errors.New(mode + " needs an external Kafka: --brokers host:port,…; for everything in one process use 'tallybook run'")}
	}
	p := newParts(c)
	defer p.close()
	var err error
	if len(c.Brokers) > 0 {
		if p.kafka, err = c.kafka(); err != nil {
			return usageError{err}
		}
	}
	if mode == "pipeline" {
		if p.release, err = lockData(c.Data); err != nil {
			return usageError{err}
		}
	}
	if err := p.listen(); err != nil {
		return err
	}
	return p.serving(ctx, func(g *errgroup.Group, ctx, collecting context.Context) error {
		if err := p.await(ctx, "the store", p.openStoresAway); err != nil {
			return err
		}
		if p.kafka != nil {
			err := p.await(ctx, "Kafka", func(ctx context.Context) error { return broker.Explain(p.ensureTopics(ctx)) })
			if err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		return start(p, g, ctx, collecting)
	})
}

const (
	awaitTry = 20 * time.Second // of one attempt: elections take seconds
	awaitMin = 500 * time.Millisecond
	awaitMax = 10 * time.Second
)

// openStoresAway tells a store that is away, hangs or is in use from a set-up that
// cannot work.
func (p *parts) openStoresAway(ctx context.Context) error {
	err := p.openStores(ctx)
	if err == nil {
		err = p.firstKey(ctx)
	}
	if err == nil {
		return nil
	}
	if p.store != nil {
		err = errors.Join(err, p.store.Close())
		p.store = nil
	}
	if errors.Is(err, store.ErrAway) || errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New(err.Error()) // no usage error
	}
	return err
}

// await tries until it is good, ctx ends or the set-up is found wrong; readiness
// says meanwhile what for.
func (p *parts) await(ctx context.Context, what string, try func(context.Context) error) error {
	for delay := awaitMin; ; delay = min(2*delay, awaitMax) {
		attempt, cancel := context.WithTimeout(ctx, awaitTry)
		err := try(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if errors.As(err, new(usageError)) {
			return err
		}
		why := "waiting for " + what + ": " + err.Error()
		p.waiting.Store(&why)
		p.log.Warn("start", "waiting for", what, "error", err, "in", delay)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// front answers probes until the endpoints are mounted.
func (p *parts) front() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.mounted.Load():
			p.router.ServeHTTP(w, r)
		case r.URL.Path == "/healthz":
			api.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		default:
			why := "starting"
			if s := p.waiting.Load(); s != nil {
				why = *s
			}
			w.Header().Set("Retry-After", "1")
			api.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": why})
		}
	})
}
