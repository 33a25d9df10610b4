package main

import (
	"context"
	"fmt"
)

// growth works the same events off with an empty store and with one that has
// seen much: what a checkpoint touches must not depend on that.
func (c *cluster) growth(ctx context.Context, l *load) error {
	if err := l.generate(ctx, max(1, c.events/4), 1, "--shape", "wide"); err != nil {
		return err
	}
	fmt.Printf("history: %d records of shape wide, one worker, on rollup rows of earlier months\n", l.sent.Records)
	fmt.Printf("%10s %9s | %14s %14s %12s %12s %12s %9s\n", "rows", "events/s", "PostgreSQL s/M", "transaction ms", "rows written", "rows read",
		"blocks", "WAL bytes")
	for _, rows := range []int64{0, c.history} {
		r, err := l.run(ctx, setup{store: "postgres", workers: 1, prepare: func(ctx context.Context, d *database) error { return d.fill(ctx, rows) }})
		if err != nil {
			return fmt.Errorf("%d rows: %w", rows, err)
		}
		each := func(n int64) float64 { return float64(n) / float64(r.records) }
		fmt.Printf("%10d %9.0f | %14.2f %14.0f %12.2f %12.2f %12.2f %9.0f  an event\n", rows, float64(r.records)/r.took.Seconds(),
			r.costs.postgres.Seconds()/float64(r.records)*1e6, r.steps["transaction"].millis(),
			each(r.touched.written), each(r.touched.read), each(r.touched.blocks), each(r.touched.wal))
		for _, line := range r.statements {
			fmt.Println("        ", line)
		}
	}
	fmt.Println()
	return nil
}

// fill adds hour rows of the months before the load's, 10,000 series' each hour,
// and leaves nothing of that to autovacuum.
func (d *database) fill(ctx context.Context, rows int64) error {
	if rows == 0 {
		return nil
	}
	const series, firstHour = 10_000, 490_896 // 2026-01-01
	return execAt(ctx, d.url,
		fmt.Sprintf(`INSERT INTO series (id, account, family, dims)
			SELECT decode(md5(n::text), 'hex'), 'acct-' || n %% 100, 'request', '["web", "v1", "/old/' || n || '", "GET", "200", "eu"]'
			FROM generate_series(1, %d) n ON CONFLICT DO NOTHING`, series),
		fmt.Sprintf(`INSERT INTO rollup_hours (window_start, account, series, count, quantity_units)
			SELECT h, account, id, 3, 3 FROM generate_series(%d::bigint, %d) h, series WHERE dims LIKE '%%/old/%%'`,
			firstHour-rows/series, firstHour-1),
		`VACUUM (ANALYZE) series`, `VACUUM (ANALYZE) rollup_hours`, `CHECKPOINT`)
}
