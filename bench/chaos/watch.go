package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallybook/bench/known"
	"tallybook/schemas"
)

// watchedMeters are asked in turn, one per topic.
var watchedMeters = []string{"bytes", "errors", "emails"}

// watcher asks meters all the time: what a reader has seen once must stay, also
// across kills. Nothing in this load subtracts from these meters.
type watcher struct {
	url    string
	client *http.Client
	took   []time.Duration  // of each answer
	next   map[string]int64 // "usage/0" → position
	value  map[string]schemas.Decimal
}

func newWatcher(addr string) *watcher {
	return &watcher{url: "http://" + addr, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}},
		next: map[string]int64{}, value: map[string]schemas.Decimal{}}
}

func (w *watcher) run(ctx context.Context) error {
	defer w.client.CloseIdleConnections()
	for i := 0; ctx.Err() == nil; i++ {
		if err := w.look(watchedMeters[i%len(watchedMeters)]); err != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

func (w *watcher) look(meter string) error {
	asked := time.Now()
	resp, err := w.client.Get(w.url + "/api/v1/meters/" + meter + "/query")
	if err != nil {
		return nil // killed
	}
	defer resp.Body.Close()
	var answer struct {
		Data []struct{ Value json.Number }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	w.took = append(w.took, time.Since(asked))
	if err := w.positions(resp.Header.Get("X-Data-Through")); err != nil {
		return err
	}
	var value schemas.Decimal
	if len(answer.Data) > 0 {
		if value, err = schemas.ParseDecimal([]byte(answer.Data[0].Value)); err != nil {
			return known.Finding(fmt.Sprintf("meter %s answers %q: %v", meter, answer.Data[0].Value, err))
		}
	}
	if value.Cmp(w.value[meter]) < 0 {
		return known.Finding(fmt.Sprintf("meter %s went back from %s to %s", meter, w.value[meter], value))
	}
	w.value[meter] = value
	return nil
}

// positions reads "TIME; usage=0:120,1:98".
func (w *watcher) positions(through string) error {
	topics := strings.Split(through, "; ")
	if len(topics) < 2 {
		return nil // none is known yet
	}
	for _, topic := range topics[1:] {
		name, list, _ := strings.Cut(topic, "=")
		for _, one := range strings.Split(list, ",") {
			id, text, _ := strings.Cut(one, ":")
			next, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return known.Finding(fmt.Sprintf("X-Data-Through %q: %v", through, err))
			}
			partition := name + "/" + id
			if next < w.next[partition] {
				return known.Finding(fmt.Sprintf("the position of %s went back from %d to %d", partition, w.next[partition], next))
			}
			w.next[partition] = next
		}
	}
	return nil
}
