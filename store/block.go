package store

import (
	"math"
	"sort"

	"tallybook/schemas"
)

// Columns is a set of the numbers of rollup rows. Count is always read.
type Columns uint8

const (
	ColQuantity Columns = 1 << iota
	ColValues           // ValueCount, ValueSum
	ColExtremes         // ValueMin, ValueMax
	ColBytes
	ColAmount
)

// Block is the rows of a family in a window, column by column, sorted by
// account. It never changes. A column that was not asked for may be there all
// the same, or empty.
type Block struct {
	Window schemas.Hour // the window's first hour
	Series []uint32     // index into Dictionary

	Count, ValueCount, Bytes Ints
	QuantityUnits            Ints
	QuantityNanos            Ints
	ValueUnits, ValueNanos   Ints
	AmountUnits, AmountNanos Ints
	Least, Greatest          []schemas.Decimal // meaningful where ValueCount > 0
}

// Ints is a column of integers, in as little memory as they need.
type Ints struct {
	all   int64 // every row has it, where both below are nil
	small []int32
	large []int64
}

// Zero says that every row has 0.
func (c *Ints) Zero() bool { return c.small == nil && c.large == nil && c.all == 0 }

// At is the integer of a row.
func (c *Ints) At(row int) int64 {
	switch {
	case c.small != nil:
		return int64(c.small[row])
	case c.large != nil:
		return c.large[row]
	}
	return c.all
}

// AddTo adds row from+i to sums[slots[i]], for every slot. It reports false
// where a sum leaves 64 bits; sums of up to 2^31 rows of small numbers do not.
func (c *Ints) AddTo(sums []int64, slots []int32, from int) bool {
	switch {
	case c.small != nil:
		small := c.small[from:][:len(slots)]
		for i, slot := range slots {
			sums[slot] += int64(small[i])
		}
	case c.large != nil:
		large := c.large[from:][:len(slots)]
		for i, slot := range slots {
			if !addChecked(&sums[slot], large[i]) {
				return false
			}
		}
	case c.all != 0:
		for _, slot := range slots {
			if !addChecked(&sums[slot], c.all) {
				return false
			}
		}
	}
	return true
}

func addChecked(to *int64, n int64) bool {
	sum := *to + n
	fits := (n >= 0) == (sum >= *to)
	*to = sum
	return fits
}

// pack keeps the integers, which the caller may use again.
func pack(values []int64) Ints {
	if len(values) == 0 {
		return Ints{}
	}
	same, fits := true, true
	for _, v := range values {
		same = same && v == values[0]
		fits = fits && v >= math.MinInt32 && v <= math.MaxInt32
	}
	switch {
	case same:
		return Ints{all: values[0]}
	case fits:
		c := Ints{small: make([]int32, len(values))}
		for i, v := range values {
			c.small[i] = int32(v)
		}
		return c
	}
	return Ints{large: append([]int64(nil), values...)}
}

func (c *Ints) size() int64 { return int64(4*len(c.small) + 8*len(c.large)) }

func (b *Block) size() int64 {
	n := int64(400 + 4*len(b.Series) + 16*(len(b.Least)+len(b.Greatest)))
	for _, c := range []*Ints{&b.Count, &b.ValueCount, &b.Bytes, &b.QuantityUnits, &b.QuantityNanos,
		&b.ValueUnits, &b.ValueNanos, &b.AmountUnits, &b.AmountNanos} {
		n += c.size()
	}
	return n
}

// Rows are the rows [from, to) of an account.
func (b *Block) Rows(d *Dictionary, account string) (from, to int) {
	from = sort.Search(len(b.Series), func(i int) bool { return d.Series(b.Series[i]).Account >= account })
	to = from + sort.Search(len(b.Series)-from, func(i int) bool { return d.Series(b.Series[from+i]).Account > account })
	return from, to
}

// window is the blocks of every family in a window.
type window struct {
	version  int64 // of the hour; of a day or month the number of its build
	columns  Columns
	families map[string]*Block
	bytes    int64
}

// builder collects the rows of a window.
type builder struct {
	columns  Columns
	families map[string]*blockRows
	last     *blockRows // of the row before
	lastName string
}

// blockRows are a block's columns while they are read.
type blockRows struct {
	series          []uint32
	columns         [9][]int64
	least, greatest []schemas.Decimal
}

func (b *builder) of(family string) *blockRows {
	if b.last != nil && b.lastName == family {
		return b.last
	}
	rows := b.families[family]
	if rows == nil {
		rows = &blockRows{}
		b.families[family] = rows
	}
	b.last, b.lastName = rows, family
	return rows
}

// finish makes the window of what was collected, and is empty again.
func (b *builder) finish(start schemas.Hour, version int64) *window {
	w := &window{version: version, columns: b.columns, families: make(map[string]*Block, len(b.families)), bytes: 200}
	for name, rows := range b.families {
		if len(rows.series) == 0 {
			continue
		}
		block := &Block{Window: start, Series: append([]uint32(nil), rows.series...),
			Least: append([]schemas.Decimal(nil), rows.least...), Greatest: append([]schemas.Decimal(nil), rows.greatest...)}
		for i, to := range []*Ints{&block.Count, &block.QuantityUnits, &block.QuantityNanos, &block.ValueCount, &block.ValueUnits,
			&block.ValueNanos, &block.Bytes, &block.AmountUnits, &block.AmountNanos} {
			*to = pack(rows.columns[i])
			rows.columns[i] = rows.columns[i][:0]
		}
		rows.series, rows.least, rows.greatest = rows.series[:0], rows.least[:0], rows.greatest[:0]
		w.families[name] = block
		w.bytes += block.size()
	}
	return w
}
