package query

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

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
	body := f.get("/metrics").Body.String()
	for _, want := range []string{`tallybook_query_requests_total{code="503",route="/readyz"} 1`, `tallybook_query_requests_total{code="200",route="/healthz"} 2`} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics do not have %s", want)
		}
	}
	for _, topic := range schemas.Topics {
		if w := f.get("/schemas/" + string(topic) + ".json"); w.Code != 200 || !strings.Contains(w.Body.String(), "$schema") {
			t.Errorf("schema of %s: got %d", topic, w.Code)
		}
	}
	if w := f.get("/schemas/nope.json"); w.Code != 404 {
		t.Errorf("no schema: got %d", w.Code)
	}
}

func TestPanicAndInternalErrors(t *testing.T) {
	f := newFixture(t)
	var log strings.Builder
	f.server.cfg.Log = newTestLog(&log)
	f.server.handle(f.router, "/panic", plainForm, func(http.ResponseWriter, *http.Request) error { panic("secret words") })
	f.server.handle(f.router, "/fails", plainForm, func(http.ResponseWriter, *http.Request) error { return errors.New("secret words") })
	for _, path := range []string{"/panic", "/fails"} {
		log.Reset()
		w := f.get(path)
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "secret words") {
			t.Errorf("%s: got %d %s, log %q", path, w.Code, w.Body, log.String())
		}
	}
}

// An error behind the first bytes must not look like the end of an answer.
func TestErrorInTheMiddle(t *testing.T) {
	f := newFixture(t)
	f.server.cfg.Log = newTestLog(&strings.Builder{})
	f.server.handle(f.router, "/half", plainForm, func(w http.ResponseWriter, _ *http.Request) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return errors.New("broke")
	})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("got %v, want the connection to be cut", got)
		}
	}()
	f.get("/half")
}

func TestTimeLimit(t *testing.T) {
	f := newFixture(t)
	f.server.cfg.RequestTimeout = time.Millisecond
	f.server.handle(f.router, "/slow", plainForm, func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	})
	if w := f.get("/slow"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
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
	q, err := New(Config{Store: st, Registry: prometheus.NewRegistry(), Log: newTestLog(&strings.Builder{})})
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	q.Routes(router)
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
