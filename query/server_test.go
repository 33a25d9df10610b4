package query

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

func TestHealth(t *testing.T) {
	f := newFixture(t)
	f.want("/healthz", 200, `{"status":"ok"}`)
	f.want("/readyz", 200, `{"status":"ready"}`)
	f.server.cfg.Ready = func() error { return errors.New("no partitions yet") }
	f.want("/readyz", 503, `{"reason":"no partitions yet","status":"not ready"}`)
	f.want("/healthz", 200, `{"status":"ok"}`)
	for _, topic := range schemas.Topics {
		if w := f.get("/schemas/" + string(topic) + ".json"); w.Code != 200 || !strings.Contains(w.Body.String(), "$schema") {
			t.Errorf("schema of %s: got %d", topic, w.Code)
		}
	}
	if w := f.get("/schemas/nope.json"); w.Code != 404 {
		t.Errorf("no schema: got %d", w.Code)
	}
}

// Over a real connection: deadlines are set, a long answer arrives whole.
func TestOverTheWire(t *testing.T) {
	f := filled(t)
	server := httptest.NewServer(f.router)
	defer server.Close()
	resp, err := http.Get(server.URL + "/api/v1/meters/requests/query?windowSize=HOUR&groupBy=endpoint&" + all)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("X-Data-Source") != "rollups" {
		t.Errorf("got %s", resp.Status)
	}
}

func TestClosedStore(t *testing.T) {
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	q, err := New(Config{Store: st, Archive: archive.New(archive.NewMem()), Registry: prometheus.NewRegistry(), Log: newTestLog(&strings.Builder{})})
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{NoAuth: true}, Log: newTestLog(&strings.Builder{})}, q.Endpoints()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/meters/requests/query", nil))
	if w.Code != 500 || w.Header().Get("X-Data-Through") != "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
