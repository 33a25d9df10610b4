package query

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"

	"tallybook/api"
	"tallybook/schemas"
)

// group is one row of an answer while it is folded.
type group struct {
	window span
	names  []string // what it is grouped by
	schemas.Measures
}

// groups folds rollup rows by window and names; at most limit of them.
type groups struct {
	limit int
	all   map[string]*group
	key   []byte
}

func newGroups(limit int) *groups {
	return &groups{limit: limit, all: make(map[string]*group)}
}

// add adds m to the group of (window, names); names may be used again.
func (g *groups) add(window span, names []string, m *schemas.Measures) error {
	g.key = binary.BigEndian.AppendUint32(g.key[:0], uint32(window.start))
	for _, n := range names {
		g.key = binary.AppendUvarint(g.key, uint64(len(n)))
		g.key = append(g.key, n...)
	}
	x := g.all[string(g.key)]
	if x == nil {
		if len(g.all) == g.limit {
			return &api.Failure{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf(
				"the answer has more than %d rows; ask for a shorter range, larger windows or fewer groups", g.limit)}
		}
		x = &group{window: window, names: slices.Clone(names)}
		g.all[string(g.key)] = x
	}
	return x.Measures.Add(m)
}

// sorted is every group by order.
func (g *groups) sorted(order func(a, b *group) int) []*group {
	list := make([]*group, 0, len(g.all))
	for _, x := range g.all {
		list = append(list, x)
	}
	slices.SortFunc(list, order)
	return list
}

func byWindowThenNames(a, b *group) int {
	return cmp.Or(cmp.Compare(a.window.start, b.window.start), slices.Compare(a.names, b.names))
}
