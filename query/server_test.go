package query

import (
	"context"
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
	st, err := store.Open(t.Context(), t.TempDir()+"/store.db", store.Options{})
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

func TestListErrors(t *testing.T) {
	f := newFixture(t)
	from, err := f.store.TakeOver(t.Context(), usage0, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Next, to.Clock, to.LastOffset = 3, testNow.UnixMicro(), 2
	row := store.ErrorRow{ID: "a1", Time: testNow.UnixMicro() - 1e6, Account: "_unknown", Reason: schemas.InvalidJSON, Message: "not JSON",
		Input: []byte(`{"x`), InputBytes: 3, Origin: usage0, Offset: 0, LastOffset: 0, Records: 1}
	binary := row
	binary.ID, binary.Time, binary.Input, binary.Offset, binary.LastOffset, binary.Records, binary.Field = "b2", testNow.UnixMicro(), []byte{0xff, 1}, 1, 2, 2, "data"
	results, err := f.store.Checkpoint(context.Background(), []*store.Checkpoint{{From: from, To: to, ClosedAt: testNow,
		Ledger: store.Ledger{First: 0, Next: 3, Records: 3, Rejected: 3}, Errors: []store.ErrorRow{row, binary}}})
	if err != nil || results[0].Outcome != store.Applied {
		t.Fatal(results, err)
	}
	const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
	b2 := `{"id":"b2","time":"2026-03-10T12:30:00Z","account":"_unknown","reason":"invalid_json","field":"data","message":"not JSON","input_base64":"/wE=",` +
		`"input_bytes":3,"input_sha256":"` + zeros + `","origin":{"topic":"usage","partition":0,"offset":1},"records":2,"status":0}`
	a1 := `{"id":"a1","time":"2026-03-10T12:29:59Z","account":"_unknown","reason":"invalid_json","message":"not JSON","input":"{\"x",` +
		`"input_bytes":3,"input_sha256":"` + zeros + `","origin":{"topic":"usage","partition":0,"offset":0},"records":1,"status":0}`
	f.want("/v1/errors?internal=true", 200, `{"errors":[`+b2+`,`+a1+`]}`)
	f.want("/v1/errors?internal=true&limit=1", 200, `{"errors":[`+b2+`]}`)
	f.want("/v1/errors?internal=true&reason=too_large", 200, `{"errors":[]}`)
	for _, query := range []string{"", "?internal=true&limit=0", "?internal=true&limit=1001", "?internal=true&x=1"} {
		if w := f.get("/v1/errors" + query); w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"error":`) {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
	}
}
