package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// service takes usages as Tallybook does, with faults: fault is asked before
// each request, and answers it itself where it returns true.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	counted  map[string]int // durable, by id
	keys     map[string]string
	fault    func(n int, w http.ResponseWriter, ids []string) bool
}

func newService(t *testing.T, fault func(n int, w http.ResponseWriter, ids []string) bool) *service {
	s := &service{counted: map[string]int{}, keys: map[string]string{}, fault: fault}
	s.Server = httptest.NewServer(http.HandlerFunc(s.post))
	t.Cleanup(s.Close)
	return s
}

func (s *service) post(w http.ResponseWriter, r *http.Request) {
	var usages []struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&usages); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var ids []string
	for _, u := range usages {
		ids = append(ids, u.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.fault != nil && s.fault(s.requests, w, ids) {
		return
	}
	var results []map[string]any
	for _, id := range ids {
		s.counted[id]++
		s.keys[id] = r.Header.Get("apiKey")
		results = append(results, map[string]any{"id": id, "status": Accepted})
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
}

func (s *service) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.counted {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

var quickly = ReporterConfig{Interval: time.Millisecond, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond, StopAfter: 10 * time.Second}

// running runs a reporter; stop ends it and waits.
func running(t *testing.T, r *Reporter) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop() // the test has failed
		}
	})
	return stop
}

func named(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("u-%04d", i))
	}
	return ids
}

func reportAll(r *Reporter, ids []string, key string) {
	for _, id := range ids {
		r.Report(Usage{ID: id, Key: key, APIVersion: "v1", Endpoint: "/", ClientIP: "::1", Status: 200})
	}
}

// Whatever a request meets, each usage ends as sent, and none is lost.
func TestReporterRetries(t *testing.T) {
	for name, fault := range map[string]func(n int, w http.ResponseWriter, ids []string) bool{
		"nothing":     nil,
		"unavailable": func(n int, w http.ResponseWriter, _ []string) bool { return n%3 != 0 && answerWith(w, 503, "") },
		"too many":    func(n int, w http.ResponseWriter, _ []string) bool { return n == 1 && answerWith(w, 429, "") },
		"broken":      func(n int, w http.ResponseWriter, _ []string) bool { return n%2 == 1 && answerWith(w, 500, "<html>") },
		"cut off": func(n int, w http.ResponseWriter, _ []string) bool {
			if n%2 == 1 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"no JSON": func(n int, w http.ResponseWriter, _ []string) bool { return n == 1 && answerWith(w, 202, "{") },
		"too large": func(_ int, w http.ResponseWriter, ids []string) bool {
			return len(ids) > 3 && answerWith(w, 413, "")
		},
		"half of them": func(n int, w http.ResponseWriter, ids []string) bool {
			if n > 1 || len(ids) < 2 {
				return false
			}
			var results []string
			for _, id := range ids {
				results = append(results, fmt.Sprintf(`{"id":%q,"status":"rejected","error":"not durable, send again"}`, id))
			}
			return answerWith(w, 202, `{"results":[`+strings.Join(results, ",")+`]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, fault)
			r := NewReporter(New(s.URL), quickly)
			stop := running(t, r)
			want := named(50)
			reportAll(r, want, "key")
			if err := stop(); err != nil {
				t.Error(err)
			}
			if got := s.ids(); !slices.Equal(got, want) {
				t.Errorf("got %d usages, want %d: %v", len(got), len(want), got)
			}
			if got := r.Stats(); got.Sent != 50 || got.Reported != 50 || got.Dropped+got.Rejected != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func answerWith(w http.ResponseWriter, status int, body string) bool {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client has it, or the test fails
	return true
}

// What the service refuses for good is told and counted, and holds up nothing.
func TestReporterRejects(t *testing.T) {
	s := newService(t, func(_ int, w http.ResponseWriter, ids []string) bool {
		if ids[0] == "unknown" {
			return answerWith(w, 401, `{"error":"the key is unknown"}`)
		}
		if ids[0] == "bad" {
			return answerWith(w, 202, `{"results":[{"id":"bad","status":"rejected","error":"httpStatusCode","fields":[{"field":"httpStatusCode","error":"x"}]}]}`)
		}
		return false
	})
	var refused []string
	cfg := quickly
	cfg.Rejected = func(u Usage, err error) { refused = append(refused, u.ID+": "+err.Error()) }
	r := NewReporter(New(s.URL), cfg)
	reportAll(r, []string{"unknown"}, "nobody")
	reportAll(r, []string{"bad"}, "acme")
	reportAll(r, []string{"good"}, "other")
	if err := running(t, r)(); err != nil {
		t.Error(err)
	}
	want := []string{"unknown: tallybook answered 401: the key is unknown", "bad: httpStatusCode"}
	if !slices.Equal(refused, want) {
		t.Errorf("got %q, want %q", refused, want)
	}
	if got := r.Stats(); got != (Stats{Reported: 3, Sent: 1, Rejected: 2}) {
		t.Errorf("got %+v", got)
	}
}

// Each key has a request of its own; without one it is the client's.
func TestReporterKeys(t *testing.T) {
	s := newService(t, nil)
	r := NewReporter(New(s.URL).WithKey("own"), quickly)
	reportAll(r, []string{"1", "2"}, "a")
	reportAll(r, []string{"3"}, "b")
	reportAll(r, []string{"4"}, "")
	if err := running(t, r)(); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(s.keys), "map[1:a 2:a 3:b 4:own]"; got != want || s.requests != 3 {
		t.Errorf("got %s in %d requests, want %s in 3", got, s.requests, want)
	}
}

// The queue is bounded: what does not fit is dropped, counted, and nobody waits.
func TestReporterDrops(t *testing.T) {
	s := newService(t, nil)
	cfg := quickly
	cfg.Queue = 10
	r := NewReporter(New(s.URL), cfg)
	reportAll(r, named(25), "key")
	if got := r.Stats(); got.Dropped != 15 {
		t.Errorf("got %+v, want 15 dropped", got)
	}
	if err := running(t, r)(); err != nil {
		t.Error(err)
	}
	if r.Report(Usage{}) {
		t.Error("reported behind the end: got true")
	}
	if got := r.Stats(); got != (Stats{Reported: 26, Sent: 10, Dropped: 16}) {
		t.Errorf("got %+v", got)
	}
}

// A service that stays away ends Run in time, and says what was lost.
func TestReporterGivesUp(t *testing.T) {
	s := newService(t, func(_ int, w http.ResponseWriter, _ []string) bool { return answerWith(w, 503, "") })
	cfg := quickly
	cfg.StopAfter = 50 * time.Millisecond
	r := NewReporter(New(s.URL), cfg)
	stop := running(t, r)
	reportAll(r, named(7), "key")
	if err := stop(); err == nil || !strings.HasPrefix(err.Error(), "7 usages") {
		t.Errorf("got %v", err)
	}
	if got := r.Stats(); got.Dropped != 7 || got.Sent != 0 {
		t.Errorf("got %+v", got)
	}
}

// Many report while it runs and ends: the counts add up.
func TestReporterConcurrently(t *testing.T) {
	s := newService(t, func(n int, w http.ResponseWriter, _ []string) bool { return n%5 == 0 && answerWith(w, 503, "") })
	cfg := quickly
	cfg.Queue = 100
	r := NewReporter(New(s.URL), cfg)
	stop := running(t, r)
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := range 200 {
				r.Report(Usage{ID: fmt.Sprint(g, "-", i), Key: fmt.Sprint(g % 3)})
			}
		})
	}
	wait.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
	got := r.Stats()
	if got.Reported != 1600 || got.Sent+got.Dropped != 1600 || got.Sent != int64(len(s.ids())) {
		t.Errorf("got %+v, and %d counted", got, len(s.ids()))
	}
}
