package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// ledgerBook is what a topic's one partition must come to hold, by a model that
// knows nothing of batches: records are judged one by one in the order of the log.
type ledgerBook struct {
	t        *testing.T
	events   map[store.EventKey]*modelEvent
	applied  map[store.EventKey]bool // identities that were counted, also corrections'
	messages []kafka.Message

	counted, duplicate, extra int64
	rejected                  map[schemas.Reason]int64
}

type modelEvent struct {
	revision  int64
	retracted bool
	hour      schemas.Hour
	data      modelData
}

type modelData struct {
	endpoint string
	latency  int64 // whole ms; -1: none
	quantity int64
}

func (d modelData) json() string {
	latency := ""
	if d.latency >= 0 {
		latency = fmt.Sprintf(`,"latency_ms":%d`, d.latency)
	}
	return fmt.Sprintf(`{"endpoint":%q,"status":200,"quantity":%d,"dimensions":{"region":"eu"},"note":{"a":[1]}%s}`, d.endpoint, d.quantity, latency)
}

func newBook(t *testing.T) *ledgerBook {
	return &ledgerBook{t: t, events: map[store.EventKey]*modelEvent{}, applied: map[store.EventKey]bool{}, rejected: map[schemas.Reason]int64{}}
}

func (b *ledgerBook) send(account, value string) {
	b.messages = append(b.messages, message(account, value))
}

func (b *ledgerBook) event(key store.EventKey, at string, d modelData) {
	b.send(key.Account, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":"api.request","subject":%q,"time":%q,"data":%s}`,
		key.ID, key.Source, key.Account, at, d.json()))
	if b.applied[key] {
		b.duplicate++
		return
	}
	b.applied[key] = true
	b.counted++
	micros, ok := schemas.ParseTime([]byte(at))
	if !ok {
		b.t.Fatal(at)
	}
	b.events[key] = &modelEvent{hour: schemas.HourOf(micros), data: d}
}

// correct sends a correction by its own id; after nil: a retraction. A data with
// a negative quantity of -1000 stands for one that is no request's.
func (b *ledgerBook) correct(id string, target store.EventKey, revision int64, after *modelData) {
	own := schemas.Identity{ID: id, Source: "fix", Account: target.Account}
	c := schemas.Correction{Source: target.Source, ID: target.ID, Revision: revision, Reason: "test"}
	valid := true
	if after == nil {
		b.send(target.Account, string(schemas.NewRetraction(own, c)))
	} else {
		if c.After = []byte(after.json()); after.quantity == invalidQuantity {
			c.After, valid = []byte(`{"endpoint":"","status":200}`), false
		}
		value, err := schemas.NewAmendment(own, c)
		if err != nil {
			b.t.Fatal(err)
		}
		b.send(target.Account, string(value))
	}
	key := store.EventKey{Account: target.Account, Source: "fix", ID: id}
	e := b.events[target]
	switch {
	case b.applied[key], e != nil && revision <= e.revision:
		b.duplicate++
		return
	case e == nil:
		b.rejected[schemas.UnknownOriginal]++
		return
	case e.retracted:
		b.rejected[schemas.Retracted]++
		return
	case revision > e.revision+1:
		b.rejected[schemas.RevisionGap]++
		return
	case !valid:
		b.rejected[schemas.InvalidValue]++
		return
	}
	b.applied[key] = true
	b.counted++
	if e.revision = revision; after == nil {
		e.retracted = true
		return
	}
	e.data = *after
	b.extra++
}

const invalidQuantity = -1000

// cellOf is a rollup row's key in the comparison.
type cellOf struct {
	account, endpoint string
	hour              schemas.Hour
}

// sums are a row's numbers in the comparison; latencies sorted, where known.
type sums struct{ count, quantity, values, total int64 }

func (b *ledgerBook) totals() map[cellOf]sums {
	all := map[cellOf]sums{}
	for key, e := range b.events {
		if e.retracted {
			continue
		}
		k := cellOf{key.Account, e.data.endpoint, e.hour}
		s := all[k]
		s.count++
		s.quantity += e.data.quantity
		if e.data.latency >= 0 {
			s.values++
			s.total += e.data.latency
		}
		all[k] = s
	}
	return all
}

// holds compares store and archive with the model.
func (b *ledgerBook) holds(r *rig) {
	r.t.Helper()
	s := r.openStore()
	defer s.Close()
	rollups, ledger, errors := map[cellOf]sums{}, store.Ledger{}, map[schemas.Reason]int64{}
	var files []store.ArchiveFile
	err := s.View(context.Background(), func(v *store.View) (err error) {
		q := store.RollupQuery{Family: schemas.FamilyRequest, From: 0, To: 1 << 30}
		if err = v.Rollups(q, func(row *store.Rollup) error {
			rollups[cellOf{row.Series.Account, row.Series.Dims[2], row.Window}] =
				sums{row.Count, row.Quantity.Units, row.ValueCount, row.ValueSum.Units}
			return nil
		}); err != nil {
			return err
		}
		rows, err := v.Ledger(r.tp, 0, 1<<20)
		for _, l := range rows {
			ledger.Counted += l.Counted
			ledger.Duplicate += l.Duplicate
			ledger.Rejected += l.Rejected
			ledger.Extra += l.Extra
		}
		if err != nil {
			return err
		}
		if files, err = v.Files(store.FileFilter{}); err != nil {
			return err
		}
		refused, err := v.Errors(store.ErrorFilter{Limit: 1 << 20})
		for _, e := range refused {
			errors[e.Reason] += e.Records
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if want := b.totals(); !maps.Equal(rollups, want) {
		r.t.Errorf("rollups: got %v\nwant %v", rollups, want)
	}
	if ledger.Counted != b.counted || ledger.Duplicate != b.duplicate || ledger.Extra != b.extra {
		r.t.Errorf("ledger: got counted %d, duplicate %d, extra %d; want %d, %d, %d",
			ledger.Counted, ledger.Duplicate, ledger.Extra, b.counted, b.duplicate, b.extra)
	}
	if !maps.Equal(errors, b.rejected) {
		r.t.Errorf("error rows: got %v, want %v", errors, b.rejected)
	}
	b.archiveHolds(r, files)
}

// archiveHolds: signs times values are the model's totals, addresses are
// distinct, and every row below an amendment undoes one above it to the byte.
func (b *ledgerBook) archiveHolds(r *rig, files []store.ArchiveFile) {
	r.t.Helper()
	a := archive.New(r.bucket)
	totals, addresses, balance := map[cellOf]sums{}, map[string]bool{}, map[string]int{}
	for _, f := range files {
		if f.Dataset != schemas.Usage {
			continue
		}
		err := a.Read(context.Background(), f.Name, archive.Columns(f.Dataset), func(rows *archive.Rows) error {
			for i := range rows.Len() {
				address := fmt.Sprint(rows.Partition, "/", rows.Offset[i], "/", rows.Row[i])
				if addresses[address] {
					r.t.Errorf("address %s is there twice", address)
				}
				addresses[address] = true
				sign := int64(rows.Sign[i])
				k := cellOf{rows.String(rows.Account[i]), rows.String(rows.Strings[schemas.Endpoint][i]), schemas.HourOf(rows.Time[i])}
				s := totals[k]
				s.count += sign
				s.quantity += sign * rows.Quantity[i].Units
				if l := rows.LatencyMS[i]; l == l {
					s.values += sign
					s.total += sign * int64(l)
				}
				totals[k] = s
				if s == (sums{}) {
					delete(totals, k)
				}
				balance[string(rows.Image(i))] += int(sign)
				if balance[string(rows.Image(i))] == 0 {
					delete(balance, string(rows.Image(i)))
				}
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if want := b.totals(); !maps.Equal(totals, want) {
		r.t.Errorf("archive: got %v\nwant %v", totals, want)
	}
	var left, alive int
	for image, n := range balance {
		if left += n; n < 0 {
			r.t.Errorf("%d rows more than there were are taken away of %s", -n, image)
		}
	}
	for _, e := range b.events {
		if !e.retracted {
			alive++
		}
	}
	if left != alive {
		r.t.Errorf("the archive's rows leave %d events, want %d", left, alive)
	}
}

func eventKey(account, id string) store.EventKey {
	return store.EventKey{Account: account, Source: "test", ID: id}
}

// Each rule of a correction, in batches of one record and in a single one.
func TestCorrections(t *testing.T) {
	for _, batch := range []int{1, 3, 1000} {
		t.Run(fmt.Sprint("batch ", batch), func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBook(t)
			a, c := eventKey("acct", "a"), eventKey("acct", "c")
			b.correct("early", a, 1, nil) // before its original
			b.event(a, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})
			b.event(c, "2025-03-01T10:30:00.000001Z", modelData{"/a", 7, 2}) // months old
			b.event(eventKey("other", "a"), "2026-01-01T10:00:00Z", modelData{"/a", 9, 1})
			b.correct("1", a, 1, &modelData{"/b", 6, 3}) // another series
			b.correct("1", a, 1, &modelData{"/b", 6, 3}) // a repeat
			b.correct("other 1", a, 1, nil)              // lost the race
			b.correct("gap", a, 3, nil)
			b.correct("2", a, 2, &modelData{"/b", -1, 3})                                   // no value any more
			b.correct("3", a, 3, &modelData{"/b", 1, invalidQuantity})                      // not valid
			b.correct("3", a, 3, nil)                                                       // the same id, since it was not applied
			b.correct("4", a, 4, &modelData{"/b", 1, 1})                                    // of a retracted event
			b.correct("5", eventKey("acct", "none"), 1, nil)                                // of nothing
			b.correct("6", store.EventKey{Account: "acct", Source: "fix", ID: "1"}, 1, nil) // of a correction
			b.event(a, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})                       // sent again: it stays retracted
			b.correct("7", c, 1, nil)
			b.correct("early", a, 1, nil)
			r.produce(b.messages...)
			r.start(func(c *Config) { c.BatchEvents = batch }).drain()
			b.holds(r)
			wantState(t, r, a, 3, true)
			wantState(t, r, c, 1, true)
			// Everything once more, to another process: all are repeats or as wrong as before.
			again := b.messages
			b.messages = nil
			b.event(a, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})
			b.correct("1", a, 1, nil)
			b.correct("8", eventKey("other", "a"), 1, &modelData{"/a", 9, 1})
			if len(again) == 0 {
				t.Fatal("nothing was sent")
			}
			r.produce(b.messages...)
			r.start().drain()
			b.holds(r)
		})
	}
}

func wantState(t *testing.T, r *rig, key store.EventKey, revision int64, retracted bool) {
	t.Helper()
	s := r.openStore()
	defer s.Close()
	got, err := s.CorrectionState(context.Background(), schemas.Usage, key)
	if err != nil || got.Revision != revision || got.Retracted != retracted || (got.Rows == nil) != retracted {
		t.Errorf("%v: got %+v, %v; want revision %d, retracted %v", key, got, err, revision, retracted)
	}
}

// randomRecords adds n records of a few accounts and ids, so that every rule is
// met often.
func (b *ledgerBook) randomRecords(rnd *rand.Rand, n int) {
	for range n {
		key := eventKey(fmt.Sprintf("acct-%d", rnd.IntN(3)), fmt.Sprint("e", rnd.IntN(40)))
		data := modelData{fmt.Sprint("/", rnd.IntN(3)), rnd.Int64N(8) - 1, rnd.Int64N(5) - 1}
		if rnd.IntN(3) == 0 {
			b.event(key, fmt.Sprintf("2026-01-%02dT%02d:15:00Z", 1+rnd.IntN(3), rnd.IntN(3)), data)
			continue
		}
		after := &data
		switch rnd.IntN(12) {
		case 0, 1:
			after = nil
		case 2:
			data.quantity = invalidQuantity
		}
		revision := int64(1)
		if e := b.events[key]; e != nil {
			revision = max(1, e.revision+1+rnd.Int64N(8)/6-rnd.Int64N(8)/6)
		}
		b.correct(fmt.Sprint("f", rnd.IntN(400)), key, revision, after)
	}
}

// Random sequences, cut into batches of any size, with faults and deaths of the
// process at every step, end where the model does.
func TestRandomCorrections(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			r, b := newRig(t), newBook(t)
			for range 4 {
				b.messages = nil
				b.randomRecords(rnd, 150)
				r.produce(b.messages...)
				r.strike(rnd)
				p := r.start(func(c *Config) { c.BatchEvents = 10 + rnd.IntN(60) })
				if rnd.IntN(2) == 0 {
					r.until("something was done", func() bool { return p.part.nextPos.Load() > 0 })
					p.kill()
					<-p.exited
				} else {
					p.drain()
				}
			}
			r.setFault(nil)
			r.start().drain()
			b.holds(r)
		})
	}
}

// strike makes one step in two hundred fail, before or after it was done.
func (r *rig) strike(rnd *rand.Rand) {
	dice := rand.New(rand.NewPCG(rnd.Uint64(), 1))
	r.setFault(func(string) (before, after error) { // called under no lock of ours: one step at a time is enough
		r.mu.Lock()
		defer r.mu.Unlock()
		switch dice.IntN(400) {
		case 0:
			return errFault, nil
		case 1:
			return nil, errFault
		}
		return nil, nil
	})
}

// Each step of a checkpoint with corrections, as TestFaults does it.
func TestCorrectionFaults(t *testing.T) {
	for _, step := range append(slices.Clone(steps), "corrections") {
		for _, applied := range []bool{false, true} {
			for _, dies := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s applied=%t dies=%t", step, applied, dies), func(t *testing.T) {
					t.Parallel()
					correctionFault(t, step, applied, dies)
				})
			}
		}
	}
}

func correctionFault(t *testing.T, step string, applied, dies bool) {
	r, b := newRig(t), newBook(t)
	for i := range 20 {
		b.event(eventKey("acct", fmt.Sprint(i)), "2026-01-01T10:00:00Z", modelData{"/a", int64(i), 1})
	}
	r.produce(b.messages...)
	r.start().drain()
	b.messages = nil
	for i := range 20 {
		b.correct(fmt.Sprint("f", i), eventKey("acct", fmt.Sprint(i)), 1, &modelData{"/b", int64(i), 1})
		b.correct(fmt.Sprint("g", i), eventKey("acct", fmt.Sprint(i)), 2, nil)
		b.correct(fmt.Sprint("h", i), eventKey("acct", fmt.Sprint(i)), 3, nil)
	}
	struck := make(chan struct{})
	victim := make(chan *process, 1)
	seen := 0
	r.setFault(func(at string) (before, after error) {
		if at != step || seen > 0 {
			return nil, nil
		}
		seen++
		if dies {
			p := <-victim
			p.kill()
		}
		close(struck)
		if applied {
			return nil, errFault
		}
		return errFault, nil
	})
	r.produce(b.messages...)
	p := r.start(func(c *Config) { c.BatchEvents = 25 })
	victim <- p
	if dies {
		<-struck
		<-p.exited
		r.setFault(nil)
		p = r.start()
	}
	p.drain()
	b.holds(r)
}

// The state in the store is what the archive says of the event.
func TestCorrectedRowIsKept(t *testing.T) {
	r, b := newRig(t), newBook(t)
	key := eventKey("acct", "a")
	b.event(key, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})
	b.correct("1", key, 1, &modelData{"/b", 6, 3})
	r.produce(b.messages...)
	r.start().drain()
	s := r.openStore()
	defer s.Close()
	got, err := s.CorrectionState(context.Background(), schemas.Usage, key)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(got.Rows, &rows); err != nil || len(rows) != 1 {
		t.Fatalf("got %s, %v", got.Rows, err)
	}
	want := map[string]any{"account": "acct", "type": "api.request", "time": 1767261600000000.0, "endpoint": "/b",
		"status": 200.0, "latency_ms": 6.0, "quantity": []any{3.0, 0.0}, "dimensions": `{"region":"eu"}`, "data": `{"note":{"a":[1]}}`}
	for name, value := range want {
		if got, want := fmt.Sprint(rows[0][name]), fmt.Sprint(value); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if len(rows[0]) != len(want) {
		t.Errorf("got %d columns, want %d: %v", len(rows[0]), len(want), slices.SortedFunc(maps.Keys(rows[0]), cmp.Compare))
	}
	revision, err := s.AppliedCorrection(context.Background(), "acct", "fix", "1")
	if err != nil || revision != 1 {
		t.Errorf("got revision %d, %v; want 1", revision, err)
	}
}

// Another partition takes the revision between judging and the commit: the
// batch is judged again, and the correction is a repeat.
func TestRevisionTakenMeanwhile(t *testing.T) {
	r, b := newRig(t), newBook(t)
	key := eventKey("acct", "a")
	b.event(key, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})
	b.event(eventKey("acct", "b"), "2026-01-01T10:00:00Z", modelData{"/a", 6, 1})
	r.produce(b.messages...)
	r.start().drain()
	other := r.openStore()
	defer other.Close()
	took := false
	r.setFault(func(step string) (before, after error) {
		if step != "put" || took {
			return nil, nil
		}
		took = true
		from, err := other.TakeOver(context.Background(), schemas.Partition{Topic: schemas.Usage, ID: 1}, 0)
		if err != nil {
			t.Error(err)
		}
		c := &store.Checkpoint{From: from, To: from, Ledger: store.Ledger{Next: 1, Records: 1, Counted: 1}, ClosedAt: time.Unix(1, 0),
			Corrections: []store.Correction{{Event: key, Revision: 1, Source: "elsewhere", ID: "1", Rows: []byte(`[{}]`)}}}
		c.To.Next = 1
		r.setFault(nil)
		if res, err := other.Checkpoint(context.Background(), []*store.Checkpoint{c}); err != nil || res[0].Outcome != store.Applied {
			t.Errorf("the other partition: got %+v, %v", res, err)
		}
		return nil, nil
	})
	b.messages = nil
	b.correct("2", eventKey("acct", "b"), 1, nil)
	b.send("acct", string(schemas.NewRetraction(schemas.Identity{ID: "1", Source: "fix", Account: "acct"},
		schemas.Correction{Source: "test", ID: "a", Revision: 1})))
	b.duplicate++
	r.produce(b.messages...)
	r.start().drain()
	if !took {
		t.Fatal("nothing was taken")
	}
	b.holds(r)
}

// A record with a key that is not its account may sit in another partition:
// its correction, which has the right key, finds it there.
func TestOriginalOfAnotherPartition(t *testing.T) {
	r, b := newRigOf(t, 2), newBook(t)
	key := eventKey("acct", "a")
	partition := func(key string) int {
		return broker.Partitioner.Balance(kafka.Message{Key: []byte(key)}, 0, 1)
	}
	wrong := "x"
	for partition(wrong) == partition(key.Account) {
		wrong += "x"
	}
	b.event(key, "2026-01-01T10:00:00Z", modelData{"/a", 5, 1})
	b.messages[0].Key = []byte(wrong)
	r.tp.ID = int32(partition(wrong))
	r.produce(b.messages...)
	r.start().drain()
	b.holds(r)
	b.messages = nil
	b.correct("1", key, 1, &modelData{"/b", 6, 3})
	b.correct("2", key, 2, nil)
	r.tp.ID = int32(partition(key.Account))
	r.produce(b.messages...)
	r.start().drain()
	b.counted-- // the event is in the ledger of the other
	b.holds(r)
}
