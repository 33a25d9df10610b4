package mail_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

// victimEnv makes the test binary a process that sends mails until it is killed.
const victimEnv = "TALLYBOOK_MAIL_VICTIM"

// victim sends mails by the configuration and into the store of dir, and prints
// what it was answered: id and status.
func victim(dir string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "victim:", err)
		return 1
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return fail(err)
	}
	cfg, err := mail.ParseConfig(text)
	if err != nil {
		return fail(err)
	}
	ctx := context.Background()
	st, err := store.Open(ctx, filepath.Join(dir, "mail.db"), store.Options{Log: quiet()})
	if err != nil {
		return fail(err)
	}
	s, err := mail.New(mail.Options{Store: st, Config: cfg, Log: quiet()})
	if err != nil {
		return fail(err)
	}
	if err := s.Recover(ctx); err != nil {
		return fail(err)
	}
	var out sync.Mutex
	for range 3 {
		go func() {
			for {
				a, err := s.Send(ctx, bill())
				out.Lock()
				if err != nil {
					fmt.Println("error", err)
				} else {
					fmt.Println(a.ID, a.Status)
				}
				out.Unlock()
			}
		}()
	}
	return fail(s.Run(ctx))
}

// startVictim runs one; lines are what it prints.
func startVictim(t *testing.T, dir string) (kill func(), lines <-chan string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 100_000)
	go func() {
		defer close(said)
		for in := bufio.NewScanner(out); in.Scan(); {
			said <- in.Text()
		}
	}()
	return func() {
		cmd.Process.Kill() // SIGKILL
		for range said {   // until its output ends
		}
		cmd.Wait()
	}, said
}

// waitFor a condition, for as long as the test may run.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestCrashAfterAccept(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "timeout_after_body"})
	mandrill := mailtest.Start(t, &mailtest.Provider{Type: "mandrill"})
	dir := t.TempDir()
	config := configOf(t, map[string]any{"attempt_timeout_ms": 60_000}, mailgun, mandrill)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	kill, _ := startVictim(t, dir)
	waitFor(t, "a call", func() bool { return len(mailgun.Calls()) > 0 })
	kill()
	st := openStore(t, dir, time.Now)
	cfg, err := mail.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mail.New(mail.Options{Store: st, Config: cfg, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	id := mailgun.Calls()[0].OutboxID
	for range 2 { // the second changes nothing
		if err := s.Recover(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.RunOnce(context.Background()); err != nil {
			t.Fatal(err)
		}
		rec, err := mail.ReadRecord(context.Background(), st, id)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Status != store.MailUnknown || classes(rec) != "mailgun ambiguous" || rec.Provider != nil || rec.PossibleDuplicate {
			t.Errorf("got %s, attempts %q, provider %v, want unknown, mailgun ambiguous, none", rec.Status, classes(rec), rec.Provider)
		}
	}
	if p := s.Providers()[0]; p.ConsecutiveFailures != 0 {
		t.Errorf("the crash counts as %d failures of the provider, want none", p.ConsecutiveFailures)
	}
	if n := len(mandrill.Calls()); n != 0 {
		t.Errorf("mandrill was called %d times, want none: mailgun may have the mails", n)
	}
}

// A process that sends mails is killed 50 times at any moment; behind it every
// mail is settled, none is gone, none was sent twice without a mark.
func TestKilledFiftyTimes(t *testing.T) {
	down := mailtest.Behaviour{Kind: "http", Status: 503, Body: "x"}
	cut := mailtest.Behaviour{Kind: "reset_after_body"}
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"})
	mandrill := mailtest.Start(t, &mailtest.Provider{Type: "mandrill"})
	dir := t.TempDir()
	config := configOf(t, map[string]any{"retry_ms": []int{20},
		"breaker": map[string]any{"open_ms": 1, "open_max_ms": 1}}, mailgun, mandrill)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	answered := map[string]store.MailStatus{}
	for i := range 50 {
		okA, okB := mailtest.OKFor("mailgun"), mailtest.OKFor("mandrill")
		okA.DelayMS, okB.DelayMS = 2, 2
		mailgun.Behave(slices.Repeat([]mailtest.Behaviour{okA, down, okA, cut, down, okA, down}, 20)...)
		mandrill.Behave(slices.Repeat([]mailtest.Behaviour{down, okB, down, down, cut}, 20)...)
		kill, lines := startVictim(t, dir)
		for range 1 + rand.IntN(15) {
			note(t, answered, <-lines)
		}
		if i%2 == 0 { // in the middle of a call, as far as can be told from here
			n := len(mailgun.Calls())
			waitFor(t, "a call", func() bool { return len(mailgun.Calls()) > n })
		}
		kill()
	}
	st := openStore(t, dir, time.Now)
	if _, err := st.SettleDeadMails(context.Background(), time.Now().Add(time.Hour), "killed"); err != nil {
		t.Fatal(err)
	}
	taken, asked := map[string]int{}, map[string]bool{}
	for _, p := range []*mailtest.Provider{mailgun, mandrill} {
		for _, c := range p.Calls() {
			asked[c.OutboxID] = true
			if c.Taken {
				taken[c.OutboxID]++
			}
		}
	}
	checkSettled(t, st, answered, asked, taken)
}

func note(t *testing.T, answered map[string]store.MailStatus, line string) {
	t.Helper()
	id, status, _ := strings.Cut(line, " ")
	if id == "error" || id == "" {
		t.Fatalf("the victim said %q", line)
	}
	answered[id] = store.MailStatus(status)
}

func checkSettled(t *testing.T, st *store.Store, answered map[string]store.MailStatus, asked map[string]bool, taken map[string]int) {
	t.Helper()
	mails, err := st.Mails(context.Background(), store.MailFilter{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	count, records, retried := map[store.MailStatus]int{}, map[string]store.Mail{}, 0
	for _, m := range mails {
		records[m.ID] = m
		count[m.Status]++
		if m.Rounds > 1 {
			retried++
		}
		n := taken[m.ID]
		switch {
		case n > 1 && !m.PossibleDuplicate:
			t.Errorf("mail %s was sent %d times and is not marked", m.ID, n)
		case m.Status == store.MailSent && n == 0:
			t.Errorf("mail %s is sent, and no provider has it", m.ID)
		case m.Status == store.MailDeferred && n > 0, m.Status == store.MailRejected && n > 0:
			t.Errorf("mail %s is %s, and a provider has it", m.ID, m.Status)
		case m.Status == store.MailSending:
			t.Errorf("mail %s is still being sent", m.ID)
		}
	}
	for id := range asked {
		if _, ok := records[id]; !ok {
			t.Errorf("a provider was asked to send %s, which has no record", id)
		}
	}
	for id, status := range answered {
		m, ok := records[id]
		if !ok || m.Status != status && status != store.MailDeferred {
			t.Errorf("mail %s was answered %s, and is %s", id, status, m.Status)
		}
	}
	if len(mails) < 100 || count[store.MailSent] == 0 || count[store.MailUnknown] == 0 || retried == 0 {
		t.Errorf("%d mails %v: too few to show anything", len(mails), count)
	}
	t.Logf("%d mails: %v, %d of them tried again; %d answers read", len(mails), count, retried, len(answered))
}
