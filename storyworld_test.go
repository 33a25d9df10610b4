package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"tallybook/api/apitest"
	"tallybook/pipeline/worker"
	"tallybook/schemas"
	"tallybook/store"
)

// story is an installation in this process, all parts real: embedded broker,
// collector, workers, SQLite, a folder as archive, mails into a folder. Only the
// clock is the script's.
type story struct {
	t        *testing.T
	line     string // that is being done
	clock    storyClock
	parts    *parts
	services services
	client   *http.Client
	url      string
	admin    string // an administrator's key
	ops      string

	customers map[string]*storyCustomer
	known     []string // ids and the names that stand for them, in turn
	mailsSeen map[string]bool
	written   []string // files, in their order

	stop    func() // all that runs; what is in the data folder stays
	account storyAccount
	seen    map[string]bool // documents that were final
	settled map[string]bool // customer and month
}

// storyCustomer is one, by the name that the script calls it.
type storyCustomer struct {
	name, id, key, account, email, model, currency string
	vat, minimum                                   string // "": none

	zone *time.Location
	subs map[string]*storySubscription // by API
}

// storyClock shows what the script says, and moves by two seconds with each line:
// what is remembered for a second is forgotten by then.
type storyClock struct {
	mu    sync.Mutex
	at    time.Time
	since time.Time // of this machine's clock
}

func (c *storyClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// running goes on between the lines: the workers close their batches by it.
func (c *storyClock) running() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(time.Since(c.since))
}

func (c *storyClock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since = at, time.Now()
}

func (s *story) pass() { s.clock.set(s.clock.now().Add(2 * time.Second)) }

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{t: t, line: "at the start", ops: "ops@tallybook.example", customers: map[string]*storyCustomer{},
		mailsSeen: map[string]bool{}, seen: map[string]bool{}, settled: map[string]bool{}}
	s.clock.set(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	flags := rootCommand().PersistentFlags()
	err := flags.Parse([]string{"--data", t.TempDir(), "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--partitions", "2",
		"--checkpoint-interval", "20ms", "--alert-email", s.ops, "--log-level", "error"})
	var c *config
	if err == nil {
		c, err = loadConfig(flags)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.now = s.clock.now
	s.start(c)
	return s
}

// start wires the parts as 'tallybook run' does, but for the schedule: the script
// says when a job runs.
func (s *story) start(c *config) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if s.parts != nil {
			s.parts.close()
		}
	})
	s.t.Cleanup(s.stop)
	var err error
	if s.parts, err = openAll(ctx, c); err != nil {
		s.t.Fatal(err)
	}
	if s.admin, err = s.parts.store.FirstAdminKey(ctx); err != nil {
		s.t.Fatal(err)
	}
	cfg := s.parts.workerConfig()
	cfg.Now = s.clock.running
	workers := worker.New(cfg)
	if s.services, err = s.parts.services(ctx, workers); err != nil {
		s.t.Fatal(err)
	}
	for name, run := range map[string]func(context.Context) error{"collector": s.services.collect.Run, "workers": workers.Run, "http": s.parts.serveHTTP} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				s.t.Errorf("%s: %v", name, err)
			}
		})
	}
	s.url = "http://" + s.parts.listener.Addr().String()
	s.client = http.DefaultClient
	document, _ := s.ask("GET", "/openapi.json", "", s.admin)
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		s.t.Fatal(err)
	}
	doc.Servers = nil
	s.client = &http.Client{Transport: apitest.New(s.t, doc).Transport(s.t, http.DefaultTransport)}
}

func (s *story) fatal(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s: %s", s.line, fmt.Sprintf(format, args...))
}

// ask sends a request with a key.
func (s *story) ask(method, path, body, key string) (answer []byte, status int) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.fatal("%v", err)
	}
	req.Header.Set("apiKey", key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.fatal("%v", err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		s.fatal("%v", err)
	}
	return bytes.TrimSpace(answer), res.StatusCode
}

// want asks as an administrator; to takes the answer's JSON.
func (s *story) want(status int, method, path string, body, to any) {
	s.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			s.fatal("%v", err)
		}
	}
	answer, got := s.ask(method, path, string(text), s.admin)
	if got != status {
		s.fatal("%s %s: got %d, want %d: %s", method, path, got, status, answer)
	}
	if to == nil {
		return
	}
	if err := json.Unmarshal(answer, to); err != nil {
		s.fatal("%s %s: %v in %s", method, path, err, answer)
	}
}

// settle waits until everything in the log is counted.
func (s *story) settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.isSettled(ctx) {
		select {
		case <-ctx.Done():
			s.fatal("in vain waited for the workers")
		case <-tick.C:
		}
	}
}

func (s *story) isSettled(ctx context.Context) bool {
	s.t.Helper()
	next := map[schemas.Partition]int64{}
	err := s.parts.store.View(ctx, func(v *store.View) error {
		all, err := v.Positions()
		for _, p := range all {
			next[p.Partition] = p.Next
		}
		return err
	})
	if err != nil {
		s.fatal("%v", err)
	}
	for _, topic := range schemas.Topics {
		for id := range s.parts.cfg.Partitions {
			tp := schemas.Partition{Topic: topic, ID: int32(id)}
			_, end, err := s.parts.kafka.Offsets(ctx, tp)
			if err != nil {
				s.fatal("%v", err)
			}
			if next[tp] < end {
				return false
			}
		}
	}
	return true
}

// names puts names in place of what differs from run to run.
func (s *story) names(text string) string {
	text = strings.NewReplacer(s.known...).Replace(text)
	return storyHashes.ReplaceAllString(text, "…")
}
