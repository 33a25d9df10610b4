package archive

import (
	"encoding/binary"
	"slices"
)

// verdict is whether an account is asked for.
type verdict uint8

const (
	unknown verdict = iota
	yes
	no
)

// pick chooses the rows of a row group: by the bounds in the footer first, then
// by the bloom filter, then by the columns themselves, where the bounds do not
// say that every row is wanted.
func (r *reader) pick(g *group, f *filter) error {
	r.picked.spans = r.picked.spans[:0]
	accounts, times := r.accountsIn(g, f), r.timesIn(g, f)
	if accounts == no || times == no {
		return nil
	}
	if f.id != nil {
		if ok, err := r.mayHave(g, *f.id); err != nil || !ok {
			return err
		}
	}
	r.picked.all(g.rows)
	if accounts == unknown {
		if err := r.pickAccounts(g, f); err != nil || r.picked.empty() {
			return err
		}
	}
	if times == unknown {
		if err := r.pickTimes(g, f); err != nil || r.picked.empty() {
			return err
		}
	}
	if f.id != nil {
		return r.pickID(g, *f.id)
	}
	return nil
}

func (r *reader) stats(g *group, column string) *chunkStats {
	if index, err := findColumn(r.footer.dataset, column); err == nil {
		if s := g.chunks[index].stats; s != nil && s.bounded {
			return s
		}
	}
	return nil
}

// accountsIn tells whether every row (yes), no row or perhaps some are of an
// account that is asked for.
func (r *reader) accountsIn(g *group, f *filter) verdict {
	if f.accounts == nil {
		return yes
	}
	if len(f.accounts) == 0 {
		return no
	}
	s := r.stats(g, "account")
	if s == nil {
		return unknown
	}
	i, _ := slices.BinarySearch(f.accounts, s.low)
	switch {
	case i == len(f.accounts) || f.accounts[i] > s.high:
		return no
	case s.low == s.high:
		return yes
	}
	return unknown
}

func (r *reader) timesIn(g *group, f *filter) verdict {
	s := r.stats(g, "time")
	if f.from >= f.to {
		return no
	}
	if s == nil || len(s.low) != 8 || len(s.high) != 8 {
		return unknown
	}
	low, high := littleEndian(s.low), littleEndian(s.high)
	switch {
	case high < f.from || low >= f.to:
		return no
	case low >= f.from && high < f.to:
		return yes
	}
	return unknown
}

func littleEndian(s string) int64 { return int64(binary.LittleEndian.Uint64([]byte(s))) }

// loaded reads a column that rows are chosen by, as far as rows are picked yet.
func (r *reader) loaded(g *group, name string) (base int, err error) {
	c, err := r.need(name)
	if err != nil {
		return 0, err
	}
	if !c.loaded {
		err = r.load(c, g, r.picked.hull())
	}
	return c.base, err
}

func (r *reader) pickAccounts(g *group, f *filter) error {
	base, err := r.loaded(g, "account")
	if err != nil {
		return err
	}
	for len(r.wanted) < len(r.rows.Dict) {
		r.wanted = append(r.wanted, unknown)
	}
	last, wanted := Code(0), false // account codes recur in runs, and none is 0
	r.picked.narrow(func(row int) bool {
		code := r.rows.Account[row-base]
		if code == last {
			return wanted
		}
		if r.wanted[code] == unknown {
			r.wanted[code] = no
			if _, ok := slices.BinarySearch(f.accounts, r.rows.Dict[code]); ok {
				r.wanted[code] = yes
			}
		}
		last, wanted = code, r.wanted[code] == yes
		return wanted
	})
	return nil
}

func (r *reader) pickTimes(g *group, f *filter) error {
	base, err := r.loaded(g, "time")
	if err != nil {
		return err
	}
	times := r.rows.Time
	r.picked.narrow(func(row int) bool {
		t := times[row-base]
		return t >= f.from && t < f.to
	})
	return nil
}

func (r *reader) pickID(g *group, id string) error {
	base, err := r.loaded(g, "id")
	if err != nil {
		return err
	}
	r.picked.narrow(func(row int) bool { return string(r.rows.ID.At(row-base)) == id })
	return nil
}
