package client

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// received is what a request brought.
type received struct {
	path, contentType, encoding string
	events                      []map[string]any
}

// serve answers every request with one accepted result per event.
func serve(t *testing.T) (*Client, *received) {
	t.Helper()
	var got received
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = received{path: r.Method + " " + r.URL.Path, contentType: r.Header.Get("Content-Type"), encoding: r.Header.Get("Content-Encoding")}
		var body io.Reader = r.Body
		if got.encoding == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		if err := json.NewDecoder(body).Decode(&got.events); err != nil {
			t.Error(err)
		}
		var results []Result
		for _, e := range got.events {
			results = append(results, Result{ID: fmt.Sprint(e["id"]), Status: Accepted})
		}
		w.WriteHeader(http.StatusAccepted)
		if err := json.NewEncoder(w).Encode(map[string]any{"results": results}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return New(server.URL + "/"), &got
}

func TestSend(t *testing.T) {
	c, got := serve(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	results, err := c.Send(context.Background(), []Event{
		{ID: "1", Source: "s", Type: "api.request", Subject: "a", Time: at, Data: map[string]any{"status": 200}},
		{ID: "2", Source: "s", Type: "app.event"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Result{{ID: "1", Status: Accepted}, {ID: "2", Status: Accepted}}; !reflect.DeepEqual(results, want) {
		t.Errorf("got results %v, want %v", results, want)
	}
	want := received{path: "POST /v1/events", contentType: "application/cloudevents-batch+json", events: []map[string]any{
		{"specversion": "1.0", "id": "1", "source": "s", "type": "api.request", "subject": "a", "time": "2026-01-02T02:04:05.000006Z", "data": map[string]any{"status": 200.0}},
		{"specversion": "1.0", "id": "2", "source": "s", "type": "app.event"},
	}}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

func TestSendCompresses(t *testing.T) {
	c, got := serve(t)
	events := make([]Event, 500)
	for i := range events {
		events[i] = Event{ID: fmt.Sprint(i), Source: "s", Type: "api.request", Subject: "a"}
	}
	results, err := c.Send(context.Background(), events)
	if err != nil || len(results) != 500 || results[499].ID != "499" {
		t.Fatalf("got %d results, %v", len(results), err)
	}
	if got.encoding != "gzip" || len(got.events) != 500 {
		t.Errorf("got encoding %q and %d events, want gzip and 500", got.encoding, len(got.events))
	}
}

func TestSendLimits(t *testing.T) {
	c, got := serve(t)
	if results, err := c.Send(context.Background(), nil); results != nil || err != nil {
		t.Errorf("nothing: got %v, %v", results, err)
	}
	if _, err := c.Send(context.Background(), make([]Event, MaxEvents+1)); err == nil {
		t.Error("too many: got no error")
	}
	if _, err := c.Send(context.Background(), []Event{{Data: func() {}}}); err == nil {
		t.Error("no JSON: got no error")
	}
	if got.path != "" {
		t.Errorf("got a request, want none: %+v", *got)
	}
}

func TestSendRefused(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   StatusError
	}{
		{http.StatusBadRequest, `{"error":"no account","field":"subject"}`, StatusError{Code: 400, Message: "no account", Field: "subject"}},
		{http.StatusServiceUnavailable, `{"error":"the log is full"}`, StatusError{Code: 503, Message: "the log is full", RetryAfter: "5"}},
		{http.StatusBadGateway, " <html>\n", StatusError{Code: 502, Message: "<html>"}},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c.want.RetryAfter != "" {
				w.Header().Set("Retry-After", c.want.RetryAfter)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body) // the client has what it needs, or the test fails
		}))
		_, err := New(server.URL).Send(context.Background(), []Event{{ID: "1"}})
		server.Close()
		var got *StatusError
		if !errors.As(err, &got) || *got != c.want {
			t.Errorf("status %d: got %v, want %v", c.status, err, c.want)
		}
	}
}

// An answer that does not say what became of each event is no success.
func TestSendBadAnswer(t *testing.T) {
	for _, body := range []string{`{"results":[]}`, `{`, ``} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, body)
		}))
		results, err := New(server.URL).Send(context.Background(), []Event{{ID: "1"}})
		server.Close()
		if err == nil || !strings.Contains(err.Error(), "send 1 events") {
			t.Errorf("%q: got %v, %v, want an error", body, results, err)
		}
	}
}
