package engine

import (
	"reflect"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
)

// A row that takes an event away has the source of the correction: by source
// the event would stay, and the correction count -1.
func TestSourceIsNoName(t *testing.T) {
	for _, f := range schemas.Families {
		if Known(f, "source") {
			t.Errorf("questions about %s may divide events by source", f.Name)
		}
		for _, name := range []string{"type", "data.source"} {
			if f != schemas.FamilyRated && !Known(f, name) {
				t.Errorf("questions about %s may not divide events by %s", f.Name, name)
			}
		}
	}
}

// Names of data differ by case too: rollups have those that the rules know.
func TestRatedNamesDifferByCase(t *testing.T) {
	rows := &archive.Rows{}
	rows.Data.Append([]byte(`{"metric":"cpu","Metric":"x","Unit":"y","groupby":{"a":"1"},"Groupby":{"a":"2","b":"3"},"METADATA":{"m":"1"},"metadata":null}`))
	got := (&ratedReader{row: -1}).at(rows, 0)
	want := &ratedPoint{Metric: "cpu", Groupby: map[string]string{"a": "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
