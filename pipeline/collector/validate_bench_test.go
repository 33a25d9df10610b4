package collector

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// nowhere is a ResponseWriter that keeps what was written last.
type nowhere struct {
	header http.Header
	status int
	body   []byte
}

func (w *nowhere) Header() http.Header              { return w.header }
func (w *nowhere) WriteHeader(status int)           { w.status = status }
func (w *nowhere) SetWriteDeadline(time.Time) error { return nil }
func (w *nowhere) Write(b []byte) (int, error) {
	w.body = append(w.body[:0], b...)
	return len(b), nil
}

// Access checks without net/http's server: the guard, the decision, the answer.
func BenchmarkValidateRequest(b *testing.B) {
	const customers = 200
	st, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), store.Options{Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	if _, err := st.CreateRoute(b.Context(), "test", store.Route{API: "shop", Version: "v1"}); err != nil {
		b.Fatal(err)
	}
	gateway := store.NewKeyText()
	if _, err := st.CreateKey(b.Context(), "test", gateway, store.Key{Role: store.RoleIngest, Account: store.AnyAccount}); err != nil {
		b.Fatal(err)
	}
	keys := make([]string, customers)
	for n := range keys {
		keys[n] = store.NewKeyText()
		_, _, err := st.CreateCustomer(b.Context(), "test", keys[n], store.Customer{Name: fmt.Sprint(n), Timezone: "Europe/Berlin", Currency: "EUR"},
			[]store.Subscription{{API: "shop", Version: "v1", Quota: &schemas.Quota{Limit: "1000000", Period: "month"}}})
		if err != nil {
			b.Fatal(err)
		}
	}
	collect, err := New(Config{Kafka: broker.NewKafka("127.0.0.1:1"), Store: st, Log: quiet,
		Partitions: map[schemas.Topic]int{schemas.Usage: 1, schemas.Errors: 1, schemas.Emails: 1}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); collect.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{Store: st}, Registry: prometheus.NewRegistry(), Log: quiet}, collect.Endpoints()); err != nil {
		b.Fatal(err)
	}
	request := func(key, body string) *http.Request {
		r, err := http.NewRequest(http.MethodPost, "/v1/validateRequest", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("apiKey", key)
		return r
	}
	ask := func(b *testing.B, r *http.Request, body *bytes.Reader, w *nowhere, text []byte, want int) {
		body.Reset(text)
		r.Body = io.NopCloser(body)
		clear(w.header)
		router.ServeHTTP(w, r)
		if w.status != http.StatusOK || bytes.Count(w.body, []byte(`"allowed":true`)) != want {
			b.Fatalf("got %d %s", w.status, w.body)
		}
	}
	b.Run("single", func(b *testing.B) {
		requests := make([]*http.Request, customers)
		for n, key := range keys {
			requests[n] = request(key, "")
		}
		w, body, text := &nowhere{header: http.Header{}}, bytes.NewReader(nil), []byte(ordersCheck)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			ask(b, requests[n%customers], body, w, text, 1)
		}
	})
	b.Run("batch of 1000", func(b *testing.B) {
		var text bytes.Buffer
		for n := range 1000 {
			fmt.Fprintf(&text, `,{"apiKey":%q,%s`, keys[n%customers], ordersCheck[1:])
		}
		text.WriteByte(']')
		text.Bytes()[0] = '['
		r, w, body := request(gateway, ""), &nowhere{header: http.Header{}}, bytes.NewReader(nil)
		b.ReportAllocs()
		for b.Loop() {
			ask(b, r, body, w, text.Bytes(), 1000)
		}
	})
}
