package query

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tallybook/schemas"
	"tallybook/store"
)

// mailTotals counts the e-mail events of all domains of an account. The engine
// could answer that too; this is for accounts of many domains: which domain and
// cell a series counts for is found once and kept, by the series' number in the
// store's dictionary, and a window is then summed without looking at a string.
type mailTotals struct {
	mu         sync.Mutex
	dictionary *store.Dictionary
	places     []int32 // by series: 0 not known yet, noPlace, else domain × numMailCells + cell, and 2
	accounts   map[string]*mailDomains
}

const noPlace = 1

// mailDomains numbers the domains of an account that have events.
type mailDomains struct{ byName map[string]int32 }

// mailWindow is what is asked for: whole hours, in µs.
type mailWindow struct {
	account  string
	from, to int64
}

// totals calls each with every registered domain of the account and its counts by
// cell, nil where it has no events.
func (m *mailTotals) totals(ctx context.Context, st *store.Store, w mailWindow, each func(domain string, counts []int64)) ([]store.Position, error) {
	var positions []store.Position
	var domains []store.Domain
	var blocks *store.Blocks
	query := store.BlockQuery{Family: schemas.FamilyEmail, Accounts: []string{w.account},
		Ranges: []store.HourRange{{From: schemas.HourOf(w.from), To: schemas.HourOf(w.to)}}}
	held := &store.Held{}
	for blocks == nil {
		err := st.View(ctx, func(v *store.View) (err error) {
			if positions, err = v.Positions(schemas.Emails); err != nil {
				return err
			}
			if domains, err = v.Domains(w.account); err != nil {
				return err
			}
			blocks, err = v.Blocks(query, held)
			return err
		})
		if err != nil && !errors.Is(err, store.ErrViewSpent) {
			return nil, fmt.Errorf("read totals of account %s: %w", w.account, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, counts := m.fold(blocks, w.account)
	for _, d := range domains {
		if n, ok := known.byName[d.Domain]; ok && int(n+1)*int(numMailCells) <= len(counts) {
			each(d.Domain, counts[int(n)*int(numMailCells):int(n+1)*int(numMailCells)])
		} else {
			each(d.Domain, nil)
		}
	}
	return positions, nil
}

// fold sums the account's rows by place.
func (m *mailTotals) fold(blocks *store.Blocks, account string) (*mailDomains, []int64) {
	if m.dictionary != blocks.Dictionary {
		m.dictionary, m.places, m.accounts = blocks.Dictionary, nil, map[string]*mailDomains{}
	}
	series := blocks.Dictionary.Snapshot()
	if len(m.places) < len(series) {
		m.places = append(m.places, make([]int32, len(series)-len(m.places))...)
	}
	domains := m.accounts[account]
	if domains == nil {
		domains = &mailDomains{map[string]int32{}}
		m.accounts[account] = domains
	}
	counts := make([]int64, len(domains.byName)*int(numMailCells))
	for _, b := range blocks.Ranges[0] {
		from, to := b.Rows(blocks.Dictionary, account)
		for i := from; i < to; i++ {
			n := b.Series[i]
			place := m.places[n]
			if place == 0 {
				place = domains.place(series[n])
				m.places[n] = place
				if need := len(domains.byName) * int(numMailCells); len(counts) < need {
					counts = append(counts, make([]int64, need-len(counts))...)
				}
			}
			if place != noPlace {
				counts[place-2] += b.Count.At(i)
			}
		}
	}
	return domains, counts
}

func (d *mailDomains) place(s *schemas.Series) int32 {
	if len(s.Dims) != len(mailNames) || cellOf(s.Dims) == noCell {
		return noPlace
	}
	n, ok := d.byName[s.Dims[0]]
	if !ok {
		n = int32(len(d.byName))
		d.byName[s.Dims[0]] = n
	}
	return n*int32(numMailCells) + int32(cellOf(s.Dims)) + 2
}
