package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// summaryCases is testdata/cases/summary-v2.json, which was recorded from a
// running CloudKitty.
type summaryCases struct {
	Datasets map[string]struct{ Rows []summaryPoint }
	Cases    []summaryCase
}

type summaryPoint struct {
	Row, Type, Begin, End, Unit string
	Qty, Price                  json.Number
	Groupby, Metadata           map[string]string
}

type summaryCase struct {
	Name, Tier, Request string
	Zone                string          `json:"server_tz"`
	Identity            json.RawMessage // a text, or an object of Keystone's words
	Expected            struct {
		Status  int
		Total   *int64
		Columns []string
		Format  string
		Results []any
		Len     *int `json:"results_len"`
		First   []any
		Last    []any
	}
}

// The cases in which CloudKitty's answer is to be ours, over HTTP.
func TestSummaryCases(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "cases", "summary-v2.json"))
	if err != nil {
		t.Fatal(err)
	}
	month := time.Now().UTC()
	month = time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, time.UTC)
	instant := strings.NewReplacer("MONTH_START-1h", iso(month.Add(-time.Hour)), "MONTH_START+1h", iso(month.Add(time.Hour)), "MONTH_START", iso(month),
		"NEXT_MONTH-1h", iso(month.AddDate(0, 1, 0).Add(-time.Hour)), "NEXT_MONTH+1h", iso(month.AddDate(0, 1, 0).Add(time.Hour)), "NEXT_MONTH", iso(month.AddDate(0, 1, 0)))
	var all summaryCases
	if err := json.Unmarshal([]byte(instant.Replace(string(text))), &all); err != nil {
		t.Fatal(err)
	}
	s := start(t, "run", t.TempDir())
	s.loadPoints(t, &all)
	keys := map[string]string{}
	run := 0
	for _, c := range all.Cases {
		if c.Zone != "UTC" { // our zone is UTC, whatever the machine's is
			continue
		}
		run++
		var identity struct {
			Project string `json:"project_id"`
		}
		key := s.key
		if json.Unmarshal(c.Identity, &identity) == nil {
			if keys[identity.Project] == "" {
				keys[identity.Project] = strings.TrimSpace(tallybook(t, "keys", "create", "--data", s.data, "--role", "account", "--account", identity.Project).out)
			}
			key = keys[identity.Project]
		}
		t.Run(c.Name, func(t *testing.T) { s.checkSummary(t, &c, key) })
	}
	if run < 50 {
		t.Errorf("only %d cases were run", run)
	}
}

func iso(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }

// loadPoints sends every point in a data frame of its own, and waits until all
// count.
func (s *server) loadPoints(t *testing.T, all *summaryCases) {
	t.Helper()
	type object map[string]any
	var frames []object
	for _, set := range all.Datasets {
		for _, p := range set.Rows {
			point := object{"vol": object{"unit": p.Unit, "qty": p.Qty}, "rating": object{"price": p.Price}, "groupby": p.Groupby, "metadata": p.Metadata}
			frames = append(frames, object{"period": object{"begin": p.Begin, "end": p.End}, "usage": object{p.Type: []object{point}}})
		}
	}
	text, err := json.Marshal(object{"dataframes": frames})
	if err != nil {
		t.Fatal(err)
	}
	if body, status := s.ask(http.MethodPost, "/v2/dataframes", bytes.NewReader(text)); status != http.StatusNoContent {
		t.Fatalf("send: %d %s", status, body)
	}
	s.until(t, "all is counted", func() bool {
		return strings.Contains(s.command(t, "balance").out, fmt.Sprintf("total: records %d = counted %d + ", len(frames), len(frames)))
	})
}

func (s *server) checkSummary(t *testing.T, c *summaryCase, key string) {
	t.Helper()
	path, ok := strings.CutPrefix(c.Request, "GET ")
	if !ok {
		t.Fatalf("%s: this test only gets", c.Request)
	}
	saved := s.key
	s.key = key
	body, status := s.get(path)
	s.key = saved
	var got struct {
		Total   *int64
		Columns []string
		Format  string
		Results []any
		Message string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != c.Expected.Status {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	want := c.Expected
	if status != http.StatusOK {
		if got.Message == "" {
			t.Errorf("got %s, want a message", body)
		}
		return
	}
	if *got.Total != *want.Total || want.Format != "" && got.Format != want.Format || want.Columns != nil && !slices.Equal(got.Columns, want.Columns) {
		t.Errorf("got %s\nwant total %d, columns %q, format %s", body, *want.Total, want.Columns, want.Format)
	}
	if want.Len != nil {
		if len(got.Results) != *want.Len || !sameSummary(got.Results[0], want.First) || !sameSummary(got.Results[*want.Len-1], want.Last) {
			t.Errorf("got %s\nwant %d results from %v to %v", body, *want.Len, want.First, want.Last)
		}
		return
	}
	if !sameSummary(got.Results, want.Results) {
		t.Errorf("got %v\nwant %v", got.Results, want.Results)
	}
}

// sameSummary compares as the case file says: numbers to 1e-4, times as
// instants.
func sameSummary(got, want any) bool {
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		return ok && slices.EqualFunc(list, want, sameSummary)
	case map[string]any:
		object, ok := got.(map[string]any)
		same := ok && len(object) == len(want)
		for name := range want {
			same = same && sameSummary(object[name], want[name])
		}
		return same
	case float64:
		number, ok := got.(float64)
		return ok && math.Abs(number-want) <= 1e-4
	case string:
		text, ok := got.(string)
		a, errA := time.Parse(time.RFC3339, text)
		b, errB := time.Parse(time.RFC3339, want)
		return ok && (text == want || errA == nil && errB == nil && a.Equal(b))
	}
	return got == want
}
