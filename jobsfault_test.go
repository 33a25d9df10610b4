package main

import (
	"bufio"
	"database/sql"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every job, run by processes that are killed or stopped between any two of their
// transactions, some beside another, with leases that end meanwhile: in the end
// everything is as if each had run once.
func TestJobsUnderFaults(t *testing.T) {
	const rounds = 5 // of each job
	sound := newDueRig(t, 3)
	hurt := sound.copy()
	for _, name := range jobsInOrder(t) {
		kills := 0
		for range rounds {
			if hurt.hurtJob(name) {
				kills++
			}
		}
		t.Logf("%s: killed %d times, stopped %d times", name, kills, rounds-kills)
		hurt.leasesEnd()
		for _, now := range []string{jobsNow, jobsLater} {
			sound.run(name, now)
			hurt.run(name, now)
		}
	}
	for _, r := range []*dueRig{sound, hurt} { // mails whose process died
		r.run("outbox", jobsLater)
	}
	hurt.isLike(sound)
}

// jobsInOrder are those that 'job list' shows, so that new ones are hurt too;
// those that tell of others' work come last.
func jobsInOrder(t *testing.T) (names []string) {
	t.Helper()
	for line := range strings.Lines(tallybook(t, "job", "list", "--data", t.TempDir()).out) {
		names = append(names, strings.Fields(line)[0])
	}
	tell := []string{"alerts", "outbox"}
	for _, name := range append(tell, "invoices", "rollups", "quota-reset") {
		if !slices.Contains(names, name) {
			t.Fatalf("got the jobs %q", names)
		}
	}
	return append(slices.DeleteFunc(names, func(name string) bool { return slices.Contains(tell, name) }), tell...)
}

// hurtJob runs a job for some transactions, then kills its process, or stops it
// until its lease is over and another has done the work.
func (r *dueRig) hurtJob(name string) (killed bool) {
	r.t.Helper()
	r.leasesEnd()
	b := r.hold()
	first := r.start(name)
	all := []*victim{first}
	if rand.IntN(2) == 0 {
		all = append(all, r.start(name))
	}
	for range 1 + rand.IntN(12) {
		b.step(all)
		if rand.IntN(3) == 0 {
			b.leasesEnd()
		}
	}
	if killed = rand.IntN(2) == 0; killed {
		_ = first.Process.Kill() // here and below: it may have ended
		b.leasesEnd()
		b.release()
	} else {
		_ = first.Process.Signal(syscall.SIGSTOP)
		b.leasesEnd()
		b.release()
		all = append(all, r.start(name))
		<-all[len(all)-1].ended
		_ = first.Process.Signal(syscall.SIGCONT)
	}
	for _, v := range all {
		<-v.ended
	}
	return killed
}

// victim is a process that runs a job.
type victim struct {
	*exec.Cmd
	said  *output
	ended chan struct{}
}

func (r *dueRig) start(name string) *victim {
	r.t.Helper()
	v := &victim{Cmd: r.command(name, jobsNow), said: &output{}, ended: make(chan struct{})}
	v.Stderr = v.said
	if err := v.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer close(v.ended)
		_ = v.Wait() // however it ended
	}()
	return v
}

func (v *victim) runs() bool {
	select {
	case <-v.ended:
		return false
	default:
		return true
	}
}

// brake holds the store's write lock, so that jobs stand still before their next
// transaction. Processes wait for it for 5 s.
type brake struct {
	t    *testing.T
	db   *sql.DB
	conn *sql.Conn
}

func (r *dueRig) hold() *brake {
	r.t.Helper()
	b := &brake{t: r.t, db: r.db(0)}
	var err error
	if b.conn, err = b.db.Conn(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	b.begin()
	return b
}

func (b *brake) exec(statement string) {
	b.t.Helper()
	if _, err := b.conn.ExecContext(b.t.Context(), statement); err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
}

func (b *brake) number(query string) (n int64) {
	b.t.Helper()
	if err := b.conn.QueryRowContext(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// begin takes the lock between two transactions of others, who do not wait for us.
func (b *brake) begin() {
	b.t.Helper()
	for limit := time.Now().Add(patience); ; {
		_, err := b.conn.ExecContext(b.t.Context(), "BEGIN IMMEDIATE")
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "SQLITE_BUSY") || time.Now().After(limit) {
			b.t.Fatal(err)
		}
	}
}

// step lets a transaction pass, or a few, where there is one.
func (b *brake) step(all []*victim) {
	b.t.Helper()
	b.exec("COMMIT")
	before := b.number("PRAGMA data_version")
	for limit := time.Now().Add(patience); b.number("PRAGMA data_version") == before && slices.ContainsFunc(all, (*victim).runs); {
		if time.Now().After(limit) {
			b.t.Fatal("in vain waited for a transaction")
		}
	}
	b.begin()
}

func (b *brake) leasesEnd() { b.exec("UPDATE job_leases SET until = 0") }

func (b *brake) release() {
	b.t.Helper()
	b.exec("COMMIT")
	if err := errors.Join(b.conn.Close(), b.db.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// Killed behind each document that it makes or finishes, the job ends with what it
// makes undisturbed.
func TestInvoicesKilledBehindEachDocument(t *testing.T) {
	sound := newDueRig(t, 2)
	hurt := sound.copy()
	sound.run("invoices", jobsNow)
	kills := 0
	for done := false; !done; {
		hurt.leasesEnd()
		cmd := hurt.command("invoices", jobsNow)
		errs, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done = true
		for lines := bufio.NewScanner(errs); done && lines.Scan(); {
			if text := lines.Text(); strings.Contains(text, "drafted") || strings.Contains(text, "is final") {
				done = false
				_ = cmd.Process.Kill() // it may have ended, and is looked at once more
				kills++
			}
		}
		_, _ = io.Copy(io.Discard, errs)
		if err := cmd.Wait(); done && err != nil {
			t.Fatal(err)
		}
	}
	if kills < 2 { // each run makes something, so that the next is killed behind something else
		t.Errorf("%d kills", kills)
	}
	hurt.isLike(sound)
}

// A process that is stopped between two of its documents, past its lease, wakes
// when another has done its work: it changes nothing, and says why.
func TestInvoicesStoppedPastTheLease(t *testing.T) {
	due := newDueRig(t, 3)
	sound := due.copy()
	sound.run("invoices", jobsNow)
	hurt, b, sleeper := due.stoppedAmongInvoices()
	b.leasesEnd()
	b.release()
	hurt.run("invoices", jobsNow, "INV-000006 is final")
	before := hurt.state()
	if err := sleeper.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	<-sleeper.ended
	if sleeper.ProcessState.ExitCode() != 1 || !strings.Contains(sleeper.said.String(), "the lease on the job is lost") {
		t.Errorf("it ended with %v and said %s", sleeper.ProcessState, sleeper.said)
	}
	if got := hurt.state(); got != before {
		t.Errorf("it changed something: %s", firstDifference(got, before))
	}
	hurt.isLike(sound)
}

// stoppedAmongInvoices is a copy with the job stopped behind its first invoice and
// before its last. The brake may let several transactions pass: then it is tried
// with another copy.
func (r *dueRig) stoppedAmongInvoices() (*dueRig, *brake, *victim) {
	r.t.Helper()
	for range 20 {
		hurt := r.copy()
		b := hurt.hold()
		sleeper := hurt.start("invoices")
		for b.number(`SELECT COUNT(*) FROM invoices`) == 0 {
			b.step([]*victim{sleeper})
		}
		if err := sleeper.Process.Signal(syscall.SIGSTOP); err != nil {
			r.t.Fatal(err)
		}
		if b.number(`SELECT COUNT(*) FROM invoices WHERE number IS NULL`) > 0 {
			return hurt, b, sleeper
		}
		b.release()
		if err := sleeper.Process.Signal(syscall.SIGCONT); err != nil {
			r.t.Fatal(err)
		}
		<-sleeper.ended
	}
	r.t.Fatal("the job was always through before it was stopped")
	return nil, nil, nil
}
