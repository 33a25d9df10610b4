package archive

import "tallybook/schemas"

// span is rows [from, to) of a row group.
type span struct{ from, to int }

// selection is the rows of a row group that are wanted, as spans in order.
type selection struct {
	spans []span
	spare []span
}

// all selects the n rows of a row group.
func (s *selection) all(n int) { s.spans = append(s.spans[:0], span{0, n}) }

func (s *selection) empty() bool { return len(s.spans) == 0 }

// hull is the least span that has all rows of the selection.
func (s *selection) hull() span { return span{s.spans[0].from, s.spans[len(s.spans)-1].to} }

func (s *selection) len() int {
	n := 0
	for _, p := range s.spans {
		n += p.to - p.from
	}
	return n
}

// narrow leaves the rows that are wanted. Rows are sorted by account and time,
// so that few spans are left, whatever is asked for.
func (s *selection) narrow(wanted func(row int) bool) {
	out := s.spare[:0]
	for _, p := range s.spans {
		from := -1
		for row := p.from; row < p.to; row++ {
			switch ok := wanted(row); {
			case ok && from < 0:
				from = row
			case !ok && from >= 0:
				out = append(out, span{from, row})
				from = -1
			}
		}
		if from >= 0 {
			out = append(out, span{from, p.to})
		}
	}
	s.spans, s.spare = out, s.spans
}

// keep leaves the selected rows of a column, whose first row is row base of the
// row group.
func (s *selection) keep(column any, base int) {
	switch col := column.(type) {
	case *[]Code:
		*col = keepRows(*col, base, s.spans)
	case *Texts:
		keepTexts(col, base, s.spans)
	case *[]int64:
		*col = keepRows(*col, base, s.spans)
	case *[]int32:
		*col = keepRows(*col, base, s.spans)
	case *[]int8:
		*col = keepRows(*col, base, s.spans)
	case *[]float64:
		*col = keepRows(*col, base, s.spans)
	case *[]schemas.Decimal:
		*col = keepRows(*col, base, s.spans)
	}
}

func keepRows[T any](col []T, base int, spans []span) []T {
	n := 0
	for _, p := range spans {
		if n != p.from-base {
			copy(col[n:], col[p.from-base:p.to-base])
		}
		n += p.to - p.from
	}
	return col[:n]
}

func keepTexts(col *Texts, base int, spans []span) {
	n, end := 0, uint32(0)
	for _, p := range spans {
		if p.from == p.to {
			continue
		}
		start := uint32(0)
		if p.from > base {
			start = col.Ends[p.from-base-1]
		}
		copy(col.Data[end:], col.Data[start:col.Ends[p.to-base-1]])
		for i := p.from - base; i < p.to-base; i++ {
			col.Ends[n] = col.Ends[i] - start + end
			n++
		}
		end = col.Ends[n-1]
	}
	col.Data, col.Ends = col.Data[:end], col.Ends[:n]
}
