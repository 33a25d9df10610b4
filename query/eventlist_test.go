package query

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// archiveFile adds a file with events of these times to store and archive; ids
// are times. Accounts take turns.
func (f *fixture) archiveFile(times []int64, accounts ...string) {
	f.t.Helper()
	ctx := f.t.Context()
	from, err := f.store.TakeOver(ctx, usage0, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	rows := &archive.Rows{Dataset: schemas.Usage, Dict: append([]string{"", "source", "app.event"}, accounts...)}
	for i, at := range times {
		rows.ID.Append(fmt.Append(nil, at))
		rows.Source, rows.Type = append(rows.Source, 1), append(rows.Type, 2)
		rows.Account = append(rows.Account, archive.Code(3+i%len(accounts)))
		rows.Time, rows.LogTime = append(rows.Time, at), append(rows.LogTime, at)
		rows.Offset = append(rows.Offset, from.Next+int64(i))
		rows.Status, rows.LatencyMS = append(rows.Status, archive.NullInt32), append(rows.LatencyMS, 1)
		rows.Quantity, rows.Bytes = append(rows.Quantity, schemas.DecimalFromInt(1)), append(rows.Bytes, archive.NullInt64)
	}
	to, n := from, int64(len(times))
	to.Next, to.LastOffset = from.Next+n, from.Next+n-1
	c := &store.Checkpoint{From: from, To: to, ClosedAt: testNow, Ledger: store.Ledger{First: from.Next, Next: to.Next, Records: n, Counted: n}}
	for _, day := range archive.ByDay(rows) {
		file, err := f.archive.Stage(ctx, archive.StageFile{Rows: rows, Day: day, Source: usage0, Epoch: from.Epoch, Random: "r"})
		if err == nil && !f.staged {
			err = f.archive.Publish(ctx, file)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		c.Files = append(c.Files, store.ArchiveFile(file))
	}
	results, err := f.store.Checkpoint(ctx, []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != store.Applied {
		f.t.Fatalf("checkpoint: %v, %v", results, err)
	}
}

func (f *fixture) latest(query string) (ids []string, searched string) {
	f.t.Helper()
	w := f.get("/api/v1/events?" + query)
	var list []struct{ Event struct{ ID string } }
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 {
		f.t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	for _, e := range list {
		ids = append(ids, e.Event.ID)
	}
	return ids, w.Header().Get(searchedHeader)
}

// From files small and large, of several days, whose times lie across each
// other, come the newest events, as from one sorted list.
func TestLatestOfManyFiles(t *testing.T) {
	f := newFixture(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []int64 // by account a
	used := map[int64]bool{}
	for _, n := range []int{5, 6000, 1, 4500, 50} {
		times := make([]int64, n)
		for i := range times {
			for times[i] == 0 || used[times[i]] { // one of each, so that the order is one
				times[i] = testNow.UnixMicro() - rnd.Int64N(3*86_400_000_000)
			}
			used[times[i]] = true
			if i%2 == 0 {
				all = append(all, times[i])
			}
		}
		f.archiveFile(times, "a", "b")
	}
	slices.Sort(all)
	slices.Reverse(all)
	for _, limit := range []int{1, 7, 100} {
		got, searched := f.latest(fmt.Sprintf("subject=a&limit=%d", limit))
		var want []string
		for _, at := range all[:limit] {
			want = append(want, fmt.Sprint(at))
		}
		if !slices.Equal(got, want) || searched != "" {
			t.Errorf("limit %d: got %v (searched from %s), want %v", limit, got, searched, want)
		}
	}
	to := all[len(all)/2]
	got, _ := f.latest("subject=a&limit=2&to=" + schemas.FormatTime(to))
	if want := []string{fmt.Sprint(all[len(all)/2+1]), fmt.Sprint(all[len(all)/2+2])}; !slices.Equal(got, want) {
		t.Errorf("to: got %v, want %v", got, want)
	}
}

// What is committed is listed, also while its worker has yet to publish it.
func TestLatestOfStagedFiles(t *testing.T) {
	f := newFixture(t)
	f.archiveFile([]int64{testNow.UnixMicro()}, "a")
	f.staged = true
	f.archiveFile([]int64{testNow.UnixMicro() + 1}, "a")
	if got, _ := f.latest(""); len(got) != 2 {
		t.Errorf("got %v, want both events", got)
	}
}

// A list that would have to read too many files says how far back it is complete.
func TestLatestIsBounded(t *testing.T) {
	f := newFixture(t)
	f.server.listFiles = 3
	hour := int64(3_600_000_000)
	for n := range int64(6) {
		f.archiveFile([]int64{testNow.UnixMicro() - n*hour}, "a")
	}
	got, searched := f.latest("limit=3")
	if len(got) != 3 || searched != "" {
		t.Errorf("enough in three files: got %v, %s", got, searched)
	}
	got, searched = f.latest("")
	if want := schemas.FormatTime(testNow.UnixMicro() - 3*hour + 1); len(got) != 3 || searched != want {
		t.Errorf("too many files: got %v, %s, want %s", got, searched, want)
	}
	if got, searched = f.latest("from=" + schemas.FormatTime(testNow.UnixMicro()-2*hour)); len(got) != 3 || searched != "" {
		t.Errorf("from: got %v, %s", got, searched)
	}
}

// The latest events of one account and of all, from files of a batch each.
func BenchmarkLatestEvents(b *testing.B) {
	f := newFixture(b)
	accounts := make([]string, 100)
	for i := range accounts {
		accounts[i] = fmt.Sprint("account-", i)
	}
	for n := range int64(4) {
		times := make([]int64, 1<<16)
		for i := range times {
			times[i] = testNow.UnixMicro() - n*1_000_000 - int64(i)
		}
		f.archiveFile(times, accounts...)
	}
	for _, query := range []string{"subject=account-7", "", "type=none"} {
		b.Run(query, func(b *testing.B) {
			for range b.N {
				f.latest(query)
			}
		})
	}
}
