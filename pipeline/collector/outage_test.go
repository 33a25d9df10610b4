package collector

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

func isUnavailable(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, Retry-After %q; want 503 with Retry-After", got.status, got.body, got.header.Get("Retry-After"))
	}
}

func TestBrokerGoesAwayAndComesBack(t *testing.T) {
	var ahead atomic.Int64 // of the clock
	s := newSetup(t, Config{ProduceTimeout: time.Second, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	addr := s.broker.Addr()
	accepted := map[string]bool{}
	for round := range 3 {
		// In the first moments after the return a request may still be refused.
		waitFor(t, "an accepted event", func() bool {
			id := fmt.Sprintf("%d.%d", round, len(accepted))
			got := s.post(t, "/v1/events", []byte(goodEvent(id)))
			if got.status == 202 {
				accepted[goodEvent(id)] = true
			} else {
				isUnavailable(t, got)
			}
			return got.status == 202
		})
		waitFor(t, "every partition to take events", func() bool {
			return s.post(t, "/api/v1/events", batchOf(0, 10)).status == 204 && s.collector.Ready() == nil
		})
		if err := s.broker.Close(); err != nil {
			t.Fatal(err)
		}
		isUnavailable(t, s.post(t, "/v1/events", []byte(goodEvent("away"))))
		away := s.post(t, "/api/v1/events", batchOf(0, 10))
		isUnavailable(t, away)
		if away.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("got %s", away.header.Get("Content-Type"))
		}
		// Known until events are taken again, or long ago.
		if err := s.collector.Ready(); err == nil || !strings.Contains(err.Error(), "broker") {
			t.Errorf("without a broker: got %v", err)
		}
		if round == 1 {
			ahead.Add(int64(refusalHolds))
			if err := s.collector.Ready(); err != nil {
				t.Errorf("a refusal of long ago: got %v", err)
			}
		}
		s.startBroker(t, addr)
	}
	stored := map[string]bool{}
	for _, m := range s.messages(t, schemas.Usage) {
		stored[string(m.Value)] = true
	}
	for event := range accepted {
		if !stored[event] {
			t.Errorf("accepted, but not in the log: %s", event)
		}
	}
	if s.metric(t, "tallybook_http_requests_total", "503", "POST", "/v1/events") == 0 {
		t.Error("no 503 was counted")
	}
}

// A request that waits while the broker restarts is answered 202 all the same.
func TestRideThroughARestart(t *testing.T) {
	s := newSetup(t, Config{ProduceTimeout: 20 * time.Second})
	addr := s.broker.Addr()
	if got := s.post(t, "/v1/events", []byte(goodEvent("1"))); got.status != 202 {
		t.Fatalf("got %d", got.status)
	}
	if err := s.broker.Close(); err != nil {
		t.Fatal(err)
	}
	got := make(chan answer)
	go func() { got <- s.post(t, "/v1/events", []byte(goodEvent("2"))) }()
	waitFor(t, "the request to hold memory", func() bool { return s.collector.inFlight.used.Load() > 0 })
	s.startBroker(t, addr)
	if a := <-got; a.status != 202 {
		t.Errorf("got %d %s, want 202", a.status, a.body)
	}
}

// Partitions that do not exist stand for a broker that is down alone.
func TestPartOfABatchIsLost(t *testing.T) {
	s := newSetup(t, Config{ProduceTimeout: 300 * time.Millisecond,
		Partitions: map[schemas.Topic]int{schemas.Usage: 8, schemas.Errors: 4, schemas.Emails: 4}})
	got := s.post(t, "/v1/events", batchOf(0, 50))
	if got.status != 202 || len(got.Results) != 50 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	stored := map[string]bool{}
	for _, m := range s.messages(t, schemas.Usage) {
		stored[string(m.Value)] = true
	}
	lost := 0
	for i, r := range got.Results {
		switch {
		case r.Status == "accepted" && !stored[sample(i)]:
			t.Errorf("event %d: accepted, but not in the log", i)
		case r.Status == "rejected":
			lost++
			if r.Error != again || r.ID == "" || stored[sample(i)] {
				t.Errorf("event %d: got %+v, stored %v", i, r, stored[sample(i)])
			}
		}
	}
	if lost == 0 || lost == 50 {
		t.Errorf("got %d of 50 lost, want some", lost)
	}
	isUnavailable(t, s.post(t, "/api/v1/events", batchOf(0, 50)))
	if got := s.metric(t, "tallybook_collector_events_total", "not_durable"); got < float64(lost) {
		t.Errorf("metric: got %v, want at least %d", got, lost)
	}
}

func TestKafkaThatNeverAnswers(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, conn)
		}
	}()
	kafka := broker.NewKafka(silent.Addr().String())
	defer kafka.Close()
	s := newSetup(t, Config{Kafka: kafka, ProduceTimeout: 100 * time.Millisecond})
	isUnavailable(t, s.post(t, "/v1/events", []byte(goodEvent("1"))))
	waitFor(t, "bytes in flight to be given back", func() bool { return s.collector.inFlight.used.Load() == 0 })
}

func TestBehind(t *testing.T) {
	var behind atomic.Bool
	s := newSetup(t, Config{Behind: behind.Load})
	for _, b := range []bool{false, true, false} {
		behind.Store(b)
		got := s.post(t, "/v1/events", []byte(goodEvent("1")))
		if b {
			isUnavailable(t, got)
		} else if got.status != 202 {
			t.Errorf("got %d, want 202", got.status)
		}
	}
}

func TestBytesInFlight(t *testing.T) {
	s := newSetup(t, Config{MaxInFlight: 4<<10 + 8})
	first := goodEvent("1")
	body, send := io.Pipe()
	got := make(chan int)
	go func() {
		response, err := http.Post(s.url+"/v1/events", "application/json", body)
		if err != nil {
			t.Error(err)
			got <- 0
			return
		}
		response.Body.Close()
		got <- response.StatusCode
	}()
	// The length is not announced: 4 KiB are set aside at first.
	io.WriteString(send, first[:10])
	waitFor(t, "the first body to be charged", func() bool { return s.metric(t, "tallybook_collector_in_flight_bytes") > 0 })
	isUnavailable(t, s.post(t, "/v1/events", []byte(goodEvent("2"))))
	io.WriteString(send, first[10:])
	send.Close()
	if status := <-got; status != 202 {
		t.Errorf("got %d, want 202", status)
	}
	waitFor(t, "the memory to be given back", func() bool { return s.collector.inFlight.used.Load() == 0 })
	if got := s.post(t, "/v1/events", []byte(goodEvent("2"))); got.status != 202 {
		t.Errorf("got %d, want 202", got.status)
	}
	// What could never be taken in is not worth another try.
	if got := s.post(t, "/v1/events", []byte(strings.Repeat(" ", 5000)+first)); got.status != 413 {
		t.Errorf("got %d, want 413", got.status)
	}
}

func TestRunEnds(t *testing.T) {
	kafka := broker.NewKafka("127.0.0.1:1")
	c, err := New(Config{Kafka: kafka, Log: quiet, Partitions: map[schemas.Topic]int{"usage": 1, "errors": 1, "emails": 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, done := c.newLoad(), make(chan *group, 1)
	l.users.Add(1)
	g := &group{lane: c.lanes[schemas.Usage][0], load: l, done: done, deadline: time.Now().Add(time.Hour)}
	g.lane.offer(g)
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	if (<-done).err == nil {
		t.Error("got an acknowledgement after the end")
	}
	for name, cfg := range map[string]Config{
		"no Kafka":      {},
		"no partitions": {Kafka: kafka},
		"large events":  {Kafka: kafka, Partitions: map[schemas.Topic]int{"usage": 1, "errors": 1, "emails": 1}, MaxEventBytes: 1<<20 + 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
