package worker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// Two owners of one partition: the first is stopped at a step (which is behind
// the step before it), the second takes over and works the log off, then the
// first wakes up. It must change nothing, although it still believes that it
// owns the partition. The second "put" is where the first checkpoint is over.
func TestSlowOwnerChangesNothing(t *testing.T) {
	for _, step := range []string{"put", "begin", "checkpoint", "series", "rollups", "files", "ledger", "commit", "move"} {
		for nth := int64(1); nth <= 2; nth++ {
			t.Run(fmt.Sprintf("%s nth=%d", step, nth), func(t *testing.T) {
				t.Parallel()
				slowOwner(t, step, nth)
			})
		}
	}
}

func slowOwner(t *testing.T, step string, nth int64) {
	r := newRig(t)
	r.load(0, 60)
	second := r.openStore() // opening waits for the lock that a sleeper may hold
	asleep, wake := make(chan struct{}), make(chan struct{})
	awake := sync.OnceFunc(func() { close(wake) })
	var seen atomic.Int64
	r.setFault(func(at string) (error, error) {
		if at == step && seen.Add(1) == nth {
			close(asleep)
			<-wake
		}
		return nil, nil
	})
	slow := r.start()
	t.Cleanup(awake) // before the process is waited for
	<-asleep
	r.load(60, 60)
	quick := r.startOn(second)
	end := r.end()
	if step == "put" || step == "begin" || step == "move" {
		r.until("the second owner has worked the log off", func() bool { return quick.part.nextPos.Load() == end })
	} // else SQLite is locked by the sleeper's transaction, and the second owner waits
	awake()
	// The slow one learns that it was fenced. Nobody tells it here that the
	// partition went elsewhere, so it takes over in turn and the two fight;
	// whoever commits, all is counted once.
	r.load(120, 40)
	end = r.end()
	r.until("both together have worked the log off", func() bool {
		return slow.part.nextPos.Load() == end || quick.part.nextPos.Load() == end
	})
	slow.kill()
	quick.kill()
	<-slow.exited
	<-quick.exited
	r.finish()
}

// A position that the log does not reach: the topic was made anew, or the log
// lost its end. Nothing may be read, and the reason is said.
func TestLogWentBackwards(t *testing.T) {
	r := newRig(t)
	r.load(0, 50)
	r.start().drain()
	other := newRig(t) // another log, shorter, under the same store and archive
	other.load(1000, 10)
	r.kafka = other.kafka
	p := r.start()
	r.until("the partition has stopped", func() bool { return contains(*p.part.state.Load(), "the log went backwards") })
	if p.part.ready.Load() {
		t.Error("a stopped partition reports ready")
	}
	other.load(2000, 200) // now it is longer, and still another log
	p.stop()
	<-p.exited
	p = r.start()
	r.until("the partition has stopped", func() bool { return contains(*p.part.state.Load(), "the log was replaced") })
	p.stop()
	<-p.exited
}

// A store restored from an older copy: the records after its position come
// again, and the files that only the newer store knew are set aside.
func TestStoreRestoredFromBackup(t *testing.T) {
	r := newRig(t)
	r.load(0, 60)
	r.start().drain()
	backup := storetest.URL(t)
	storetest.Copy(t, r.url, backup)
	r.load(60, 60)
	r.start().drain()
	r.check()
	storetest.Copy(t, backup, r.url)
	r.floor = 0 // an older store is an older position; that is what was asked for
	r.finish()
	var aside int
	if err := r.bucket.List(context.Background(), "_quarantine/", "", func(string, int64) error { aside++; return nil }); err != nil {
		t.Fatal(err)
	}
	if aside == 0 {
		t.Error("no file was set aside")
	}
}

// A repeat sent after a restart, within the window, is not counted.
func TestRestartRebuildsWindow(t *testing.T) {
	r := newRig(t)
	r.load(0, 40)
	r.start().drain()
	for i := range 40 {
		account := fmt.Sprintf("acct-%d", i%2)
		r.produce(message(account, event(account, fmt.Sprintf("id-%d", i), "2026-01-05T00:00:00Z"))) // another time: the same event
		r.dup++
	}
	p := r.start()
	if got := p.part.Topic; got != schemas.Usage {
		t.Fatal(got)
	}
	p.drain()
	r.check()
}

// A committed file that was damaged before it was published: the partition
// stops and says so, instead of showing readers a broken file.
func TestDamagedStagedFile(t *testing.T) {
	r := newRig(t)
	r.load(0, 30)
	var victim atomic.Pointer[process]
	r.setFault(func(step string) (error, error) {
		if step == "move" {
			if p := victim.Load(); p != nil { // else the move is tried again
				p.kill()
			}
			return errFault, nil
		}
		return nil, nil
	})
	victim.Store(r.start())
	<-victim.Load().exited
	r.setFault(nil)
	ctx := context.Background()
	var name string
	if err := r.bucket.List(ctx, "_staging/", "", func(n string, _ int64) error { name = n; return nil }); err != nil || name == "" {
		t.Fatalf("no staged file, error %v", err)
	}
	f, err := r.bucket.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, f.Size())
	if _, err := f.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		if err := r.bucket.Put(ctx, name, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
			t.Fatal(err)
		}
	}
	put(whole[:len(whole)/2])
	p := r.start()
	r.until("the partition has stopped", func() bool { return contains(*p.part.state.Load(), "is damaged") })
	put(whole) // restored: it goes on by itself
	p.drain()
	r.check()
}
