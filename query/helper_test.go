package query

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// testNow is within the hour, so that the default of to is rounded up.
var testNow = time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)

// fact is one rollup delta, as a test writes it.
type fact struct {
	family  *schemas.Family
	at      string // the hour
	account string
	dims    []string
	schemas.Measures
}

// request is a fact of the family request; dims as api,endpoint,method,status.
func request(at, account, endpoint, status, quantity string) fact {
	return fact{family: schemas.FamilyRequest, at: at, account: account,
		dims:     []string{"web", "", endpoint, "GET", status, ""},
		Measures: schemas.Measures{Count: 1, Quantity: dec(quantity)}}
}

func dec(text string) schemas.Decimal {
	d, err := schemas.ParseDecimal([]byte(text))
	if err != nil {
		panic(err)
	}
	return d
}

func hourAt(text string) schemas.Hour {
	t, err := time.Parse("2006-01-02T15", text)
	if err != nil {
		panic(err)
	}
	return schemas.HourOf(t.UnixMicro())
}

// mount adds endpoints; every caller is an administrator.
func (f *fixture) mount(endpoints []api.Endpoint) {
	f.t.Helper()
	if err := api.Mount(f.router, api.Options{Guard: &api.Guard{NoAuth: true}}, endpoints); err != nil {
		f.t.Fatal(err)
	}
}

type fixture struct {
	t      testing.TB
	store  *store.Store
	server *Server
	router *mux.Router
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), store.Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, store: st, router: mux.NewRouter()}
	f.server, err = New(Config{Store: st, Archive: archive.New(archive.NewMem()), Registry: prometheus.NewRegistry(), Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	f.mount(f.server.Endpoints())
	return f
}

// checkpoint writes facts of one topic through a partition: a record each.
func (f *fixture) checkpoint(tp schemas.Partition, clock string, facts ...fact) {
	f.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, clock)
	if err != nil {
		f.t.Fatal(err)
	}
	from, err := f.store.TakeOver(context.Background(), tp, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	if len(facts) == 0 {
		return // a partition without records
	}
	n := int64(len(facts))
	to := from
	to.Next, to.Clock, to.LastOffset = from.Next+n, at.UnixMicro(), from.Next+n-1
	c := &store.Checkpoint{From: from, To: to, ClosedAt: at,
		Ledger: store.Ledger{First: from.Next, Next: to.Next, Records: n, Counted: n}}
	series := make(map[schemas.SeriesID]int)
	sums := make(map[[2]int]int)
	for _, x := range facts {
		id := schemas.MakeSeriesID(x.family.Name, x.account, x.dims)
		if _, ok := series[id]; !ok {
			series[id] = len(c.Series)
			c.Series = append(c.Series, schemas.Series{ID: id, Account: x.account, Family: x.family.Name, Dims: x.dims})
		}
		key := [2]int{int(hourAt(x.at)), series[id]}
		i, ok := sums[key]
		if !ok {
			i = len(c.Deltas)
			sums[key] = i
			c.Deltas = append(c.Deltas, store.Delta{Hour: hourAt(x.at), Series: series[id]})
		}
		if err := c.Deltas[i].Measures.Add(&x.Measures); err != nil {
			f.t.Fatal(err)
		}
	}
	results, err := f.store.Checkpoint(context.Background(), []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != store.Applied {
		f.t.Fatalf("checkpoint: %v, %v", results, err)
	}
}

func (f *fixture) get(target string, headers ...string) *httptest.ResponseRecorder {
	return f.do(http.MethodGet, target, headers...)
}

func (f *fixture) do(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	return w
}

// want checks status and body; a body of one line is compared whole.
func (f *fixture) want(target string, status int, body string) {
	f.t.Helper()
	w := f.get(target)
	if got := w.Body.String(); w.Code != status || got != body+"\n" {
		f.t.Errorf("GET %s\n got %d %s\nwant %d %s", target, w.Code, got, status, body)
	}
}

var usage0 = schemas.Partition{Topic: schemas.Usage, ID: 0}

func newTestLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }
