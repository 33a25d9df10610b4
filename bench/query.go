package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallybook/jobs"
	"tallybook/schemas"
)

const (
	liveEvery = time.Second // as a worker's checkpoints
	liveRows  = 2000
)

// queryQuestions are those whose latency is a goal. The months are the rows'.
func queryQuestions(shape queryShape) []*queryQuestion {
	day := lastMonth + 13
	between := func(from, to schemas.Day) string {
		return fmt.Sprintf(" AND hour >= %d AND hour < %d", from.Hour(), to.Hour())
	}
	totals := "/v3/accounts/totals?event=accepted&event=delivered&event=failed&event=opened&event=clicked&event=unsubscribed&event=complained&event=stored"
	ofMailer := func(int) string { return mailer }
	inTurn := func(n int) string { return accountName(n * 37 % shape.accounts) }
	mails := "SELECT domain, event, direction, transport, severity, reason, sum(n) FROM mails WHERE account = $account"
	threeMonths := between(firstMonth, lastMonth.MonthEnd())
	period := func(from, to string, first schemas.Day) string {
		return fmt.Sprintf("%s=%sT00:00:00Z&%s=%sT00:00:00Z", from, first, to, lastMonth.MonthEnd())
	}
	return []*queryQuestion{
		{name: "totals of 500 domains, a day", target: 10 * time.Millisecond, times: shape.asked, account: ofMailer,
			path: totals + "&timestamp=" + day.String() + "T12:00:00Z", sql: mails + between(day, day+1) + " GROUP BY ALL"},
		{name: "totals of 500 domains, the month", target: 10 * time.Millisecond, times: shape.asked, account: ofMailer,
			path: totals + "&resolution=month&timestamp=" + day.String() + "T12:00:00Z", sql: mails + between(lastMonth, lastMonth.MonthEnd()) + " GROUP BY ALL"},
		{name: "meter of an account, 3 months", target: 10 * time.Millisecond, times: shape.asked, account: inTurn,
			path: "/api/v1/meters/requests/query?" + period("from", "to", firstMonth),
			sql:  "SELECT sum(n) FROM requests WHERE account = $account" + threeMonths},
		{name: "meter of an account, 3 months by day", target: 10 * time.Millisecond, times: shape.asked, account: inTurn,
			path: "/api/v1/meters/requests/query?windowSize=DAY&" + period("from", "to", firstMonth),
			sql:  "SELECT hour // 24, sum(n) FROM requests WHERE account = $account" + threeMonths + " GROUP BY ALL ORDER BY 1"},
		{name: "summary of an account, 3 months", target: 10 * time.Millisecond, times: shape.asked, account: inTurn,
			path: "/v2/summary?groupby=type,endpoint&" + period("begin", "end", firstMonth),
			sql:  "SELECT endpoint, sum(n) FROM requests WHERE account = $account" + threeMonths + " GROUP BY ALL ORDER BY 1"},
		{name: "summary of all by endpoint, the month", target: 100 * time.Millisecond, times: max(1, shape.asked/5),
			path: "/v2/summary?groupby=endpoint&" + period("begin", "end", lastMonth),
			sql:  "SELECT endpoint, sum(n) FROM requests WHERE true" + between(lastMonth, lastMonth.MonthEnd()) + " GROUP BY ALL ORDER BY 1"},
	}
}

// queryBench is one run of the questions.
type queryBench struct {
	*Config
	now       time.Time
	shape     queryShape
	dir       string
	rows      *queryRows
	questions []*queryQuestion
	sums      []int64 // of the answers over the closed month
}

func (c *Config) queryPart(ctx context.Context, dir string) error {
	b := &queryBench{Config: c, shape: fullShape, dir: dir}
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.scanPart(ctx)
}

func (b *queryBench) run(ctx context.Context) error {
	b.questions, b.now = queryQuestions(b.shape), openHour.Time()
	if err := b.fill(ctx); err != nil {
		return err
	}
	b.printf("%-46s %6s %9s %9s %9s %9s %9s\n", "over HTTP, with a key, one at a time", "times", "p50 ms", "p99 ms", "max ms", "CPU ms", "goal p99")
	if err := b.month(ctx, "open, live", b.beside); err != nil {
		return err
	}
	b.now = lastMonth.MonthEnd().Time()
	if err := b.finish(ctx); err != nil {
		return err
	}
	if err := b.month(ctx, "closed", func(_ context.Context, _ *answerer, do func() error) error { return do() }); err != nil {
		return err
	}
	return b.peers(ctx)
}

// fill makes the rows up to the open hour, and builds what is closed by then.
func (b *queryBench) fill(ctx context.Context) error {
	a, err := openAnswerer(ctx, b.dir, b.now)
	if err != nil {
		return err
	}
	defer a.stop()
	folder := b.dir
	if b.Python == "" {
		folder = ""
	}
	if b.rows, err = newQueryRows(ctx, a.store, b.shape, folder); err != nil {
		return err
	}
	for d := range b.shape.domains {
		if _, _, err := a.store.PutDomain(ctx, "bench", mailer, domainName(d)); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := b.rows.fill(ctx, firstMonth.Hour(), openHour+1); err != nil {
		return err
	}
	filled := time.Now()
	if err := jobs.BuildRollups(ctx, a.store, b.now, nil); err != nil {
		return err
	}
	b.printf("query: %d hour rows of %d accounts, most of them in the last of 3 months, made in %s; days and months built in %s\n",
		b.rows.written, b.shape.accounts+1, filled.Sub(began).Round(time.Second), time.Since(filled).Round(time.Second))
	return nil
}

// finish makes the rest of the last month, and builds it.
func (b *queryBench) finish(ctx context.Context) error {
	a, err := openAnswerer(ctx, b.dir, b.now)
	if err != nil {
		return err
	}
	defer a.stop()
	b.rows.store = a.store
	if err := b.rows.fill(ctx, openHour+1, lastMonth.MonthEnd().Hour()); err != nil {
		return err
	}
	return jobs.BuildRollups(ctx, a.store, b.now, nil)
}

// beside does something while rows of the open hour are written.
func (b *queryBench) beside(ctx context.Context, a *answerer, do func() error) error {
	b.rows.store = a.store
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	written := make(chan error, 1)
	go func() {
		tick := time.NewTicker(liveEvery)
		defer tick.Stop()
		for {
			if err := b.rows.live(context.WithoutCancel(ctx), liveRows); err != nil {
				written <- err
				return
			}
			select {
			case <-ctx.Done():
				written <- nil
				return
			case <-tick.C:
			}
		}
	}()
	err := do()
	stop()
	return errors.Join(err, <-written)
}

// month asks every question, first in processes that know nothing yet, then in
// one that has read ahead what it reads ahead at its start.
func (b *queryBench) month(ctx context.Context, state string, with func(context.Context, *answerer, func() error) error) error {
	for _, q := range b.questions {
		var cold queryTimes
		for n := range b.shape.starts {
			err := b.fresh(ctx, with, func(a *answerer) error {
				one := *q
				one.times = 1
				if q.account != nil {
					one.account = func(int) string { return q.account(n) }
				}
				t, err := a.ask(ctx, &one, 0, "")
				cold.all, cold.cpu = append(cold.all, t.all...), cold.cpu+t.cpu/time.Duration(b.shape.starts)
				return err
			})
			if err != nil {
				return err
			}
		}
		slices.Sort(cold.all)
		b.line(q, state+", first after a start", cold)
	}
	return b.fresh(ctx, with, func(a *answerer) error {
		b.sums = b.sums[:0]
		cpu, began := cpuTime(), time.Now()
		if err := a.query.Warm(ctx); err != nil {
			return err
		}
		b.printf("%-46s %6s %9.2f %9s %9s %9.2f %9s  %s, behind the start\n", "rollups read ahead", "", ms(time.Since(began)), "", "", ms(cpuTime()-cpu), "", state)
		for _, q := range b.questions {
			file := ""
			if b.Profile != "" {
				file = b.Profile + "." + strings.NewReplacer(" ", "-", ",", "").Replace(state+" "+q.name)
			}
			t, err := a.ask(ctx, q, 0, file)
			if err != nil {
				return err
			}
			b.line(q, state, t)
			sum, err := a.sum(ctx, q)
			if err != nil {
				return err
			}
			b.sums = append(b.sums, sum)
		}
		return nil
	})
}

func (b *queryBench) fresh(ctx context.Context, with func(context.Context, *answerer, func() error) error, do func(*answerer) error) error {
	a, err := openAnswerer(ctx, b.dir, b.now)
	if err != nil {
		return err
	}
	defer a.stop()
	return with(ctx, a, func() error { return do(a) })
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b *queryBench) line(q *queryQuestion, state string, t queryTimes) {
	b.printf("%-46s %6d %9.2f %9.2f %9.2f %9.2f %9.0f  %s\n", q.name, len(t.all), ms(t.at(0.5)), ms(t.at(0.99)), ms(t.all[len(t.all)-1]), ms(t.cpu), ms(q.target), state)
}

func (b *queryBench) path(name string) string { return filepath.Join(b.dir, name) }
