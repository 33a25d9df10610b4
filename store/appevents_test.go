package store

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
)

func TestSessions(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 5000, time.UTC)
	s := openFile(t, t.TempDir()+"/store.db", Options{Now: func() time.Time { now = now.Add(time.Microsecond); return now }})
	for i := range 5 {
		if _, err := s.CreateSession(ctx, fmt.Sprint("s", i), []string{"a", "b"}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	if account, err := s.SessionAccount(ctx, "s1"); err != nil || account != "b" {
		t.Errorf("got %q, %v, want b", account, err)
	}
	if _, err := s.SessionAccount(ctx, "s9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	for account, want := range map[string]string{"a": "s4 s2 s0", "b": "s3 s1", "": "s4 s3 s2 s1 s0", "c": ""} {
		var got []string
		var after *ListCursor
		for {
			page := viewed(t, s, func(v *View) ([]Session, error) { return v.Sessions(account, after, 2) })
			for _, one := range page {
				got = append(got, one.ID)
				after = &ListCursor{one.CreatedAt.UnixMicro(), one.ID}
			}
			if len(page) < 2 {
				break
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %q: got %v, want %s", account, got, want)
		}
	}
}

func appEvent(account, id string, time int64, category, name string) AppEvent {
	return AppEvent{EventKey: EventKey{account, schemas.AppSource, id}, Session: "s-" + account, Category: category, Name: name,
		Time: time, Partition: 1, Offset: 7, Data: []byte(`{"a":1}`)}
}

func appIDs(t *testing.T, s *Store, f AppEventFilter) string {
	t.Helper()
	var ids []string
	for _, e := range viewed(t, s, func(v *View) ([]AppEvent, error) { return v.AppEvents(f) }) {
		ids = append(ids, fmt.Sprintf("%s.%d", e.ID, e.Revision))
	}
	return strings.Join(ids, " ")
}

// all leaves both ends of the time open.
var all = AppEventFilter{From: math.MinInt64, To: math.MaxInt64}

func TestAppEvents(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	c := o.next(5)
	c.AppEvents = []AppEvent{appEvent("a", "1", 10, "x", "n"), appEvent("a", "2", 30, "y", "n"), appEvent("a", "3", 30, "x", "m"),
		appEvent("b", "1", 20, "x", "n")}
	amended := appEvent("a", "1", 99, "z", "n")
	amended.Revision, amended.Data = 1, []byte(`[2]`)
	c.AppEvents = append(c.AppEvents, amended) // in the batch of its event
	o.apply(c)
	with := func(change func(*AppEventFilter)) AppEventFilter {
		f := all
		change(&f)
		return f
	}
	for _, is := range []struct {
		what   string
		filter AppEventFilter
		want   string
	}{
		{"all", all, "3.0 2.0 1.0 1.1"},
		{"account", with(func(f *AppEventFilter) { f.Account = "a" }), "3.0 2.0 1.1"},
		{"session", with(func(f *AppEventFilter) { f.Session = "s-b" }), "1.0"},
		{"session of another account", with(func(f *AppEventFilter) { f.Account, f.Session = "a", "s-b" }), ""},
		{"category", with(func(f *AppEventFilter) { f.Account, f.Category = "a", "x" }), "3.0"},
		{"category and name", with(func(f *AppEventFilter) { f.Category, f.Name = "x", "n" }), "1.0"},
		{"to is included", with(func(f *AppEventFilter) { f.To = 20 }), "1.0 1.1"},
		{"from is included", with(func(f *AppEventFilter) { f.From = 20 }), "3.0 2.0 1.0"},
		{"both", with(func(f *AppEventFilter) { f.From, f.To = 11, 29 }), "1.0"},
		{"limit", with(func(f *AppEventFilter) { f.Limit = 1 }), "3.0"},
		{"behind the first of two of a time", with(func(f *AppEventFilter) { f.After = &AppCursor{30, 3} }), "2.0 1.0 1.1"},
	} {
		if got := appIDs(t, s, is.filter); got != is.want {
			t.Errorf("%s: got %q, want %q", is.what, got, is.want)
		}
	}
	find := func(account, source, id string) AppEvent {
		return viewed(t, s, func(v *View) (AppEvent, error) { return v.AppEvent(account, source, id) })
	}
	if got := find("a", "", "1"); got.Time != 10 || got.Category != "z" || string(got.Data) != `[2]` || got.Offset != 7 {
		t.Errorf("amended: got %+v", got)
	}
	for want, key := range map[error]EventKey{ErrSeveral: {"", schemas.AppSource, "1"}, ErrNotFound: {"b", "", "2"}} {
		err := s.View(ctx, func(v *View) error {
			_, err := v.AppEvent(key.Account, key.Source, key.ID)
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("%+v: got %v, want %v", key, err, want)
		}
	}

	gone := AppEvent{EventKey: EventKey{"a", schemas.AppSource, "2"}, Revision: 1, RetractedAt: 5}
	stale := appEvent("a", "1", 0, "old", "old")
	stale.Revision = 1
	again := appEvent("b", "1", 50, "again", "again") // forgotten by the dedupe window
	foreign := appEvent("b", "1", 1, "x", "n")
	foreign.Source = "elsewhere"
	c = o.next(4)
	c.AppEvents = []AppEvent{gone, stale, again, foreign}
	o.apply(c)
	if got := find("b", "", "1"); got.Source != schemas.AppSource || got.Category != "x" {
		t.Errorf("of two sources: got %+v", got)
	}
	if got := find("b", "elsewhere", "1"); got.Source != "elsewhere" {
		t.Errorf("of the source named: got %+v", got)
	}
	if got, want := appIDs(t, s, all), "3.0 1.0 1.1 1.0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := find("a", "", "2"); got.RetractedAt != 5 || got.Revision != 1 || got.Category != "y" {
		t.Errorf("retracted: got %+v", got)
	}
	if got := find("a", "", "1").Category; got != "z" {
		t.Errorf("a late revision was written over a newer one: %q", got)
	}
}

func TestAppErrors(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	c := o.next(4)
	c.Ledger.Counted, c.Ledger.Rejected = 0, 4
	for i, account := range []string{"a", "a", "b", "a"} {
		e := ErrorRow{ID: fmt.Sprint("e", i), Time: int64(10 * i), Account: account, Origin: usage0, Offset: int64(i), LastOffset: int64(i), Records: 1}
		c.Errors = append(c.Errors, e)
		if i < 3 { // the last is of an event of another kind
			c.AppErrors = append(c.AppErrors, AppError{e.ID, account, e.Time, fmt.Sprint("event", i)})
		}
	}
	o.apply(c)
	for want, f := range map[string]AppErrorFilter{
		"e2 e1 e0": {From: math.MinInt64, To: math.MaxInt64},
		"e1 e0":    {From: math.MinInt64, To: math.MaxInt64, Account: "a"},
		"e1":       {From: math.MinInt64, To: math.MaxInt64, Account: "a", Event: "event1"},
		"e0":       {From: math.MinInt64, To: 9},
		"e2":       {From: 20, To: 20},
		"e1 e0 ":   {From: math.MinInt64, To: math.MaxInt64, After: &ListCursor{20, "e2"}, Limit: 5},
	} {
		var got []string
		for _, e := range viewed(t, s, func(v *View) ([]ErrorRow, error) { return v.AppErrors(f) }) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%+v: got %v, want %s", f, got, want)
		}
	}
	for _, is := range []struct {
		account, id string
		found       bool
	}{{"a", "e0", true}, {"", "e2", true}, {"a", "e2", false}, {"a", "e3", false}, {"", "e9", false}} {
		err := s.View(ctx, func(v *View) error {
			_, err := v.AppError(is.account, is.id)
			return err
		})
		if is.found != (err == nil) || !is.found && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of %q: got %v, want found %t", is.id, is.account, err, is.found)
		}
	}
}
