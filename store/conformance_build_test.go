package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"tallybook/schemas"
)

func build1(t *testing.T, s *Store, res Resolution, day schemas.Day) {
	t.Helper()
	if err := s.BuildRollups(ctx, res, day); err != nil {
		t.Fatal(err)
	}
}

// wantAgree holds every resolution, of all accounts and of one, against the fold.
func wantAgree(t *testing.T, s *Store, rows []Rollup, from, to schemas.Hour) {
	t.Helper()
	for _, accounts := range [][]string{nil, {"a3", "a4"}} {
		for _, res := range []Resolution{Hourly, Daily, Monthly} {
			q := RollupQuery{Family: schemas.FamilyRequest, Accounts: accounts, From: from, To: to, Resolution: res}
			want := fold{}
			for _, r := range rows {
				at := [...]schemas.Hour{r.Window, r.Window.Day().Hour(), r.Window.Day().MonthStart().Hour()}[res]
				if matches(q, r) {
					want.addAt(t, at, r)
				}
			}
			wantLines(t, fmt.Sprintf("resolution %d, accounts %v", res, accounts), rollups(t, s, q), want.lines())
		}
	}
}

// rowsRead counts what a query reads: built rows are fewer.
func rowsRead(t *testing.T, s *Store, q RollupQuery) (n int) {
	t.Helper()
	err := s.View(ctx, func(v *View) error { return v.Rollups(q, func(*Rollup) error { n++; return nil }) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func testBuildDays(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	rnd := newRand()
	for _, day := range []schemas.Day{day0, -400} { // also before 1970
		from, to := day.Hour(), (day + 3).Hour()
		rows := randomRows(rnd, 3000, from, to)
		o.apply(o.next(1, rows...))
		q := RollupQuery{Family: schemas.FamilyRequest, From: from, To: to, Resolution: Daily}
		hours := rowsRead(t, s, q)
		build1(t, s, Daily, day)
		build1(t, s, Daily, day+1)
		if built := rowsRead(t, s, q); built >= hours {
			t.Errorf("got %d rows read with built days, %d without", built, hours)
		}
		wantAgree(t, s, rows, from, to)
		wantAgree(t, s, rows, from+5, to-30) // edges within built days

		late := randomRows(rnd, 50, from, from+24)
		o.apply(o.next(1, late...))
		rows = append(rows, late...)
		wantAgree(t, s, rows, from, to)
		if got := viewed(t, s, func(v *View) ([]schemas.Day, error) { return v.Unbuilt(Daily, day+3, 0) }); got[len(got)-2] != day {
			t.Errorf("got %v unbuilt, want %v among them", got, day)
		}
		build1(t, s, Daily, day)
		wantAgree(t, s, rows, from, to)
	}
}

func testBuildMonths(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	rows := randomRows(newRand(), 10_000, day0.Hour(), (day0 + 62).Hour()) // January, February and a bit
	o.apply(o.next(1, rows...))
	from, to := day0.Hour(), (day0 + 62).Hour()
	for day := day0; day < day0+20; day++ { // the month is of days and of hours
		build1(t, s, Daily, day)
	}
	build1(t, s, Monthly, day0+12)
	wantAgree(t, s, rows, from, to)
	q := RollupQuery{Family: schemas.FamilyRequest, From: from, To: to, Resolution: Monthly}
	before := rowsRead(t, s, q)
	build1(t, s, Monthly, day0+31)
	if after := rowsRead(t, s, q); after >= before {
		t.Errorf("got %d rows read with a second month, %d without", after, before)
	}
	wantAgree(t, s, rows, from, to)
	late := request((day0 + 3).Hour(), "a3", "api3")
	o.apply(o.next(1, late))
	rows = append(rows, late)
	wantAgree(t, s, rows, from, to)
	build1(t, s, Monthly, day0)
	wantAgree(t, s, rows, from, to)
}

// testBuildChunks: more rows than one transaction takes; and what is no longer
// in the hours leaves the day.
func testBuildChunks(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	var rows []Rollup
	for i := range 3 * buildChunk {
		rows = append(rows, request(day0.Hour()+schemas.Hour(i%5), fmt.Sprintf("a%d", i%7), fmt.Sprint("api", i/4)))
	}
	o.apply(o.next(1, rows...))
	build1(t, s, Daily, day0)
	wantAgree(t, s, rows, day0.Hour(), day0.Hour()+24)
	for _, query := range []string{
		`DELETE FROM rollup_hours WHERE account IN ('a0', 'a3', 'a6')`,
		`UPDATE built_windows SET dirty = 1`,
	} {
		if _, err := s.write.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	build1(t, s, Daily, day0)
	var left []Rollup
	for _, r := range rows {
		if a := r.Series.Account; a != "a0" && a != "a3" && a != "a6" {
			left = append(left, r)
		}
	}
	wantAgree(t, s, left, day0.Hour(), day0.Hour()+24)
	var n, want int
	if err := s.read.QueryRow(`SELECT count(*) FROM rollup_days`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := s.read.QueryRow(`SELECT count(DISTINCT series) FROM rollup_hours`).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if n != want {
		t.Errorf("got %d day rows, want %d", n, want)
	}
}

// testBuildBesideCheckpoints: while days and a month are built over and over,
// checkpoints go on; every snapshot agrees with its own hours.
func testBuildBesideCheckpoints(t *testing.T, s *Store) {
	from, to := day0.Hour(), (day0 + 31).Hour()
	o := takeOver(t, s, usage0)
	all := randomRows(newRand(), 1500, from, to)
	o.apply(o.next(1, all...))
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := s.BuildRollups(ctx, Daily, day0+schemas.Day(i%3))
			if err == nil && i%4 == 0 {
				err = s.BuildRollups(ctx, Monthly, day0)
			}
			if err != nil && !errors.Is(err, ErrTouched) {
				done <- err
				return
			}
		}
	}()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		late := randomRows(rnd, 20, from, from+72)
		o.apply(o.next(1, late...))
		all = append(all, late...)
		wantSnapshotAgrees(t, s, from, to)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	build1(t, s, Daily, day0)
	build1(t, s, Monthly, day0)
	wantAgree(t, s, all, from, to)
}

func wantSnapshotAgrees(t *testing.T, s *Store, from, to schemas.Hour) {
	t.Helper()
	sums := [3]fold{{}, {}, {}}
	err := s.View(ctx, func(v *View) error {
		for res := range sums {
			q := RollupQuery{Family: schemas.FamilyRequest, From: from, To: to, Resolution: Resolution(res)}
			err := v.Rollups(q, func(r *Rollup) error { sums[res].addAt(t, from, *r); return nil })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "days of a snapshot", sums[Daily].lines(), sums[Hourly].lines())
	wantLines(t, "months of a snapshot", sums[Monthly].lines(), sums[Hourly].lines())
}

func testBuildOverflow(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	a, b := request(day0.Hour(), "a", "x"), request(day0.Hour()+1, "a", "x")
	a.Quantity = schemas.Decimal{Units: math.MaxInt64, Nanos: 500_000_000}
	b.Quantity = schemas.Decimal{Nanos: 500_000_000} // the carry alone is too much
	o.apply(o.next(1, a, b))
	if err := s.BuildRollups(ctx, Daily, day0); err == nil {
		t.Error("got no error of a carry beyond 64 bits")
	}
	c := request((day0 + 1).Hour(), "a", "x")
	c.Quantity = schemas.DecimalFromInt(1)
	o.apply(o.next(1, c))
	if err := s.BuildRollups(ctx, Monthly, day0); err == nil {
		t.Error("got no error of a sum beyond 64 bits")
	}
	q := RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: (day0 + 2).Hour(), Resolution: Monthly}
	if got := rowsRead(t, s, q); got != 3 {
		t.Errorf("got %d rows, want the 3 hours: nothing is built", got)
	}
}

func testUnbuilt(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	for _, day := range []schemas.Day{day0 - 40, day0 - 1, day0, day0 + 5, day0 + 31} {
		o.apply(o.next(1, request(day.Hour()+7, "a", "x")))
	}
	check := func(res Resolution, before schemas.Day, limit int, want ...schemas.Day) {
		t.Helper()
		got := viewed(t, s, func(v *View) ([]schemas.Day, error) { return v.Unbuilt(res, before, limit) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("resolution %d before %v: got %v, want %v", res, before, got, want)
		}
	}
	check(Daily, day0+31, 0, day0-40, day0-1, day0, day0+5)
	check(Daily, day0+31, 2, day0-40, day0-1)
	check(Monthly, day0+30, 0, (day0 - 40).MonthStart(), (day0 - 1).MonthStart())
	check(Monthly, day0+31, 0, (day0 - 40).MonthStart(), (day0 - 1).MonthStart(), day0)
	build1(t, s, Daily, day0)
	build1(t, s, Monthly, day0-1)
	check(Daily, day0+31, 0, day0-40, day0-1, day0+5)
	check(Monthly, day0+31, 0, (day0 - 40).MonthStart(), day0)
	o.apply(o.next(1, request(day0.Hour(), "a", "x"), request(day0.Hour()-1, "a", "x")))
	check(Daily, day0+31, 0, day0-40, day0-1, day0, day0+5)
	check(Monthly, day0+31, 0, (day0 - 40).MonthStart(), (day0 - 1).MonthStart(), day0)
}
