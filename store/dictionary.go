package store

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"sync"

	"tallybook/schemas"
)

// Dictionary numbers series. It only grows; it may be read and grown by several
// goroutines.
type Dictionary struct {
	mu     sync.RWMutex
	number map[schemas.SeriesID]uint32
	series []*schemas.Series
	texts  map[string]string // of accounts and dimensions, each kept once
}

func newDictionary() *Dictionary {
	return &Dictionary{number: map[schemas.SeriesID]uint32{}, texts: map[string]string{}}
}

// Len is how many series there are; their numbers are below it.
func (d *Dictionary) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.series)
}

// Series is the series of a number. It must not be changed.
func (d *Dictionary) Series(n uint32) *schemas.Series {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.series[n]
}

// Snapshot is every series by number, as far as there are any now.
func (d *Dictionary) Snapshot() []*schemas.Series {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.series[:len(d.series):len(d.series)]
}

// numbers resolves ids; those that are not there are read from the store.
func (d *Dictionary) numbers(dc driver.QueryerContext, ids []schemas.SeriesID, to []uint32) ([]uint32, error) {
	start := len(to)
	var missing []schemas.SeriesID
	d.mu.RLock()
	for _, id := range ids {
		n, ok := d.number[id]
		if !ok {
			missing = append(missing, id)
		}
		to = append(to, n)
	}
	d.mu.RUnlock()
	if len(missing) == 0 {
		return to, nil
	}
	if err := d.read(dc, missing); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	for i, id := range ids {
		n, ok := d.number[id]
		if !ok {
			return nil, fmt.Errorf("rollups: there is no series %x", id)
		}
		to[start+i] = n
	}
	return to, nil
}

func (d *Dictionary) read(dc driver.QueryerContext, ids []schemas.SeriesID) error {
	slices.SortFunc(ids, func(a, b schemas.SeriesID) int { return slices.Compare(a[:], b[:]) })
	ids = slices.Compact(ids)
	for chunk := range slices.Chunk(ids, namesPerQuery) {
		args := make([]driver.NamedValue, len(chunk))
		for i := range chunk {
			args[i] = driver.NamedValue{Ordinal: i + 1, Value: chunk[i][:]}
		}
		var found []*schemas.Series
		err := eachRaw(dc, func(row []driver.Value) error {
			s, err := seriesOf(row)
			found = append(found, s)
			return err
		}, `SELECT id, account, family, dims FROM series WHERE id IN (`+placeholders(len(chunk))+`)`, args...)
		if err != nil {
			return fmt.Errorf("read series: %w", err)
		}
		d.add(found)
	}
	return nil
}

func seriesOf(row []driver.Value) (*schemas.Series, error) {
	id, _ := row[0].([]byte)
	account, _ := row[1].(string)
	family, _ := row[2].(string)
	dims, _ := row[3].(string)
	s := &schemas.Series{Account: account, Family: family}
	if copy(s.ID[:], id) != len(s.ID) {
		return nil, fmt.Errorf("a series id of %d bytes", len(id))
	}
	var err error
	s.Dims, err = parseDims([]byte(dims))
	return s, err
}

func (d *Dictionary) add(found []*schemas.Series) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range found {
		if _, ok := d.number[s.ID]; ok {
			continue
		}
		s.Account, s.Family = d.text(s.Account), d.text(s.Family)
		for i := range s.Dims {
			s.Dims[i] = d.text(s.Dims[i])
		}
		d.number[s.ID] = uint32(len(d.series))
		d.series = append(d.series, s)
	}
}

func (d *Dictionary) text(s string) string {
	if kept, ok := d.texts[s]; ok {
		return kept
	}
	d.texts[s] = s
	return s
}
