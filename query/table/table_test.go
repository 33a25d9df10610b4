package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"tallybook/schemas"
)

var sample = Table{Columns: []Column{{"name", Text}, {"n", Int}, {"amount", Decimal}, {"at", Time}, {"x", Float}, {"ok", Bool}},
	JSONHead: `{"data":[`, JSONTail: `]}`}

func send(t *testing.T, table *Table, accept string, rows ...[]Cell) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	err := table.Send(w, r, func(row func(...Cell) error) error {
		for _, cells := range rows {
			if err := row(cells...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var rows = [][]Cell{
	{String(`a"b<é`), Integer(-3), Dec(schemas.Decimal{Units: -1, Nanos: 500_000_000}), Micros(1_500_000), Number(0.1), Truth(true)},
	{Null, Null, Null, Null, Null, Null},
}

func TestText(t *testing.T) {
	w := send(t, &sample, "", rows...)
	want := `{"data":[{"name":"a\"b\u003cé","n":-3,"amount":-0.5,"at":"1970-01-01T00:00:01.5Z","x":0.1,"ok":true},` +
		`{"name":null,"n":null,"amount":null,"at":null,"x":null,"ok":null}]}` + "\n"
	if got := w.Body.String(); got != want || !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("JSON: got %s\nwant %s", got, want)
	}
	if got := send(t, &sample, "").Body.String(); got != `{"data":[]}`+"\n" {
		t.Errorf("JSON without rows: got %s", got)
	}
	w = send(t, &sample, "text/csv", rows...)
	want = "name,n,amount,at,x,ok\n\"a\"\"b<é\",-3,-0.5,1970-01-01T00:00:01.5Z,0.1,true\n,,,,,\n"
	if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" || w.Header().Get("Vary") != "Accept" {
		t.Errorf("CSV: got %q\nwant %q", got, want)
	}
}

func TestArrow(t *testing.T) {
	for _, n := range []int{0, 1, arrowRows, arrowRows + 1} {
		var all [][]Cell
		for i := range n {
			all = append(all, rows[i%2])
		}
		w := send(t, &sample, ArrowType, all...)
		r, err := ipc.NewReader(bytes.NewReader(w.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for r.Next() {
			record := r.Record()
			if got == 0 {
				first := fmt.Sprint(record.Column(0).(*array.String).Value(0), record.Column(1).(*array.Int64).Value(0),
					record.Column(2).(*array.Decimal128).Value(0).ToString(9), record.Column(3).(*array.Timestamp).Value(0),
					record.Column(4).(*array.Float64).Value(0), record.Column(5).(*array.Boolean).Value(0))
				if want := fmt.Sprint(`a"b<é`, -3, "-0.500000000", 1500000, 0.1, true); first != want {
					t.Errorf("got %s, want %s", first, want)
				}
			}
			if n > 1 && record.NumRows() > 1 && !record.Column(2).IsNull(1) {
				t.Error("a null decimal is not null")
			}
			got += int(record.NumRows())
		}
		if r.Err() != nil || got != n {
			t.Errorf("%d rows: got %d, %v", n, got, r.Err())
		}
	}
}

func TestFormatOf(t *testing.T) {
	for accept, want := range map[string]Format{"": JSON, "*/*": JSON, "application/json, text/csv": JSON, "text/csv": CSV, "TEXT/CSV;q=1": CSV,
		"text/html, text/csv": CSV, "text/csv;q=0, */*": JSON, ArrowType: Arrow, "text/html": JSON,
		ArrowType + ";q=0.5, text/csv": CSV, "text/csv;q=0.5, application/json": JSON, "text/csv; q=0.9, */*;q=0.1": CSV, "text/csv;q=x": CSV, "text/csv;q=NaN": JSON} {
		if got := FormatOf(accept); got != want {
			t.Errorf("%q: got %v, want %v", accept, got, want)
		}
	}
}

// An answer that broke off must not look like a whole one.
func TestBrokenOff(t *testing.T) {
	broke := errors.New("broke")
	for _, accept := range []string{"", ArrowType} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		err := sample.Send(w, r, func(row func(...Cell) error) error {
			for range 3 * arrowRows {
				if err := row(rows[0]...); err != nil {
					return err
				}
			}
			return broke
		})
		if !errors.Is(err, broke) || w.Body.Len() == 0 {
			t.Fatalf("%q: got %v and %d bytes", accept, err, w.Body.Len())
		}
		if accept == "" && json.Valid(w.Body.Bytes()) {
			t.Error("the JSON of a part is valid")
		}
	}
}

// A text that a spreadsheet would compute is shown; numbers stay what they are.
func TestFormulasInCSV(t *testing.T) {
	two := Table{Columns: []Column{{"name", Text}, {"amount", Decimal}}}
	less := Dec(schemas.Decimal{Units: -2})
	for text, want := range map[string]string{
		`=HYPERLINK("http://x","y")`: `"'=HYPERLINK(""http://x"",""y"")"`, "+1+cmd|' /C calc'!A0": `'+1+cmd|' /C calc'!A0`, "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)",
		"\t=1": "'\t=1", "-3": "-3", "+49": "+49", "a=b": "a=b", "/v1/-x": "/v1/-x", "'quoted": "'quoted",
	} {
		got := send(t, &two, "text/csv", []Cell{String(text), less}).Body.String()
		if want = "name,amount\n" + want + ",-2\n"; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
