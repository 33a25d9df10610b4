package query

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/api/apitest"
	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
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
	if err := api.Mount(f.router, api.Options{Guard: &api.Guard{NoAuth: true, Store: f.store}}, endpoints); err != nil {
		f.t.Fatal(err)
	}
}

type fixture struct {
	t       testing.TB
	store   *store.Store
	archive *archive.Archive
	server  *Server
	router  *mux.Router

	customers map[string]string // what archive rows have as customer, by endpoint
	staged    bool              // archive files stay where they were staged
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, store: st, archive: archive.New(archive.NewMem()), router: mux.NewRouter()}
	f.server, err = New(Config{Store: st, Archive: f.archive, Registry: prometheus.NewRegistry(), Now: func() time.Time { return testNow }})
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
	f.archived(tp, from, c, facts)
	results, err := f.store.Checkpoint(context.Background(), []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != store.Applied {
		f.t.Fatalf("checkpoint: %v, %v", results, err)
	}
}

// archived writes the archive rows of facts, at the start of their hours: one
// for each, or Count where there is no more to it than that. Latencies enter
// sketches too.
func (f *fixture) archived(tp schemas.Partition, from store.Position, c *store.Checkpoint, facts []fact) {
	f.t.Helper()
	rows := &archive.Rows{Dataset: tp.Topic, Partition: tp.ID, Dict: []string{""}}
	code := func(text string) archive.Code {
		if text == "" {
			return 0
		}
		rows.Dict = append(rows.Dict, text)
		return archive.Code(len(rows.Dict) - 1)
	}
	for i, x := range facts {
		if x.Count != 1 && (x.ValueCount != 0 || !x.Quantity.IsZero()) {
			f.t.Fatalf("fact %d of %d events with numbers: write one for each event", i, x.Count)
		}
		for range x.Count {
			f.appendRow(rows, code, x, from.Next+int64(i))
		}
		f.sketch(c, x)
	}
	for _, day := range archive.ByDay(rows) {
		file, err := f.archive.Stage(context.Background(), archive.StageFile{Rows: rows, Day: day, Source: tp, Epoch: from.Epoch, Random: "r"})
		if err == nil {
			err = f.archive.Publish(context.Background(), file)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		c.Files = append(c.Files, store.ArchiveFile(file))
	}
}

func (f *fixture) appendRow(rows *archive.Rows, code func(string) archive.Code, x fact, offset int64) {
	types := map[*schemas.Family]string{schemas.FamilyRequest: "api.request", schemas.FamilyError: "api.error", schemas.FamilyEmail: "email.delivered"}
	at := int64(hourAt(x.at)) * 3600_000_000
	rows.ID.Append(fmt.Appendf(nil, "id-%d-%d", offset, rows.Len()))
	rows.Source, rows.Account, rows.Type = append(rows.Source, code("test")), append(rows.Account, code(x.account)), append(rows.Type, code(types[x.family]))
	rows.Time, rows.LogTime, rows.Offset = append(rows.Time, at), append(rows.LogTime, at), append(rows.Offset, offset)
	fields := map[string]string{}
	for i, dim := range x.family.Dims {
		fields[dim] = x.dims[i]
	}
	fields["customer"] = f.customers[fields["endpoint"]]
	for field := range schemas.NumFields {
		if schemas.TopicFields[rows.Dataset].Has(field) && field != schemas.Region {
			rows.Strings[field] = append(rows.Strings[field], code(fields[schemas.FieldNames[field]]))
		}
	}
	status, latency := int32(archive.NullInt32), math.NaN()
	if n, err := strconv.Atoi(fields["status"]); err == nil {
		status = int32(n)
	}
	if x.ValueCount > 0 {
		latency = x.ValueSum.Float()
	}
	rows.Status, rows.LatencyMS = append(rows.Status, status), append(rows.LatencyMS, latency)
	rows.Quantity, rows.Bytes, rows.Amount = append(rows.Quantity, x.Quantity), append(rows.Bytes, x.Bytes), append(rows.Amount, x.Amount)
	dimensions := ""
	if fields["region"] != "" {
		dimensions = fmt.Sprintf(`{"region":%q}`, fields["region"])
	}
	rows.Dimensions = append(rows.Dimensions, code(dimensions))
}

func (f *fixture) sketch(c *store.Checkpoint, x fact) {
	if x.family != schemas.FamilyRequest || x.ValueCount == 0 {
		return
	}
	s := schemas.Series{Account: x.account, Family: schemas.FamilyLatency.Name, Dims: x.dims[:3]}
	s.ID = schemas.MakeSeriesID(s.Family, s.Account, s.Dims)
	c.Series = append(c.Series, s)
	one := schemas.Sketch{{Bucket: schemas.BucketOfDecimal(x.ValueSum), Count: 1}}
	for i := range c.Sketches {
		if p := &c.Sketches[i]; p.Account == x.account && p.Hour == hourAt(x.at) { // of one series, in these tests
			had, _, err := schemas.ReadSketch(p.Pack[17:])
			if err != nil {
				f.t.Fatal(err)
			}
			p.Pack = store.AppendSketch(nil, s.ID, had.Merge(one))
			return
		}
	}
	c.Sketches = append(c.Sketches, store.SketchPack{Account: x.account, Hour: hourAt(x.at), Pack: store.AppendSketch(nil, s.ID, one)})
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
	documented(f.t).Check(f.t, r, w.Code, w.Header(), w.Body.Bytes())
	return w
}

var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, undescribed, err := api.Document(append((&Server{}).Endpoints(), Docs(nil)...), OpenAPI)
	if len(undescribed) > 0 {
		err = fmt.Errorf("not described: %v", undescribed)
	}
	return doc, err
})

// documented holds answers against the package's part of the document.
func documented(t testing.TB) *apitest.Checker {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	return apitest.New(t, doc)
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
