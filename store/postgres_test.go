//go:build postgres

package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// Connections that end at any moment, between statements, in them and at the
// commit: the same batch is sent until it is answered, as workers do, and every
// event is there once.
func TestConnectionsEnd(t *testing.T) {
	url := storetest.URL(t)
	s := openFile(t, url, Options{})
	killer := openFile(t, url, Options{})
	stop := make(chan struct{})
	var kills sync.WaitGroup
	killed := int64(0)
	kills.Go(func() {
		conn, err := killer.write.Conn(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for {
			select {
			case <-stop:
				return
			default:
			}
			var n int64
			// Of this test's schema alone, wherever they stand; not the one that asks.
			err := conn.QueryRowContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
				JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND l.pid <> pg_backend_pid() AND l.mode = 'RowExclusiveLock'
				AND c.relname = 'ledger'`).Scan(&n)
			if err != nil {
				t.Error(err)
				return
			}
			killed += n
		}
	})
	owners := []*owner{takeOver(t, s, usage0), takeOver(t, s, usage1)}
	rnd := rand.New(rand.NewPCG(5, 6))
	unknown := 0
	for range 60 {
		batch := []*Checkpoint{crossed(owners[0], rnd), crossed(owners[1], rnd)}
		for tries := 0; ; tries++ {
			results, err := s.Checkpoint(ctx, batch)
			if err == nil {
				if results[0].Outcome != Applied || results[1].Outcome != Applied {
					t.Fatalf("got %+v", results)
				}
				break
			}
			if !errors.Is(err, ErrAway) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("got %v, want ErrAway or ErrUnknown", err)
			}
			if errors.Is(err, ErrUnknown) {
				unknown++
			}
			if tries > 1000 {
				t.Fatal("it never comes through")
			}
		}
		owners[0].pos, owners[1].pos = batch[0].To, batch[1].To
	}
	close(stop)
	kills.Wait()
	t.Logf("%d connections were ended, %d answers unknown", killed, unknown)
	wantBelowPositions(t, s)
}

// Processes that start at once make the tables once.
func TestOpenBesideEachOther(t *testing.T) {
	url := storetest.URL(t)
	secrets := make([][16]byte, owners)
	var wait sync.WaitGroup
	for i := range owners {
		wait.Go(func() { secrets[i] = openFile(t, url, Options{}).secret })
	}
	wait.Wait()
	for _, secret := range secrets {
		if secret == [16]byte{} || secret != secrets[0] {
			t.Errorf("got secrets %x, want one", secrets)
		}
	}
}

// What others hold is waited for, for BusyTimeout.
func TestHeldRow(t *testing.T) {
	url := storetest.URL(t)
	a := openFile(t, url, Options{})
	b := openFile(t, url, Options{BusyTimeout: 20 * time.Millisecond})
	o := takeOver(t, a, usage0)
	w, err := a.begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := lockPosition(ctx, w, usage0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.TakeOver(ctx, usage0, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("take over: got %v, want ErrBusy", err)
	}
	if _, err := b.Checkpoint(ctx, []*Checkpoint{o.next(1)}); !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknown) {
		t.Errorf("checkpoint: got %v, want ErrBusy", err)
	}
	if _, err := b.TakeOver(ctx, usage1, 0); err != nil {
		t.Errorf("another partition: %v", err)
	}
	w.rollback()
	if _, err := b.TakeOver(ctx, usage0, 0); err != nil {
		t.Error(err)
	}
	if r := o.try(o.next(1)); r.Outcome != Fenced {
		t.Errorf("got %+v, want Fenced", r)
	}
}

// A COMMIT of a transaction in which a statement failed is no commit.
func TestFailedTransaction(t *testing.T) {
	s := openNew(t)
	err := s.transact(ctx, func(w *writeTx) error {
		w.exec(ctx, `SELECT 1 / 0`)
		return nil
	})
	if !errors.Is(err, errRolledBack) {
		t.Errorf("got %v, want errRolledBack", err)
	}
}

// Texts that PostgreSQL cannot hold.
func TestTexts(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	c := o.next(1, request(day0.Hour(), "a\x00b", "x"))
	c.Errors = []ErrorRow{{ID: "e", Origin: usage0, Account: "a\xff", Message: "got \"\x00\"", Input: []byte{0, 0xff}}}
	o.apply(c)
	e, err := s.Error(ctx, "", "e")
	if err != nil || e.Account != "a\uFFFD" || e.Message != "got \"\uFFFD\"" || string(e.Input) != "\x00\xff" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestAway(t *testing.T) {
	_, err := Open(ctx, "postgres://somebody:sekret@127.0.0.1:1/nothing", Options{})
	if !errors.Is(err, ErrAway) || strings.Contains(err.Error(), "sekret") || !strings.Contains(err.Error(), "postgres://127.0.0.1:1/nothing") {
		t.Errorf("got %v, want ErrAway, and the place without the password", err)
	}
	if _, err := Open(ctx, "postgres://somebody:sekret@host:port", Options{}); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "sekret") {
		t.Errorf("got %v, want ErrURL", err)
	}
}

func TestServer(t *testing.T) {
	s := openNew(t)
	var commit string
	if err := s.write.QueryRow(`SHOW synchronous_commit`).Scan(&commit); err != nil || commit != "on" {
		t.Errorf("synchronous_commit: got %s, %v, want on", commit, err)
	}
	if _, err := s.read.Exec(`DELETE FROM meta`); err == nil {
		t.Error("a read connection wrote")
	}
	if v, err := s.Server(ctx); err != nil || !strings.HasPrefix(v.About, "PostgreSQL ") {
		t.Errorf("got %+v, %v", v, err)
	}
}

// An answer with many rows comes by a cursor, and the reader may ask in between
// or have enough.
func TestCursor(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	var rows []Rollup
	for i := range 3*cursorRows/2 + 7 {
		rows = append(rows, request(day0.Hour()+schemas.Hour(i%3), "a", fmt.Sprint(i)))
	}
	o.apply(o.next(int64(len(rows)), rows...))
	wantBelowPositions(t, s)
}

func TestNumbered(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT 1`:                     `SELECT 1`,
		`a = ? AND b IN (?, ?)`:        `a = $1 AND b IN ($2, $3)`,
		`a = '?' AND "?" = ? AND ''=?`: `a = '?' AND "?" = $1 AND ''=$2`,
	} {
		if got := numbered(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
