package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// setup is a collector behind an HTTP server, before an embedded broker.
type setup struct {
	broker    *broker.Broker
	kafka     *broker.Kafka
	collector *Collector
	registry  *prometheus.Registry
	url       string
	dir       string
}

func newSetup(t testing.TB, cfg Config, adjust ...func(*http.Server)) *setup {
	t.Helper()
	s := &setup{dir: t.TempDir(), registry: prometheus.NewRegistry()}
	s.startBroker(t, "127.0.0.1:0")
	s.kafka = broker.NewKafka(s.broker.Addr())
	partitions, err := s.kafka.EnsureTopics(t.Context(), 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Kafka == nil {
		cfg.Kafka = s.kafka
	}
	if cfg.Partitions == nil {
		cfg.Partitions = partitions
	}
	cfg.Log, cfg.Metrics = quiet, s.registry
	if s.collector, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.collector.Run(ctx)
	}()
	router := mux.NewRouter()
	// As behind a guard, an administrator calls who may name an account.
	if err := api.Mount(router, api.Options{Guard: &api.Guard{NoAuth: true, Store: cfg.Store}, Registry: s.registry}, s.collector.Endpoints()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(router)
	server.Config = Server("", router)
	for _, f := range adjust {
		f(server.Config)
	}
	server.Start()
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		cancel()
		<-ended
		s.kafka.Close()
		s.broker.Close()
	})
	return s
}

func (s *setup) startBroker(t testing.TB, listen string) {
	t.Helper()
	var err error
	s.broker, err = broker.Start(broker.Config{Dir: s.dir, Listen: listen, MaxMessageBytes: broker.MaxMessageBytes, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
}

type result struct{ ID, Status, Error, Field string }

type answer struct {
	status  int
	header  http.Header
	body    string
	Results []result
	Error   string
	Field   string
	Detail  string
}

// post sends a body; headers in pairs.
func (s *setup) post(t testing.TB, path string, body []byte, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(text)}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
	}
	return a
}

// messages reads everything that stands on a topic, by partition.
func (s *setup) messages(t testing.TB, topic schemas.Topic) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var all []kafka.Message
	for id := range s.broker.Partitions(topic) {
		first, end, err := s.kafka.Offsets(ctx, schemas.Partition{Topic: topic, ID: int32(id)})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := s.kafka.Dialer.DialLeader(ctx, "tcp", s.broker.Addr(), string(topic), id)
		if err != nil {
			t.Fatal(err)
		}
		for offset := first; offset < end; offset++ {
			m, err := conn.ReadMessage(4 << 20)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		conn.Close()
	}
	return all
}

// metric is the value of a counter or gauge with the given label values.
func (s *setup) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var have []string
			for _, pair := range m.GetLabel() {
				have = append(have, pair.GetValue())
			}
			if family.GetName() == name && slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
