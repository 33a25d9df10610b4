package collector

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

// rated decodes what stands on the topic usage, as the worker does.
func (s *setup) rated(t *testing.T) (points []string) {
	t.Helper()
	var d schemas.Decoder
	var ev schemas.Event
	for _, m := range s.messages(t, schemas.Usage) {
		rejection := d.Decode(schemas.Usage, m.Value, &ev)
		if rejection == nil {
			rejection = schemas.Rules{}.Validate(schemas.Usage, &ev, 0)
		}
		if rejection != nil || ev.Rated == nil {
			t.Fatalf("%s: %v", m.Value, rejection)
		}
		r := ev.Rated
		points = append(points, fmt.Sprintf("%s %d %s %s %s %s %s %s", m.Key, ev.Time/1_000_000, r.Metric, ev.Quantity, r.Unit, ev.Amount, r.Groupby, r.Metadata))
	}
	slices.Sort(points)
	return points
}

const goodFrame = `{"dataframes":[{"period":{"begin":"20190723T122810Z","end":"20190723T132810Z"},"usage":{
	"metric_one":[{"vol":{"unit":"GiB","qty":1.2},"rating":{"price":0.04},"groupby":{"project_id":"p1","a":"b"},"metadata":{"x":"y"}},
		{"vol":{"unit":"GiB","qty":"1e1"},"rating":{"price":"0.5"},"groupby":{"n":1.0,"t":true,"f":false,"z":null},"metadata":{}}],
	"metric_two":[{"vol":{"unit":"","qty":0},"groupby":{},"metadata":{}},{"vol":{"unit":"u","qty":-1},"rating":{},"groupby":{},"metadata":{}}]}},
	{"period":{"begin":"2999-01-01","end":"2999-01-02 00:00:00+02:00"},"usage":{}},
	{"period":{"begin":"2999-01-01","end":"2999-01-02 00:00:00+02:00"},"usage":{"later":[{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{}}]}}]}`

func TestDataframes(t *testing.T) {
	s := newSetup(t, Config{})
	if a := s.post(t, "/v2/dataframes", []byte(goodFrame), "X-Account-ID", "named", "Idempotency-Key", "once"); a.status != 204 || a.body != "" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	const begin = "1563884890"
	want := []string{
		"named " + begin + ` metric_one 10 GiB 0.5 {"f":"False","n":"1.0","t":"True","z":"None"} []`,
		"named " + begin + ` metric_two -1 u 0 {} []`,
		"named " + begin + ` metric_two 0  0 {} []`,
		"named 32472144000 later 1 u 0 {} []",
		"p1 " + begin + ` metric_one 1.2 GiB 0.04 {"a":"b","project_id":"p1"} ["x"]`,
	}
	if got := s.rated(t); !slices.Equal(got, want) {
		t.Errorf("got\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	identities := func() map[string]int {
		ids := map[string]int{}
		var d schemas.Decoder
		var ev schemas.Event
		for _, m := range s.messages(t, schemas.Usage) {
			if rejection := d.Decode(schemas.Usage, m.Value, &ev); rejection != nil {
				t.Fatal(rejection)
			}
			ids[string(m.Key)+string(ev.Source)+string(ev.ID)]++
		}
		return ids
	}
	// The key makes a repeat of it; another key, or none, does not.
	for _, key := range []string{"once", "twice", ""} {
		if a := s.post(t, "/v2/dataframes", []byte(goodFrame), "X-Account-ID", "named", "Idempotency-Key", key); a.status != 204 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if got := len(identities()); got != 15 {
		t.Errorf("%d identities after a repeat and two others, want 15", got)
	}
	none := strings.Replace(goodFrame, `"project_id":"p1",`, "", 1)
	s.post(t, "/v2/dataframes", []byte(none))
	if got := s.rated(t); got[0][:6] != "_none " {
		t.Errorf("without any account: got %s", got[0])
	}
}

func TestDataframesRefuse(t *testing.T) {
	s := newSetup(t, Config{MaxEvents: 20})
	point := func(text string) string {
		return `{"dataframes":[{"period":{"begin":"2019-07-23","end":"2019-07-24"},"usage":{"m":[{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{}},` + text + `]}}]}`
	}
	const at = "dataframes[0].usage.m[1]"
	cases := []struct{ body, names string }{
		{``, "JSON"}, {`[]`, "object"}, {`{}`, "dataframes"}, {`{"dataframes":[]}`, "dataframes"}, {`{"dataframes":{}}`, "dataframes"},
		{`{"dataframes":[],"dataframes":[]}`, "twice"}, {`{"dataframes":[{}],"x":1}`, "x"}, {`{"dataframes":[5]}`, "dataframes[0]"},
		{`{"dataframes":[{"usage":{}}]}`, "period"}, {`{"dataframes":[{"period":{"begin":"2019-01-01","end":"2019-01-01"}}]}`, "usage"},
		{`{"dataframes":[{"period":{"begin":"2019-01-01"},"usage":{}}]}`, "end"},
		{`{"dataframes":[{"period":{"begin":"2019-01-01","end":"soon"},"usage":{}}]}`, "dataframes[0].period.end"},
		{`{"dataframes":[{"period":{"begin":5,"end":"2019-01-01"},"usage":{}}]}`, "dataframes[0].period.begin"},
		{`{"dataframes":[{"period":{"begin":"2019-01-01","end":"2019-01-01","x":1},"usage":{}}]}`, "x"},
		{`{"dataframes":[{"period":{"begin":"2019-01-01","end":"2019-01-01"},"usage":[]}]}`, "dataframes[0].usage"},
		{`{"dataframes":[{"period":{"begin":"2019-01-01","end":"2019-01-01"},"usage":{"m":{}}}]}`, "dataframes[0].usage"},
		{strings.Replace(point(`{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{}}`), "2019-07-23", "1999-01-01", 1), "time"},
		{strings.Replace(point(`{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{}}`), `"m"`, `""`, 1), "metric"},
		{point(`5`), at}, {point(`{}`), "vol"}, {point(`{"vol":{"unit":"u","qty":1},"metadata":{}}`), "groupby"},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":{}}`), "metadata"}, {point(`{"vol":{"unit":"u"},"groupby":{},"metadata":{}}`), "qty"},
		{point(`{"vol":{"qty":1},"groupby":{},"metadata":{}}`), "unit"}, {point(`{"vol":{"unit":1,"qty":1},"groupby":{},"metadata":{}}`), at + ".vol.unit"},
		{point(`{"vol":{"unit":null,"qty":1},"groupby":{},"metadata":{}}`), at + ".vol.unit"},
		{point(`{"vol":{"unit":"u","qty":"a"},"groupby":{},"metadata":{}}`), at + ".vol.qty"},
		{point(`{"vol":{"unit":"u","qty":null},"groupby":{},"metadata":{}}`), at + ".vol.qty"},
		{point(`{"vol":{"unit":"u","qty":"NaN"},"groupby":{},"metadata":{}}`), at + ".vol.qty"},
		{point(`{"vol":{"unit":"u","qty":1e12},"groupby":{},"metadata":{}}`), at + ".vol.qty"},
		{point(`{"vol":{"unit":"u","qty":1,"x":1},"groupby":{},"metadata":{}}`), "x"},
		{point(`{"vol":{"unit":"u","qty":1},"rating":{"price":"free"},"groupby":{},"metadata":{}}`), at + ".rating.price"},
		{point(`{"vol":{"unit":"u","qty":1},"rating":{"prize":1},"groupby":{},"metadata":{}}`), "prize"},
		{point(`{"vol":{"unit":"u","qty":1},"rating":null,"groupby":{},"metadata":{}}`), at + ".rating"},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":[],"metadata":{}}`), at + ".groupby"},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":{"a":{}},"metadata":{}}`), at + ".groupby.a"},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":{"a":"\u0000"},"metadata":{}}`), at},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":null}`), at + ".metadata"},
		{point(`{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{},"desc":{}}`), "desc"},
	}
	for _, c := range cases {
		if a := s.post(t, "/v2/dataframes", []byte(c.body)); a.status != 400 || !strings.HasPrefix(a.body, `{"message":`) || !strings.Contains(a.body, c.names) {
			t.Errorf("%s: got %d %s, want 400 that names %s", c.body, a.status, a.body, c.names)
		}
	}
	const good = `{"vol":{"unit":"u","qty":1},"groupby":{},"metadata":{}}`
	for _, c := range []struct {
		path, body string
		status     int
		headers    []string
	}{
		{"/v2/dataframes?x=1", goodFrame, 400, nil},
		{"/v2/dataframes", goodFrame, 400, []string{"Idempotency-Key", strings.Repeat("k", 256)}},
		{"/v2/dataframes", goodFrame, 415, []string{"Content-Type", "text/plain"}},
		{"/v2/dataframes", goodFrame, 400, []string{"X-Account-ID", strings.Repeat("a", 256)}},
		{"/v2/dataframes", point(good + strings.Repeat(","+good, 18)), 204, nil},
		{"/v2/dataframes", point(good + strings.Repeat(","+good, 19)), 413, nil},
	} {
		if a := s.post(t, c.path, []byte(c.body), c.headers...); a.status != c.status {
			t.Errorf("%s %.80s %v: got %d %s, want %d", c.path, c.body, c.headers, a.status, a.body, c.status)
		}
	}
	if got := len(s.messages(t, schemas.Usage)); got != 20 {
		t.Errorf("%d events are stored, want those of the one good request", got)
	}
	response, err := http.Head(s.url + "/v2/dataframes")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 405 {
		t.Errorf("HEAD without GET: got %s", response.Status)
	}
}
