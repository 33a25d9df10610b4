package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/archive/archivetest"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// rig is what outlives a worker: the log, the database file and the bucket.
// Each start opens the store anew, as a process would.
type rig struct {
	t      *testing.T
	url    string // of the store
	dir    string
	kafka  *broker.Kafka
	bucket archive.Bucket
	tp     schemas.Partition

	mu    sync.Mutex
	fault func(step string) (before, after error)

	sent     map[string]int64 // accepted events by account
	free     int64            // of acct-0, those whose route has no price
	apps     map[string]bool  // application events that must be there, as account and id
	bad, dup int64
	used     map[schemas.Day]schemas.Decimal // of the quota, as the archive has it
	owed     schemas.Decimal                 // amounts, as the archive has them
	lost     int64                           // requests of no subscription there
	floor    int64                           // the position was seen here, and must not go back
}

func newRig(t *testing.T) *rig { return newRigOf(t, 1) }

func newRigOf(t *testing.T, partitions int) *rig {
	t.Helper()
	bucket := archivetest.Bucket(t)
	r := newRigOn(t, partitions, bucket)
	bucket.Fault = func(op, name string) (error, error) { return r.step(op) }
	return r
}

func newRigOn(t *testing.T, partitions int, bucket archive.Bucket) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), url: storetest.URL(t), bucket: bucket, sent: map[string]int64{}, apps: map[string]bool{},
		tp: schemas.Partition{Topic: schemas.Usage, ID: 0}}
	b, err := broker.Start(broker.Config{Dir: filepath.Join(r.dir, "kafka"), Listen: "127.0.0.1:0", Partitions: partitions,
		MaxMessageBytes: 16 << 20, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	r.kafka = broker.NewKafka(b.Addr())
	r.makeSessions("acct-0", "acct-1")
	r.makeQuota()
	r.declare(spread)
	return r
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (r *rig) step(name string) (before, after error) {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		return nil, nil
	}
	return fault(name)
}

func (r *rig) setFault(f func(step string) (before, after error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

func event(account, id, at string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"api.request","subject":%q,"time":%q,`+
		`"data":{%s"api":"orders","version":"v1","endpoint":"/orders","method":"GET","status":200,"latency_ms":12.5,"bytes":100}}`, id, account, at, stamp(account))
}

func (r *rig) produce(messages ...kafka.Message) {
	r.t.Helper()
	for i := range messages {
		messages[i].Partition = int(r.tp.ID)
	}
	w := r.kafka.Writer(r.tp.Topic)
	w.BatchBytes = 16 << 20
	defer w.Close()
	if err := w.WriteMessages(context.Background(), messages...); err != nil {
		r.t.Fatal(err)
	}
}

// load sends n events of two accounts, every tenth twice, every twentieth with
// a bad one beside it; ids begin at first.
func (r *rig) load(first, n int) {
	r.t.Helper()
	var messages []kafka.Message
	for i := first; i < first+n; i++ {
		account := fmt.Sprintf("acct-%d", i%2)
		at := fmt.Sprintf("2026-01-0%dT%02d:00:00Z", 1+i%3, i%24)
		m := kafka.Message{Key: []byte(account), Value: []byte(event(account, fmt.Sprintf("id-%d", i), at))}
		messages = append(messages, m)
		r.sent[account]++
		if i%7 == 0 {
			messages = append(messages, r.app(account, fmt.Sprintf("app-%d", i), at))
		}
		if i%10 == 0 {
			messages = append(messages, m)
			r.dup++
		}
		if i%20 == 0 {
			messages = append(messages, kafka.Message{Key: []byte(account), Value: []byte(`{"specversion":`)})
			r.bad++
		}
	}
	r.produce(messages...)
}

// process is one life of a worker.
type process struct {
	rig    *rig
	store  *store.Store
	part   *partition
	stop   context.CancelFunc // as a stop or a hand-over does
	kill   context.CancelFunc // as near to kill -9 as it gets within a process
	exited chan struct{}
}

func (r *rig) openStore() *store.Store {
	r.t.Helper()
	s, err := store.Open(context.Background(), r.url,
		store.Options{Log: quiet(), Fault: func(step string) (error, error) { return r.step(step) }})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) start(tune ...func(*Config)) *process {
	r.t.Helper()
	return r.startOn(r.openStore(), tune...)
}

func (r *rig) startOn(s *store.Store, tune ...func(*Config)) *process {
	r.t.Helper()
	cfg := Config{Brokers: r.kafka.Brokers, Client: r.kafka.Client(), Store: s, Archive: archive.New(r.bucket), Log: quiet(),
		Interval: 10 * time.Millisecond, BatchEvents: 40, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		FencedWait: time.Millisecond}
	for _, f := range tune {
		f(&cfg)
	}
	cfg.fill()
	secret, err := s.Secret(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	hard, kill := context.WithCancel(context.Background())
	commits := make(chan *commitRequest)
	p := &process{rig: r, store: s, part: newPartition(&cfg, r.tp, commits, secret),
		stop: stop, kill: func() { kill(); stop() }, exited: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() { p.part.run(ctx, hard); kill() })
	running.Go(func() { (&committer{&cfg, commits}).run(hard) })
	go func() {
		running.Wait()
		s.Close()
		close(p.exited)
	}()
	r.t.Cleanup(func() { p.kill(); <-p.exited })
	return p
}

// patience is long enough for a machine that does much besides.
const patience = time.Minute

// until waits for a condition that a worker brings about.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited %v until %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) end() int64 {
	_, end, err := r.kafka.Offsets(context.Background(), r.tp)
	if err != nil {
		r.t.Fatal(err)
	}
	return end
}

// drain lets the process work off the log and stops it.
func (p *process) drain() {
	p.rig.t.Helper()
	end := p.rig.end()
	p.rig.until("the log is worked off", func() bool { return p.part.nextPos.Load() == end })
	p.stop()
	<-p.exited
}

// finish starts a sound process, lets it work off the log, and checks.
func (r *rig) finish() {
	r.t.Helper()
	r.setFault(nil)
	r.start().drain()
	r.check()
}

// check is the promise: rollups = fold of the archive = distinct accepted
// events; every file is committed and in place; the ledger joins.
func (r *rig) check() {
	r.t.Helper()
	ctx := context.Background()
	s := r.openStore()
	defer s.Close()
	var files []store.ArchiveFile
	rollups, amount := map[string]int64{}, schemas.Decimal{}
	var ledger store.Ledger
	err := s.View(ctx, func(v *store.View) (err error) {
		if files, err = v.Files(store.FileFilter{}); err != nil {
			return err
		}
		q := store.RollupQuery{Family: schemas.FamilyRequest, From: 0, To: 1 << 30}
		if err = v.Rollups(q, func(row *store.Rollup) error {
			rollups[fmt.Sprintf("%s %d", row.Series.Account, row.Window)] += row.Count
			rollups[row.Series.Account] += row.Count
			amount = plus(amount, row.Amount)
			return nil
		}); err != nil {
			return err
		}
		rows, err := v.Ledger(r.tp, 0, 1<<20)
		var next int64
		for _, l := range rows {
			if l.First != next {
				r.t.Errorf("ledger row begins at %d, want %d", l.First, next)
			}
			next = l.Next
			ledger.Records += l.Records
			ledger.Counted += l.Counted
			ledger.Duplicate += l.Duplicate
			ledger.Rejected += l.Rejected
		}
		if next < r.floor {
			r.t.Errorf("the position went back from %d to %d", r.floor, next)
		}
		r.floor = next
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	archived, ids := r.readArchive(files)
	r.checkApps(s)
	for key, want := range archived {
		if rollups[key] != want {
			r.t.Errorf("rollup of %s = %d, archive has %d", key, rollups[key], want)
		}
	}
	if len(rollups) != len(archived) {
		r.t.Errorf("%d rollup keys, the archive gives %d", len(rollups), len(archived))
	}
	r.checkMeters(s, archived)
	r.checkQuotas(s)
	priced := r.sent["acct-0"] - r.free
	if want := (schemas.Decimal{Units: priced / 4, Nanos: int32(priced%4) * 250_000_000}); amount != want || r.owed != want {
		r.t.Errorf("amounts of %v in rollups, %v in the archive, want %v", amount, r.owed, want)
	}
	var total int64
	for account, want := range r.sent {
		total += want
		if rollups[account] != want {
			r.t.Errorf("%s = %d, sent %d", account, rollups[account], want)
		}
	}
	if int64(len(ids)) != total {
		r.t.Errorf("%d distinct ids in the archive, sent %d", len(ids), total)
	}
	total += int64(len(r.apps))
	if ledger.Counted != total || ledger.Duplicate != r.dup || ledger.Rejected != r.bad {
		r.t.Errorf("ledger: counted %d, duplicate %d, rejected %d; want %d, %d, %d",
			ledger.Counted, ledger.Duplicate, ledger.Rejected, total, r.dup, r.bad)
	}
}

// readArchive counts what a plain glob over the folders sees, and holds the
// file names against the store's.
func (r *rig) readArchive(files []store.ArchiveFile) (counts map[string]int64, ids map[string]bool) {
	r.t.Helper()
	ctx := context.Background()
	known := map[string]bool{}
	for _, f := range files {
		known[f.Name] = true
	}
	counts, ids = map[string]int64{}, map[string]bool{}
	r.used, r.lost, r.owed = map[schemas.Day]schemas.Decimal{}, 0, schemas.Decimal{}
	a := archive.New(r.bucket)
	err := r.bucket.List(ctx, "", "", func(name string, _ int64) error {
		if name[0] == '_' {
			return nil
		}
		if !known[name] {
			r.t.Errorf("a reader sees %s, which no checkpoint committed", name)
		}
		delete(known, name)
		columns := []string{"id", "account", "type", "time", "customer", "subscription"}
		if strings.HasPrefix(name, string(schemas.Usage)) {
			columns = append(columns, "quantity", "amount")
		}
		return a.Read(ctx, name, columns, func(rows *archive.Rows) error {
			for i := range rows.Len() {
				if rows.String(rows.Type[i]) != schemas.TypeRequest {
					continue
				}
				r.noteUse(rows, i)
				r.owed = plus(r.owed, amountAt(rows, i))
				account := rows.String(rows.Account[i])
				counts[fmt.Sprintf("%s %d", account, schemas.HourOf(rows.Time[i]))]++
				counts[account]++
				if ids[account+" "+string(rows.ID.At(i))] {
					r.t.Errorf("id %s is twice in the archive", rows.ID.At(i))
				}
				ids[account+" "+string(rows.ID.At(i))] = true
			}
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range known {
		r.t.Errorf("committed file %s is not in place", name)
	}
	return counts, ids
}

// fillUp raises the account's quantities in the store to just below what 64
// bits hold, as years of large events would.
func (r *rig) fillUp(account string) {
	r.t.Helper()
	storetest.Exec(r.t, r.url, `UPDATE rollup_hours SET quantity_units = 9223372036854775807 - 1000 WHERE account = ?`, account)
}
