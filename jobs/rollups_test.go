package jobs

import (
	"slices"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// A day that checkpoints touch whenever it is built keeps no other from being
// built, and is built when they stop.
func TestBuildRollupsPastTouchedDay(t *testing.T) {
	r := newRig(t)
	r.fill()
	late := event{kind: "api.request", account: "acme", at: "2026-01-01T10:00:00Z", status: 200,
		strings: map[schemas.Field]string{schemas.API: "web"}, family: schemas.FamilyRequest, dims: []string{"web", "", "", "", "200", ""},
		adds: schemas.Measures{Count: 1}}
	touches := true
	st, err := store.Open(t.Context(), r.path, store.Options{Fault: func(step string) (before, after error) {
		if step == "built" && touches {
			r.write(usage0, []event{late}, nil, 0)
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	unbuilt := func() (days []schemas.Day) {
		err := st.View(t.Context(), func(v *store.View) (err error) {
			days, err = v.Unbuilt(store.Daily, schemas.DayOf(micros("2026-01-10T00:00:00Z")), 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return days
	}
	first := schemas.DayOf(micros("2026-01-01T00:00:00Z"))
	for _, want := range [][]schemas.Day{{first}, {}} {
		if err := BuildRollups(t.Context(), st, time.UnixMicro(micros("2026-01-10T00:00:00Z")), nil); err != nil {
			t.Errorf("touches %t: %v", touches, err)
		}
		if got := unbuilt(); !slices.Equal(got, want) {
			t.Errorf("touches %t: got %v unbuilt, want %v", touches, got, want)
		}
		touches = false
	}
}
