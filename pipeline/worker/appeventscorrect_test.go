package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
	"tallybook/store"
)

// Rows of application events follow their corrections, in the batch of the event
// and in later ones, whatever step fails.
func TestAppEventCorrections(t *testing.T) {
	for _, step := range []string{"corrections", "app_events", "commit", "move"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied=%t", step, applied), func(t *testing.T) {
				t.Parallel()
				correctApps(t, step, applied)
			})
		}
	}
}

func correctApps(t *testing.T, step string, applied bool) {
	const n = 60
	r := newRig(t)
	type state struct {
		revision int64
		name     string
		gone     bool
	}
	want := map[string]*state{}
	correct := func(i int, revision int64, name string) kafka.Message {
		id := fmt.Sprintf("app-%d", i)
		own := schemas.Identity{ID: fmt.Sprintf("%s-%d", id, revision), Source: "fix", Account: "acct-0"}
		c := schemas.Correction{Source: "test", ID: id, Revision: revision}
		s := want[id]
		if s.revision = revision; name == "" {
			s.gone = true
			return message("acct-0", string(schemas.NewRetraction(own, c)))
		}
		s.name = name
		c.After = fmt.Appendf(nil, `{"session":%q,"category":"c","name":%q,"data":{"n":%d}}`, session("acct-0"), name, revision)
		value, err := schemas.NewAmendment(own, c)
		if err != nil {
			t.Fatal(err)
		}
		return message("acct-0", string(value))
	}
	var early, late []kafka.Message
	for i := range n {
		id := fmt.Sprintf("app-%d", i)
		want[id] = &state{name: "pageview"}
		early = append(early, appMessage("acct-0", id, "2026-01-01T00:00:00Z", goodData("acct-0")))
		if i%3 > 0 {
			early = append(early, correct(i, 1, "first"))
		}
		if i%3 == 1 {
			late = append(late, correct(i, 2, "second"), correct(i, 3, ""))
		}
		if i%3 == 2 {
			late = append(late, correct(i, 2, "second"))
		}
	}
	foreign, err := schemas.NewAmendment(schemas.Identity{ID: "foreign", Source: "fix", Account: "acct-0"},
		schemas.Correction{Source: "test", ID: "app-0", Revision: 1, After: []byte(goodData("acct-1"))})
	if err != nil {
		t.Fatal(err)
	}
	late = append(late, message("acct-0", string(foreign)))

	var victim atomic.Pointer[process]
	r.setFault(func(at string) (before, after error) {
		p := victim.Load()
		if at != step || p == nil || !victim.CompareAndSwap(p, nil) {
			return nil, nil
		}
		p.kill()
		if applied {
			return nil, errFault
		}
		return errFault, nil
	})
	r.produce(early...)
	r.start().drain()
	p := r.start(func(c *Config) { c.BatchEvents = 17 })
	victim.Store(p)
	r.produce(late...)
	<-p.exited
	r.setFault(nil)
	r.start().drain()

	s := r.openStore()
	defer s.Close()
	err = s.View(context.Background(), func(v *store.View) error {
		for id, w := range want {
			e, err := v.AppEvent("acct-0", "test", id)
			if err != nil {
				return err
			}
			if e.Revision != w.revision || e.Name != w.name || (e.RetractedAt != 0) != w.gone || e.Time != 1767225600_000_000 {
				t.Errorf("%s: got %+v, want %+v", id, e, *w)
			}
			if data := fmt.Sprintf(`{"n":%d}`, w.revision); w.revision > 0 && !w.gone && string(e.Data) != data {
				t.Errorf("%s: got data %s, want %s", id, e.Data, data)
			}
		}
		rows, err := v.Errors(store.ErrorFilter{})
		if err == nil && (len(rows) != 1 || rows[0].Reason != schemas.UnknownSession) {
			t.Errorf("got errors %+v, want one of the session", rows)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
