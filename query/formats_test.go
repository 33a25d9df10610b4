package query

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"tallybook/query/table"
)

// The answers of meters and summary as Arrow streams have the numbers of JSON,
// exact.
func TestArrowAnswers(t *testing.T) {
	f := filled(t)
	for _, c := range []struct{ target, schema, first string }{
		{"/api/v1/meters/requests/query?" + all + "&groupBy=subject&groupBy=endpoint", "window_start window_end subject endpoint value",
			"[2026-02-01 00:00:00] [2026-04-01 00:00:00] acme /a 3.5"},
		{"/api/v1/meters/latency/query?" + all, "window_start window_end subject value count sum min max p50 p95 p99",
			"[2026-02-01 00:00:00] [2026-04-01 00:00:00] (null) 3.333333333 3 10 1 5 4.015625 5 5"},
		{"/v2/summary?begin=2026-02&end=2026-04&groupby=project_id,time-m", "begin end qty rate project_id month",
			"[2026-02-01 00:00:00] [2026-04-01 00:00:00] 4 0 acme 2"},
	} {
		w := f.get(c.target, "Accept", table.ArrowType)
		if w.Code != 200 || w.Header().Get("Content-Type") != table.ArrowType || w.Header().Get("X-Data-Source") == "" {
			t.Fatalf("%s: got %d %v %s", c.target, w.Code, w.Header(), w.Body)
		}
		r, err := ipc.NewReader(bytes.NewReader(w.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var names, cells []string
		for _, field := range r.Schema().Fields() {
			names = append(names, field.Name)
		}
		if !r.Next() {
			t.Fatalf("%s: no record: %v", c.target, r.Err())
		}
		for i, name := range names {
			text := r.Record().Column(i).ValueStr(0)
			decimal, isDecimal := r.Record().Column(i).(*array.Decimal128)
			switch {
			case isDecimal:
				text = strings.TrimRight(strings.TrimRight(decimal.Value(0).ToString(9), "0"), ".")
			case strings.HasPrefix(name, "window_") || name == "begin" || name == "end":
				text = "[" + strings.TrimSuffix(strings.Replace(text, "T", " ", 1), "Z") + "]"
			}
			cells = append(cells, text)
		}
		if got := strings.Join(names, " "); got != c.schema {
			t.Errorf("%s: columns %s, want %s", c.target, got, c.schema)
		}
		if got := strings.Join(cells, " "); got != c.first {
			t.Errorf("%s: got %s\nwant %s", c.target, got, c.first)
		}
	}
}

func TestSummaryCSV(t *testing.T) {
	f := summaryFixture(t)
	w := f.get("/v2/summary?begin=2019-05&end=2019-06&groupby=project_id,endpoint", "Accept", "text/csv")
	const may = "2019-05-01T00:00:00Z,2019-06-01T00:00:00Z"
	want := fmt.Sprintf("begin,end,qty,rate,project_id,endpoint\n%s,2.5,0.25,proj-a,/a\n%s,20,0,proj-a,/b\n%s,1,0,proj-b,/a\n", may, may, may)
	if got := w.Body.String(); w.Code != 200 || got != want {
		t.Errorf("got %d %s\nwant %s", w.Code, got, want)
	}
}
