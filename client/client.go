package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// MaxEvents is how many events one Send takes; the service's own limit.
const MaxEvents = 10_000

const (
	maxAnswer = 16 << 20
	gzipFrom  = 1400 // bytes: below it a request is one packet anyway
)

// Event is a CloudEvent. ID, Source and Type are required, Subject (the
// account) too unless the caller's credentials name it.
type Event struct {
	ID      string
	Source  string
	Type    string
	Subject string
	Time    time.Time // zero: the time of receipt
	Data    any       // becomes JSON
}

// MarshalJSON is the event in CloudEvents' JSON format.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Source      string    `json:"source"`
		Type        string    `json:"type"`
		Subject     string    `json:"subject,omitempty"`
		Time        time.Time `json:"time,omitzero"`
		Data        any       `json:"data,omitempty"`
	}{"1.0", e.ID, e.Source, e.Type, e.Subject, e.Time.UTC(), e.Data})
}

// Result is what became of one event.
type Result struct {
	ID     string `json:"id"`
	Status string `json:"status"` // Accepted or Rejected
	Error  string `json:"error"`  // why it was rejected
	Field  string `json:"field"`  // what in it was wrong
}

// A Result's Status.
const (
	Accepted = "accepted"
	Rejected = "rejected"
)

// StatusError: the service refused the whole request.
type StatusError struct {
	Code       int
	Message    string
	Field      string
	RetryAfter string // as the header says it; empty where it does not
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("tallybook answered %d: %s", e.Code, e.Message)
}

// Client sends to one service. Its methods may be called concurrently.
type Client struct {
	url  string
	key  string
	http *http.Client
}

// New sends to the service at url, such as http://127.0.0.1:8080. A request
// takes at most 30 s, or less where its context says so.
func New(url string) *Client {
	return &Client{url: strings.TrimSuffix(url, "/"), http: &http.Client{Timeout: 30 * time.Second}}
}

// WithKey is a client that shows a key with its requests: an ingest key for
// events; an account's or an administrator's where it reads.
func (c *Client) WithKey(key string) *Client {
	with := *c
	with.key = key
	return &with
}

// Send sends up to MaxEvents and returns a Result for each, in order, when all
// of them are durable or rejected.
func (c *Client) Send(ctx context.Context, events []Event) ([]Result, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if len(events) > MaxEvents {
		return nil, fmt.Errorf("send %d events: at most %d at once", len(events), MaxEvents)
	}
	req, err := c.request(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("send %d events: %w", len(events), err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("send %d events: %w", len(events), err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("send %d events: %w", len(events), err)
	}
	if res.StatusCode != http.StatusAccepted {
		return nil, statusError(res, body)
	}
	var answer struct{ Results []Result }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("send %d events: answer: %w", len(events), err)
	}
	if len(answer.Results) != len(events) {
		return nil, fmt.Errorf("send %d events: got %d results", len(events), len(answer.Results))
	}
	return answer.Results, nil
}

func (c *Client) request(ctx context.Context, events []Event) (*http.Request, error) {
	body, err := json.Marshal(events)
	if err != nil {
		return nil, err
	}
	compressed := len(body) >= gzipFrom
	if compressed {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		req.Header.Set("apiKey", c.key)
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	if compressed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

func statusError(res *http.Response, body []byte) error {
	e := &StatusError{Code: res.StatusCode, RetryAfter: res.Header.Get("Retry-After")}
	var said struct{ Error, Field string }
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		e.Message, e.Field = said.Error, said.Field
		return e
	}
	e.Message = strings.TrimSpace(string(body[:min(len(body), 200)]))
	return e
}
