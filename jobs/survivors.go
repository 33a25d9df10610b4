package jobs

import "tallybook/schemas"

// survivors finds the least and greatest of the values of an hour and series of
// which some were taken away, in two passes over its rows: take for those with
// sign -1, then add for the others. Its memory is that of what was taken away.
type survivors struct {
	taken    map[schemas.Decimal]int64
	left     int64 // values that survive
	min, max schemas.Decimal
}

func (s *survivors) take(v schemas.Decimal) {
	if s.taken == nil {
		s.taken = map[schemas.Decimal]int64{}
	}
	s.taken[v]++
}

func (s *survivors) add(v schemas.Decimal) {
	if n := s.taken[v]; n > 0 {
		s.taken[v] = n - 1
		return
	}
	if s.left == 0 || v.Cmp(s.min) < 0 {
		s.min = v
	}
	if s.left == 0 || v.Cmp(s.max) > 0 {
		s.max = v
	}
	s.left++
}
