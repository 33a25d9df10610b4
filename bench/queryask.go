package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/pipeline/collector"
	"tallybook/query"
	"tallybook/store"
)

// queryQuestion is asked over HTTP, of an account or of all, and of others in SQL.
type queryQuestion struct {
	name   string
	target time.Duration
	times  int
	path   string
	// account is whom the n-th question is about; nil: all.
	account func(n int) string
	sql     string // its last column is summed; $account is a parameter
}

// answerer is the query service on loopback, with keys and all that stands
// before an answer.
type answerer struct {
	store  *store.Store
	query  *query.Server
	url    string
	key    string // an administrator's
	client *http.Client
	stop   func()
}

// openAnswerer opens the store as a process that starts does: nothing of it is
// in memory, though it may be in the system's. Its clock stands.
func openAnswerer(ctx context.Context, dir string, now time.Time) (_ *answerer, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a := &answerer{key: store.NewKeyText(), client: &http.Client{Transport: &http.Transport{}}}
	if a.store, err = store.Open(ctx, filepath.Join(dir, "tallybook.db"), store.Options{Log: log}); err != nil {
		return nil, err
	}
	if _, err := a.store.CreateKey(ctx, "bench", a.key, store.Key{Role: store.RoleAdmin, Name: "bench"}); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	files, err := archive.Open(filepath.Join(dir, "archive"))
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	registry := prometheus.NewRegistry()
	a.query, err = query.New(query.Config{Store: a.store, Archive: files, Registry: registry, Log: log, Now: func() time.Time { return now }})
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{Store: a.store}, Registry: registry, Log: log}, a.query.Endpoints()); err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, a.store.Close())
	}
	a.url = "http://" + l.Addr().String()
	server := collector.Server("", router)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) }) // ends by Close below
	a.stop = func() {
		server.Close()
		running.Wait()
		a.client.CloseIdleConnections()
		if err := a.store.Close(); err != nil {
			log.Error("close store", "error", err)
		}
	}
	return a, nil
}

// get asks, and reads the whole answer.
func (a *answerer) get(ctx context.Context, q *queryQuestion, n int) (body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+q.path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.key)
	if q.account != nil {
		r.Header.Set("X-Account-ID", q.account(n))
	}
	res, err := a.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %.300s", q.path, res.Status, body)
	case res.Header.Get("X-Data-Source") != "rollups":
		return nil, fmt.Errorf("%s: answered from %q", q.path, res.Header.Get("X-Data-Source"))
	}
	return body, nil
}

// queryTimes is how long questions took, and how much of the processors: other
// work on a machine lengthens the first more than the second.
type queryTimes struct {
	all []time.Duration // sorted
	cpu time.Duration   // of each, client included
}

func (t queryTimes) at(share float64) time.Duration {
	return t.all[min(len(t.all)-1, int(share*float64(len(t.all))))]
}

// ask asks a question as often as it says, one at a time, behind first ones that
// do not count.
func (a *answerer) ask(ctx context.Context, q *queryQuestion, first int, file string) (t queryTimes, err error) {
	for n := range first {
		if _, err := a.get(ctx, q, n); err != nil {
			return t, err
		}
	}
	if file != "" {
		stop, err := CPUProfile(file)
		if err != nil {
			return t, err
		}
		defer stop()
	}
	cpu := cpuTime()
	for n := range q.times {
		began := time.Now()
		if _, err := a.get(ctx, q, first+n); err != nil {
			return t, err
		}
		t.all = append(t.all, time.Since(began))
	}
	t.cpu = (cpuTime() - cpu) / time.Duration(q.times)
	slices.Sort(t.all)
	return t, nil
}

// sum adds up what the answers to a question count: every "total" of statistics
// that has no parts beside it, "value" of meter rows, qty of a summary.
func (a *answerer) sum(ctx context.Context, q *queryQuestion) (sum int64, err error) {
	times := q.times
	if q.account == nil {
		times = 1
	}
	for n := range times {
		body, err := a.get(ctx, q, n)
		if err != nil {
			return 0, err
		}
		var answer any
		if err := json.Unmarshal(body, &answer); err != nil {
			return 0, err
		}
		sum += counted(answer)
	}
	return sum, nil
}

func counted(answer any) (sum int64) {
	switch v := answer.(type) {
	case map[string]any:
		if rows, ok := v["results"].([]any); ok { // of a summary
			for _, row := range rows {
				sum += int64(row.([]any)[2].(float64))
			}
			return sum
		}
		for name, x := range v {
			if n, ok := x.(float64); ok && (name == "total" || name == "value") {
				sum += int64(n)
				continue
			}
			sum += counted(x)
		}
	case []any:
		for _, x := range v {
			sum += counted(x)
		}
	}
	return sum
}
