package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

var (
	usage0 = schemas.Partition{Topic: schemas.Usage, ID: 0}
	usage1 = schemas.Partition{Topic: schemas.Usage, ID: 1}
	email0 = schemas.Partition{Topic: schemas.Emails, ID: 0}

	closedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// day0 is 2026-01-01.
const day0 = schemas.Day(20454)

func openFile(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return openFile(t, storetest.URL(t), Options{})
}

// owner writes a partition's checkpoints, as the worker does.
type owner struct {
	t   *testing.T
	s   *Store
	pos Position
}

func takeOver(t *testing.T, s *Store, tp schemas.Partition) *owner {
	t.Helper()
	pos, err := s.TakeOver(context.Background(), tp, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &owner{t, s, pos}
}

// next is a checkpoint of n records from the owner's position on.
func (o *owner) next(n int64, rows ...Rollup) *Checkpoint {
	c := &Checkpoint{From: o.pos, To: o.pos, ClosedAt: closedAt,
		Ledger: Ledger{First: o.pos.Next, Next: o.pos.Next + n, Records: n, Counted: n}}
	c.To.Next += n
	c.To.LastOffset = c.To.Next - 1
	c.To.Clock += 1000
	c.To.LastHash = [16]byte{byte(c.To.Next), byte(c.To.Next >> 8), byte(o.pos.ID), 1}
	index := map[schemas.SeriesID]int{}
	for _, r := range rows {
		i, ok := index[r.Series.ID]
		if !ok {
			i = len(c.Series)
			index[r.Series.ID] = i
			c.Series = append(c.Series, r.Series)
		}
		c.Deltas = append(c.Deltas, Delta{Hour: r.Window, Series: i, Measures: r.Measures})
	}
	return c
}

// apply writes one checkpoint that must be applied.
func (o *owner) apply(c *Checkpoint) {
	o.t.Helper()
	if r := o.try(c); r.Outcome != Applied {
		o.t.Fatalf("outcome %v (%v), want Applied", r.Outcome, r.Err)
	}
	o.pos = c.To
}

func (o *owner) try(c *Checkpoint) Result {
	o.t.Helper()
	results, err := o.s.Checkpoint(context.Background(), []*Checkpoint{c})
	if err != nil {
		o.t.Fatal(err)
	}
	return results[0]
}

func makeSeries(f *schemas.Family, account string, dims ...string) schemas.Series {
	dims = append(dims, make([]string, len(f.Dims)-len(dims))...)
	return schemas.Series{ID: schemas.MakeSeriesID(f.Name, account, dims), Account: account, Family: f.Name, Dims: dims}
}

// request is a row of one request.
func request(hour schemas.Hour, account, api string) Rollup {
	one := schemas.DecimalFromInt(1)
	return Rollup{hour, makeSeries(schemas.FamilyRequest, account, api), schemas.Measures{Count: 1, Quantity: one,
		ValueCount: 1, ValueSum: schemas.Decimal{Units: 12, Nanos: 500_000_000}, ValueMin: schemas.Decimal{Units: 12, Nanos: 500_000_000},
		ValueMax: schemas.Decimal{Units: 12, Nanos: 500_000_000}, Bytes: 100}}
}

// randomRows are rows of few series, so that they meet often; some are retractions.
func randomRows(rnd *rand.Rand, n int, from, to schemas.Hour) []Rollup {
	seen := map[rowID]bool{}
	var rows []Rollup
	for range n {
		hour := from + schemas.Hour(rnd.IntN(int(to-from)))
		r := request(hour, fmt.Sprintf("a%d", rnd.IntN(20)), fmt.Sprintf("api%d", rnd.IntN(10)))
		if id := (rowID{hour, r.Series.ID}); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		d := schemas.Decimal{Units: rnd.Int64N(2000) - 1000, Nanos: rnd.Int32N(1_000_000_000)}
		r.Measures = schemas.Measures{Count: rnd.Int64N(10) - 3, Quantity: d, Bytes: rnd.Int64N(1e6), Amount: d.Neg()}
		if rnd.IntN(3) > 0 {
			r.ValueCount, r.ValueSum, r.ValueMin, r.ValueMax = 1, d, d, d
		}
		rows = append(rows, r)
	}
	return rows
}

type rowID struct {
	hour   schemas.Hour
	series schemas.SeriesID
}

// fold is what the store must hold: the plain sum of all rows.
type fold map[rowID]Rollup

func (f fold) add(t *testing.T, rows ...Rollup) {
	t.Helper()
	for _, r := range rows {
		f.addAt(t, r.Window, r)
	}
}

func (f fold) addAt(t *testing.T, at schemas.Hour, r Rollup) {
	t.Helper()
	id := rowID{at, r.Series.ID}
	sum, ok := f[id]
	if !ok {
		sum = Rollup{Window: at, Series: r.Series}
	}
	if err := sum.Measures.Add(&r.Measures); err != nil {
		t.Fatal(err)
	}
	f[id] = sum
}

// lines are the rows as sorted text, to compare and to show.
func (f fold) lines() []string {
	var all []string
	for _, r := range f {
		all = append(all, line(r))
	}
	slices.Sort(all)
	return all
}

func line(r Rollup) string {
	m := r.Measures
	least, greatest := m.ValueMin.String(), m.ValueMax.String()
	if m.ValueCount <= 0 {
		least, greatest = "-", "-"
	}
	return fmt.Sprintf("%s %s %s %q: %d, %v, %d %v %s %s, %d, %v", r.Window.Time().Format("2006-01-02T15"), r.Series.Family,
		r.Series.Account, r.Series.Dims, m.Count, m.Quantity, m.ValueCount, m.ValueSum, least, greatest, m.Bytes, m.Amount)
}

// rollups are the answer to a query, as fold.lines.
func rollups(t *testing.T, s *Store, q RollupQuery) []string {
	t.Helper()
	got := fold{}
	err := s.View(context.Background(), func(v *View) error {
		return v.Rollups(q, func(r *Rollup) error {
			at := r.Window
			switch q.Resolution {
			case Daily:
				at = at.Day().Hour()
			case Monthly:
				at = at.Day().MonthStart().Hour()
			}
			got.addAt(t, at, *r)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.lines()
}

func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func viewed[T any](t *testing.T, s *Store, read func(v *View) (T, error)) T {
	t.Helper()
	var got T
	err := s.View(context.Background(), func(v *View) (err error) {
		got, err = read(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// everything is the content of all tables, to see that nothing changed.
func everything(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	for _, table := range []string{"positions", "ledger", "series", "rollup_hours", "archive_files", "errors", "topic_days", "app_events", "app_errors", "quota_use", "alerts"} {
		rows, err := s.read.Query(`SELECT * FROM ` + table + ` ORDER BY 1, 2`)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]any, len(columns))
		dest := make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, table, values)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
