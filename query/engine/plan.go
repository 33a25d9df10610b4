package engine

import (
	"slices"

	"tallybook/schemas"
)

// plan says where the parts of a question are answered from. The parts do not
// overlap, and cover it as far as there is data.
type plan struct {
	rollups []piece // whole hours
	archive []span  // in order, apart from each other
	// byMetadata are spans that rollups answer, but for series whose metadata a
	// filter asks for.
	byMetadata []span
}

// piece is a range of whole hours within one window.
type piece struct {
	from, to schemas.Hour
	place    place
}

// hourOf is the first hour that begins at t or later.
func hourOf(t int64) schemas.Hour { return schemas.HourOf(t + hour - 1) }

// planOf divides the question's time, as far as it lies in data (there is
// nothing outside it). holes are hours that rollups cannot answer, in order; archive: they answer none.
func planOf(t *table, data span, holes []schemas.Hour, archive bool) plan {
	var p plan
	q := t.q
	from, to := max(q.From, data.start), min(q.To, data.end)
	if from >= to {
		return p
	}
	if archive {
		p.scan(from, to)
		return p
	}
	for at := from; at < to; {
		place := t.at(at)
		end := min(place.window.end, to)
		if place.keep {
			p.window(at, end, place, holes)
		}
		at = end
	}
	return p
}

// window adds the part [from, to) of a window.
func (p *plan) window(from, to int64, place place, holes []schemas.Hour) {
	first, last := hourOf(from), schemas.HourOf(to)
	if first >= last {
		p.scan(from, to)
		return
	}
	p.scan(from, int64(first)*hour)
	i, _ := slices.BinarySearch(holes, first)
	for ; i < len(holes) && holes[i] < last; i++ {
		p.whole(first, holes[i], place)
		p.scan(int64(holes[i])*hour, int64(holes[i]+1)*hour)
		first = holes[i] + 1
	}
	p.whole(first, last, place)
	p.scan(int64(last)*hour, to)
}

func (p *plan) whole(from, to schemas.Hour, place place) {
	if from < to {
		p.rollups = append(p.rollups, piece{from, to, place})
	}
}

func (p *plan) scan(from, to int64) { p.archive = appendSpan(p.archive, from, to) }

// appendSpan adds a span behind others, and joins neighbours.
func appendSpan(spans []span, from, to int64) []span {
	if from >= to {
		return spans
	}
	if n := len(spans); n > 0 && spans[n-1].end == from {
		spans[n-1].end = to
		return spans
	}
	return append(spans, span{from, to})
}

// find is the index of the span that has the instant; last is a guess.
func find(spans []span, last int, t int64) (int, bool) {
	if last < len(spans) && t >= spans[last].start && t < spans[last].end {
		return last, true
	}
	i, _ := slices.BinarySearchFunc(spans, t, func(s span, t int64) int {
		if s.end <= t {
			return -1
		}
		return 1
	})
	return i, i < len(spans) && spans[i].start <= t
}
