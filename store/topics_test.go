package store

import (
	"errors"
	"reflect"
	"testing"

	"tallybook/schemas"
)

// An owner from before a change of the number of partitions can commit nothing:
// its window does not have the ids of the accounts that came to it.
func testChangePartitions(t *testing.T, s *Store) {
	if err := s.AdmitTopic(ctx, schemas.Usage, 1); err != nil {
		t.Fatal(err)
	}
	tp := schemas.Partition{Topic: schemas.Usage, ID: 0}
	before, err := s.TakeOver(ctx, tp, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePartitions(ctx, schemas.Usage, 2, 4); !errors.Is(err, ErrPartitionsChanged) {
		t.Errorf("from a number that it is not: got %v, want ErrPartitionsChanged", err)
	}
	for _, c := range [][2]int{{1, 4}, {4, 4}} {
		if err := s.ChangePartitions(ctx, schemas.Usage, c[0], c[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AdmitTopic(ctx, schemas.Usage, 4); err != nil {
		t.Error(err)
	}
	after, err := s.Position(ctx, tp)
	if err != nil || after.Epoch <= before.Epoch || after.Next != 7 {
		t.Errorf("got %+v, %v, want a later epoch than that of %+v", after, err, before)
	}
	var cuts []Cut
	var admitted map[schemas.Topic]int
	err = s.View(ctx, func(v *View) (err error) {
		if cuts, err = v.Cuts(schemas.Usage); err != nil {
			return err
		}
		admitted, err = v.Partitions()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []Cut{{Partition: tp, Next: 7}}; !reflect.DeepEqual(cuts, want) {
		t.Errorf("got cuts %v, want %v", cuts, want)
	}
	if admitted[schemas.Usage] != 4 {
		t.Errorf("got %v, want 4 partitions of usage", admitted)
	}
}
