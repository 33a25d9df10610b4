package engine

import (
	"testing"

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
