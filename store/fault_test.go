package store

import (
	"context"
	"errors"
	"testing"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// TestFaults: each step, not done, or done but answered with an error; then the
// same batch again. Before the commit nothing of it may be there, after it all.
func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	for _, step := range []string{"begin", "checkpoint", "series", "rollups", "sketches", "meters", "files", "errors", "app_events", "quotas", "ledger", "commit"} {
		for _, applied := range []bool{false, true} {
			t.Run(step+map[bool]string{false: " not applied", true: " applied, answer lost"}[applied], func(t *testing.T) {
				path := storetest.URL(t)
				calls := 0
				s := openFile(t, path, Options{Fault: func(at string) (before, after error) {
					if at != step {
						return nil, nil
					}
					if calls++; calls > 1 {
						return nil, nil
					}
					if applied {
						return nil, boom
					}
					return boom, nil
				}})
				o, p := takeOver(t, s, usage0), takeOver(t, s, usage1)
				makeQuota(t, s)
				before := everything(t, s)
				batch := []*Checkpoint{o.next(1, request(day0.Hour(), "a", "x")), p.next(1, request(day0.Hour(), "b", "x"))}
				batch[0].Files = []ArchiveFile{{Name: "f", Dataset: schemas.Usage, Partition: usage0}}
				batch[0].Errors = []ErrorRow{{ID: "e", Origin: usage0}}
				batch[0].AppEvents, batch[0].AppErrors = []AppEvent{appEvent("a", "1", 1, "c", "n")}, []AppError{{Error: "e"}}

				batch[0].Subscribed = usesOf(quotaOf(t, s), 1)

				_, err := s.Checkpoint(ctx, batch)
				if !errors.Is(err, boom) || errors.Is(err, ErrUnknown) != (step == "commit") {
					t.Fatalf("got %v, want boom, unknown at commit alone", err)
				}
				if changed, want := everything(t, s) != before, step == "commit" && applied; changed != want {
					t.Errorf("got changed %v, want %v", changed, want)
				}
				again := openFile(t, path, Options{}) // as after a crash
				results, err := again.Checkpoint(ctx, batch)
				if err != nil || results[0].Outcome != Applied || results[1].Outcome != Applied {
					t.Fatalf("again: got %v, %v, want Applied", results, err)
				}
				want := fold{}
				want.add(t, request(day0.Hour(), "a", "x"), request(day0.Hour(), "b", "x"))
				wantLines(t, "rollups", rollups(t, again, RollupQuery{Family: schemas.FamilyRequest,
					From: day0.Hour(), To: day0.Hour() + 1}), want.lines())
				if got := appIDs(t, again, all); got != "1.0" {
					t.Errorf("application events: got %q", got)
				}
				if got := used(t, again, quotaOf(t, again)); got != "1" {
					t.Errorf("quota use: got %s, want 1", got)
				}
				// The store that saw the fault goes on too, and forgot no series.
				p.pos = batch[1].To
				p.apply(p.next(1, request(day0.Hour()+1, "b", "x")))
				if got := rowsRead(t, s, RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour() + 1, To: day0.Hour() + 2}); got != 1 {
					t.Errorf("got %d rows of the next checkpoint, want 1", got)
				}
			})
		}
	}
}

// TestCanceled: a context that ends cuts a checkpoint short without a trace,
// and the writer goes on.
func TestCanceled(t *testing.T) {
	ending, cancel := context.WithCancel(ctx)
	s := openFile(t, storetest.URL(t), Options{Fault: func(step string) (before, after error) {
		if step == "files" {
			cancel()
		}
		return nil, nil
	}})
	o := takeOver(t, s, usage0)
	before := everything(t, s)
	c := o.next(1, request(day0.Hour(), "a", "x"))
	if _, err := s.Checkpoint(ending, []*Checkpoint{c}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknown) {
		t.Fatalf("got %v, want canceled, known", err)
	}
	if after := everything(t, s); after != before {
		t.Errorf("it left something:\n%s", after)
	}
	o.apply(c)
}
