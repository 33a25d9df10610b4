package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/pipeline/broker"
)

// dueRig is a data folder on which every job has something to do at jobsNow, and
// no process runs.
type dueRig struct {
	t           *testing.T
	data, kafka string
}

const (
	jobsNow   = "2026-03-10T00:00:00Z"
	jobsLater = "2026-03-11T00:00:00Z" // what was claimed and not done is due again
)

func newDueRig(t *testing.T, customers int) *dueRig {
	t.Helper()
	s := newStory(t)
	script := "clock 2025-12-20T00:00Z\n" +
		`price units shop * graduated {"tiers":[{"up_to":"10","unit_price":"0.10"},{"up_to":null,"unit_price":"0.04"}]}` + "\n"
	for i := range customers {
		zone := []string{"UTC", "Asia/Kolkata", "America/New_York"}[i%3]
		script += fmt.Sprintf("customer C%d units %s USD c%d@jobs.example\nsubscribe C%d shop 2026-01-01T06:00Z quota %s\n", i, zone, i, i,
			`{"limit":5,"period":"day","thresholds":[40,80]}`)
	}
	script += "clock 2026-02-20T00:00Z\n"
	for i := range customers {
		script += fmt.Sprintf("call C%d shop /a 2026-01-10T09:00Z times 6 every 1m id j\ncall C%d shop /b 2026-02-11T09:00Z times 7 every 1m\n", i, i)
	}
	script += "clock 2026-03-06T00:00Z\n"
	for i := range customers { // so that the log clock is past February and its grace
		script += fmt.Sprintf("call C%d shop /a 2026-03-06T00:00Z\n", i)
	}
	script += "retract C0 j-1 a test\nretract C1 j-2 a test\n"
	s.run(script)
	s.want(201, "POST", "/api/v1/meters", map[string]any{"slug": "slow", "eventType": "api.request", "aggregation": "SUM", "valueProperty": "$.data.latency_ms"}, nil)
	s.stop()
	if t.Failed() {
		t.FailNow()
	}
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &dueRig{t, s.parts.cfg.Data, b.Addr()}
}

func (r *dueRig) copy() *dueRig {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(r.data)); err != nil {
		r.t.Fatal(err)
	}
	return &dueRig{r.t, to, r.kafka}
}

func (r *dueRig) command(name, now string) *exec.Cmd {
	r.t.Helper()
	return tallybookCommand(r.t, "job", name, "--now", now, "--data", r.data, "--alert-email", "ops@jobs.example", "--kafka-listen", r.kafka, "--log-level", "error")
}

func (r *dueRig) run(name, now string, want ...string) {
	r.t.Helper()
	finish(r.t, r.command(name, now)).want(r.t, 0, want...)
}

// db opens the store behind everybody's back.
func (r *dueRig) db(busy time.Duration) *sql.DB {
	r.t.Helper()
	db, err := sql.Open("sqlite", fmt.Sprintf("%s?_pragma=busy_timeout(%d)", filepath.Join(r.data, "tallybook.db"), busy.Milliseconds()))
	if err != nil {
		r.t.Fatal(err)
	}
	return db
}

// leasesEnd is what half a minute does to a process that died.
func (r *dueRig) leasesEnd() {
	r.t.Helper()
	db := r.db(5 * time.Second)
	_, err := db.Exec(`UPDATE job_leases SET until = 0`)
	if err := errors.Join(err, db.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// made is everything that jobs make, a row a line, but for ids that are made up
// anew and times of this machine's clock.
var made = []string{
	`SELECT 'invoice', kind, status, payment, month, customer, currency, total FROM invoices ORDER BY kind, month, customer`,
	`SELECT 'number', kind, number FROM invoices ORDER BY kind, number`,
	`SELECT 'series', series, last FROM invoice_series ORDER BY series`,
	`SELECT 'alert', a.kind, COALESCE(i.customer || i.month, a.key), a.count, a.done, a.mailed_at IS NULL FROM alerts a
		LEFT JOIN invoices i ON i.id = a.key ORDER BY 2, 3`,
	`SELECT 'mail', to_address, subject, status, COUNT(*) FROM mails GROUP BY 2, 3, 4 ORDER BY 2, 3, 4`,
	`SELECT 'quota', quota, period_start, used_units, told FROM quota_use ORDER BY quota, period_start`,
	`SELECT 'hour', * FROM rollup_hours ORDER BY window_start, account, series`,
	`SELECT 'day', * FROM rollup_days ORDER BY window_start, account, series`,
	`SELECT 'month', * FROM rollup_months ORDER BY window_start, account, series`,
	`SELECT 'built', resolution, window_start, state, dirty FROM built_windows ORDER BY resolution, window_start`,
	`SELECT 'sketch', * FROM sketches ORDER BY account, window_start`,
	`SELECT 'deltas', COUNT(*) FROM sketch_deltas`,
	`SELECT 'stale', COUNT(*) FROM stale_extremes`,
}

func (r *dueRig) state() string {
	r.t.Helper()
	db := r.db(5 * time.Second)
	defer db.Close()
	var out strings.Builder
	for _, query := range made {
		rows, err := db.Query(query)
		if err != nil {
			r.t.Fatalf("%s: %v", query, err)
		}
		columns, err := rows.Columns()
		if err != nil {
			r.t.Fatal(err)
		}
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(to...); err != nil {
				r.t.Fatal(err)
			}
			fmt.Fprintln(&out, values...)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			r.t.Fatal(err)
		}
	}
	return out.String()
}

// mails are the Message-IDs of those that went out, by whom they went to and what
// they say; documents by their place, since who gets which number differs.
func (r *dueRig) mails() map[string][]string {
	r.t.Helper()
	paths, err := filepath.Glob(filepath.Join(r.data, "mail", "*.eml"))
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string][]string{}
	for _, path := range paths {
		m, err := readMail(path)
		if err != nil {
			r.t.Fatalf("%s: %v", path, err)
		}
		key := storyNumbers.ReplaceAllString(m.to+": "+m.subject+"\n"+m.text, "…")
		all[key] = append(all[key], m.id)
	}
	return all
}

// isLike: what was done under faults is what is done without.
func (r *dueRig) isLike(sound *dueRig) {
	r.t.Helper()
	if got, want := r.state(), sound.state(); got != want {
		r.t.Error(firstDifference(got, want))
	}
	got, want := r.mails(), sound.mails()
	for mail, ids := range want {
		if n := len(slices.Compact(slices.Sorted(slices.Values(got[mail])))); n != len(ids) {
			r.t.Errorf("mails of %d Message-IDs, want %d: %s", n, len(ids), mail)
		}
		delete(got, mail)
	}
	for mail := range got {
		r.t.Errorf("a mail too much: %s", mail)
	}
	for _, command := range []string{"verify", "balance"} {
		tallybook(r.t, command, "--data", r.data).want(r.t, 0, "good")
	}
	list := tallybook(r.t, "invoice", "list", "--data", r.data)
	list.want(r.t, 0)
	for line := range strings.Lines(list.out) {
		if number := strings.Fields(line)[0]; strings.HasPrefix(number, "INV-") {
			tallybook(r.t, "prove", number, "--data", r.data).want(r.t, 0, "proven")
		}
	}
}
