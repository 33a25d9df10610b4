package store

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"tallybook/schemas"
)

// testOverflow: a sum that would leave 64 bits refuses its checkpoint; the row
// keeps what it had.
func testOverflow(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	for name, set := range map[string]func(m *schemas.Measures, v int64){
		"count":       func(m *schemas.Measures, v int64) { m.Count = v },
		"quantity":    func(m *schemas.Measures, v int64) { m.Quantity.Units = v },
		"value count": func(m *schemas.Measures, v int64) { m.ValueCount = v },
		"value":       func(m *schemas.Measures, v int64) { m.ValueSum.Units = v },
		"bytes":       func(m *schemas.Measures, v int64) { m.Bytes = v },
		"amount":      func(m *schemas.Measures, v int64) { m.Amount.Units = v },
	} {
		for _, edge := range []int64{math.MaxInt64, math.MinInt64} {
			step := int64(1)
			if edge < 0 {
				step = -1
			}
			row := Rollup{day0.Hour(), makeSeries(schemas.FamilyRequest, fmt.Sprint(name, step)), schemas.Measures{}}
			set(&row.Measures, edge-step)
			o.apply(o.next(1, row))
			if edge > 0 { // the least integer itself is refused too
				set(&row.Measures, step)
				o.apply(o.next(1, row))
			}
			before := everything(t, s)
			for _, by := range []int64{step * 2, step * 2000, edge} {
				set(&row.Measures, by)
				if r := o.try(o.next(1, row)); r.Outcome != Refused || r.Err == nil {
					t.Errorf("%s: %d beyond %d: got %+v, want Refused", name, by, edge, r)
				}
			}
			if after := everything(t, s); after != before {
				t.Errorf("%s: the refused checkpoint left something", name)
			}
		}
	}
	row := Rollup{day0.Hour(), makeSeries(schemas.FamilyRequest, "carry"), schemas.Measures{
		Quantity: schemas.Decimal{Units: math.MaxInt64, Nanos: 600_000_000}}}
	o.apply(o.next(1, row))
	row.Quantity.Units = 0
	if r := o.try(o.next(1, row)); r.Outcome != Refused {
		t.Errorf("a carry beyond 64 bits: got %+v, want Refused", r)
	}
}

// testCarry: sums of decimals, with retractions, are exact.
func testCarry(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	series := makeSeries(schemas.FamilyRequest, "a")
	want := fold{}
	for _, text := range []string{"0.999999999", "0.000000001", "-0.5", "-0.7", "3", "-2.799999999", "-1.1", "1.099999999"} {
		d, err := schemas.ParseDecimal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		row := Rollup{day0.Hour(), series, schemas.Measures{Count: 1, Quantity: d, ValueSum: d.Neg(), Amount: d}}
		o.apply(o.next(1, row))
		want.add(t, row)
		wantLines(t, "after "+text, rollups(t, s, RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: day0.Hour() + 1}),
			want.lines())
	}
}

func testMinMax(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	series := makeSeries(schemas.FamilyRequest, "a")
	q := RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: day0.Hour() + 1}
	want := fold{}
	for _, text := range []string{"", "5", "", "-1.5", "7.25", "-1.6", "0"} {
		row := Rollup{day0.Hour(), series, schemas.Measures{Count: 1}}
		if text != "" {
			d, err := schemas.ParseDecimal([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			row.ValueCount, row.ValueSum, row.ValueMin, row.ValueMax = 1, d, d, d
		}
		o.apply(o.next(1, row))
		want.add(t, row)
		wantLines(t, "after "+text, rollups(t, s, q), want.lines())
	}
}

func testRollups(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	rows := randomRows(newRand(), 1000, day0.Hour()-30, day0.Hour()+50) // before 1970 is testBuildDays'
	o.apply(o.next(1000, rows...))
	email := Rollup{day0.Hour(), makeSeries(schemas.FamilyEmail, "a1", "example.com", "delivered"), schemas.Measures{Count: 1}}
	o.apply(o.next(1, email))
	for name, q := range map[string]RollupQuery{
		"all":          {From: day0.Hour() - 30, To: day0.Hour() + 50},
		"a day":        {From: day0.Hour(), To: day0.Hour() + 24},
		"an account":   {From: day0.Hour() - 7, To: day0.Hour() + 24, Accounts: []string{"a1"}},
		"two accounts": {From: math.MinInt32, To: math.MaxInt32, Accounts: []string{"a1", "a19", "none"}},
		"no account":   {From: day0.Hour(), To: day0.Hour() + 24, Accounts: []string{}},
		"filter":       {From: day0.Hour(), To: day0.Hour() + 24, Filter: map[int][]string{0: {"api1", "api7"}}},
		"two filters":  {From: day0.Hour(), To: day0.Hour() + 24, Filter: map[int][]string{0: {"api1"}, 1: {"none"}}},
		"empty range":  {From: day0.Hour() + 1, To: day0.Hour() + 1},
		"empty place":  {From: day0.Hour() + 100, To: day0.Hour() + 200, Accounts: []string{"a1"}},
	} {
		q.Family = schemas.FamilyRequest
		want := fold{}
		for _, r := range rows {
			if matches(q, r) {
				want.add(t, r)
			}
		}
		wantLines(t, name, rollups(t, s, q), want.lines())
	}
	q := RollupQuery{Family: schemas.FamilyEmail, From: day0.Hour(), To: day0.Hour() + 1}
	wantLines(t, "another family", rollups(t, s, q), fold{{}: email}.lines())
	stop := errors.New("stop")
	err := s.View(ctx, func(v *View) error { return v.Rollups(q, func(*Rollup) error { return stop }) })
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the callback", err)
	}
}

// matches is the query's meaning, told another way.
func matches(q RollupQuery, r Rollup) bool {
	ok := r.Window >= q.From && r.Window < q.To
	if q.Accounts != nil {
		found := false
		for _, a := range q.Accounts {
			found = found || a == r.Series.Account
		}
		ok = ok && found
	}
	for i, allowed := range q.Filter {
		found := false
		for _, a := range allowed {
			found = found || a == r.Series.Dims[i]
		}
		ok = ok && found
	}
	return ok
}

func testHourRollups(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	internal := Rollup{day0.Hour() + 3, makeSeries(schemas.FamilyInternalError, "a", "too_long"), schemas.Measures{Count: 1}}
	o.apply(o.next(4, request(day0.Hour()-1, "a", "x"), request(day0.Hour()+23, "a", "x"), request(day0.Hour(), "b", "x"), internal))
	read := func(topic schemas.Topic) (lines []string) {
		err := s.View(ctx, func(v *View) error {
			return v.HourRollups(day0, topic, func(r *Rollup) error { lines = append(lines, line(*r)); return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	wantLines(t, "usage", read(schemas.Usage), []string{line(request(day0.Hour(), "b", "x")), line(request(day0.Hour()+23, "a", "x"))})
	wantLines(t, "errors", read(schemas.Errors), []string{line(internal)})
	wantLines(t, "emails", read(schemas.Emails), nil)
	days := func(topic schemas.Topic) []schemas.Day {
		return viewed(t, s, func(v *View) ([]schemas.Day, error) { return v.Days(topic) })
	}
	if got, want := days(schemas.Usage), []schemas.Day{day0 - 1, day0}; !reflect.DeepEqual(got, want) {
		t.Errorf("days of usage: got %v, want %v", got, want)
	}
	if got, want := days(schemas.Errors), []schemas.Day{day0}; !reflect.DeepEqual(got, want) {
		t.Errorf("days of errors: got %v, want %v", got, want)
	}
}

func testFiles(t *testing.T, s *Store) {
	file := func(tp schemas.Partition, dataset schemas.Topic, day schemas.Day, first int64) ArchiveFile {
		name := fmt.Sprintf("%s/date=%v/%s-%d-%d.parquet", dataset, day, tp.Topic, tp.ID, first)
		return ArchiveFile{Name: name, Staged: "_staging/" + name, Dataset: dataset, Day: day, Partition: tp, First: first,
			Last: first + 9, Rows: 10, Bytes: 1234, SHA256: [32]byte{1, 2, 31: 9}, MinTime: -5, MaxTime: 7, MaxLog: 100 + first}
	}
	files := []ArchiveFile{
		file(usage0, schemas.Usage, day0, 0), file(usage0, schemas.Usage, day0+1, 5), file(usage0, schemas.Errors, day0, 9),
		file(usage0, schemas.Usage, day0, 20), file(usage1, schemas.Usage, day0, 3),
	}
	o := takeOver(t, s, usage0)
	c := o.next(30)
	c.Files = files[:4]
	o.apply(c)
	o = takeOver(t, s, usage1)
	c = o.next(30)
	c.Files = files[4:]
	o.apply(c)

	want := []ArchiveFile{files[3], files[1]}
	got, err := s.WindowFiles(ctx, usage0, 105)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("window files:\ngot  %+v, %v\nwant %+v", got, err, want)
	}
	live, err := s.CommittedFiles(ctx, usage0, []string{files[0].Name, "none", files[2].Name})
	if wantLive := map[string]bool{files[0].Name: true, files[2].Name: true}; err != nil || !reflect.DeepEqual(live, wantLive) {
		t.Errorf("committed files: got %v, %v, want %v", live, err, wantLive)
	}
	day := day0
	for name, test := range map[string]struct {
		filter FileFilter
		want   []ArchiveFile
	}{
		"all":       {FileFilter{}, []ArchiveFile{files[2], files[0], files[3], files[4], files[1]}},
		"dataset":   {FileFilter{Dataset: schemas.Errors}, []ArchiveFile{files[2]}},
		"day":       {FileFilter{Dataset: schemas.Usage, Day: &day}, []ArchiveFile{files[0], files[3], files[4]}},
		"partition": {FileFilter{Partition: &usage1}, []ArchiveFile{files[4]}},
		"limit":     {FileFilter{Limit: 1}, []ArchiveFile{files[2]}},
	} {
		got := viewed(t, s, func(v *View) ([]ArchiveFile, error) { return v.Files(test.filter) })
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, test.want)
		}
	}
	days := viewed(t, s, func(v *View) ([]schemas.Day, error) { return v.Days(schemas.Usage) })
	if want := []schemas.Day{day0, day0 + 1}; !reflect.DeepEqual(days, want) {
		t.Errorf("days: got %v, want %v", days, want)
	}
}

func testLedger(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	var want []LedgerRow
	for range 4 {
		c := o.next(10)
		c.Ledger = Ledger{First: c.From.Next, Next: c.To.Next, Records: 8, Gaps: 2, Counted: 5, Duplicate: 2, Rejected: 1, OtherKey: 3}
		o.apply(c)
		want = append(want, LedgerRow{usage0, c.Ledger, c.To.Clock, 1, closedAt})
	}
	read := func(after int64, limit int) []LedgerRow {
		return viewed(t, s, func(v *View) ([]LedgerRow, error) { return v.Ledger(usage0, after, limit) })
	}
	if got := read(0, 0); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := read(10, 2); !reflect.DeepEqual(got, want[1:3]) {
		t.Errorf("two from 10 on: got %+v, want %+v", got, want[1:3])
	}
}

// Sums by the hour are those of all rows, whatever the time that they begin at.
func testLedgerHours(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	from := closedAt.Truncate(time.Hour)
	for i := range 40 { // a checkpoint every 20 minutes
		c := o.next(10)
		c.Ledger = Ledger{First: c.From.Next, Next: c.To.Next, Records: 8, Gaps: 2, Counted: 5, Duplicate: 2, Rejected: 1, OtherKey: 3, Extra: 4}
		c.ClosedAt = from.Add(time.Duration(i) * 20 * time.Minute)
		o.apply(c)
	}
	position := o.pos
	for _, begin := range []int{0, 5, 13} {
		got := viewed(t, s, func(v *View) ([]LedgerHour, error) {
			return v.LedgerHours(&position, from.Add(time.Duration(begin)*time.Hour))
		})
		var want []LedgerHour
		for h := begin; h < 14; h++ {
			n := min(int64(40-3*h), 3)
			want = append(want, LedgerHour{Topic: schemas.Usage, Start: from.Add(time.Duration(h) * time.Hour), Checkpoints: n,
				Ledger: Ledger{Records: 8 * n, Gaps: 2 * n, Counted: 5 * n, Duplicate: 2 * n, Rejected: n, OtherKey: 3 * n, Extra: 4 * n}})
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("from hour %d: got %+v, want %+v", begin, got, want)
		}
	}
	last := viewed(t, s, func(v *View) (map[schemas.Partition]LedgerRow, error) {
		return v.LastCheckpoints([]Position{position, {Partition: usage1}})
	})
	if len(last) != 1 || last[usage0].Next != position.Next {
		t.Errorf("last checkpoints: got %+v, want one that ends at %d", last, position.Next)
	}
}

func testErrors(t *testing.T, s *Store) {
	row := func(id string, micros int64, tp schemas.Partition, offset int64) ErrorRow {
		return ErrorRow{ID: id, Time: micros, Account: "_unknown", Reason: schemas.InvalidJSON, Message: "message", Input: []byte("{\x00"),
			InputBytes: 2, InputSHA256: [32]byte{1, 31: 2}, Origin: tp, Offset: offset, LastOffset: offset, Records: 1}
	}
	rows := []ErrorRow{row("a", 1, usage0, 0), row("b", 2, usage0, 1), row("c", 2, usage0, 2), row("d", 3, usage1, 0)}
	rows[1].Account, rows[1].Reason, rows[1].Field, rows[1].Status, rows[1].Input = "acme", schemas.WrongType, "data.status", 2, nil
	rows[2].Records, rows[2].LastOffset = 50, 90
	o := takeOver(t, s, usage0)
	c := o.next(100)
	c.Errors = rows[:3]
	o.apply(c)
	o = takeOver(t, s, usage1)
	c = o.next(1)
	c.Errors = rows[3:]
	o.apply(c)
	for name, test := range map[string]struct {
		filter ErrorFilter
		want   []ErrorRow
	}{
		"all":     {ErrorFilter{}, []ErrorRow{rows[3], rows[2], rows[1], rows[0]}},
		"account": {ErrorFilter{Account: "acme"}, rows[1:2]},
		"reason":  {ErrorFilter{Reason: schemas.WrongType}, rows[1:2]},
		"origin":  {ErrorFilter{Origin: &usage1}, rows[3:]},
		"time":    {ErrorFilter{First: 2, Last: 3}, []ErrorRow{rows[2], rows[1]}},
		"limit":   {ErrorFilter{Limit: 1}, rows[3:]},
	} {
		got := viewed(t, s, func(v *View) ([]ErrorRow, error) { return v.Errors(test.filter) })
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, test.want)
		}
	}
	counts := viewed(t, s, func(v *View) (map[schemas.Partition]int64, error) { return v.ErrorCounts() })
	if want := map[schemas.Partition]int64{usage0: 52, usage1: 1}; !reflect.DeepEqual(counts, want) {
		t.Errorf("counts: got %v, want %v", counts, want)
	}
}
