package engine

import (
	"slices"

	"tallybook/schemas"
	"tallybook/store"
)

// foldBlocks folds the rollups of the plan's pieces.
func (p *part) foldBlocks(blocks *store.Blocks) error {
	f := newBlockFold(p, blocks.Dictionary)
	for i := range p.plan.rollups {
		if err := f.begin(&p.plan.rollups[i].place); err != nil {
			return err
		}
		for _, b := range blocks.Ranges[i] {
			if err := f.block(b); err != nil {
				return err
			}
		}
	}
	return f.end()
}

// blockFold folds blocks, whose rows name series by number, column by column:
// the rows of a place are given slots by their names, each column is summed by
// slot, and when the place ends the slots are added to its cells.
type blockFold struct {
	*part
	dictionary *store.Dictionary
	series     []*schemas.Series
	names      []int32  // by series: 0 not known yet, 1 not wanted, else the number of its names + 2
	accounts   []string // each once; nil: rows are looked at one by one

	place  *place
	slotOf []int32 // by names: 0 none yet in this place
	active []int32 // names by slot; slot 0 is for rows that are not wanted
	cells  []int32 // by slot
	rows   []int32 // slot of each row of the block at hand
	sums   [numColumns][]int64
	added  int64 // rows since the place began
}

// Columns that are summed, in the order of their sums.
const (
	colCount = iota
	colQuantity
	colQuantityNanos
	colValues
	colValue
	colValueNanos
	colBytes
	colAmount
	colAmountNanos
	numColumns
)

const unwantedSeries = 1

// manyAccounts are looked for in each row instead of one by one.
const manyAccounts = 64

// flushRows bounds the rows of a place between additions to its cells: sums of
// that many 32 bit numbers fit 64 bits.
const flushRows = 1 << 30

func newBlockFold(p *part, d *store.Dictionary) *blockFold {
	f := &blockFold{part: p, dictionary: d, series: d.Snapshot()}
	f.names = make([]int32, len(f.series))
	if n := len(p.q.Accounts); p.q.Accounts != nil && n <= manyAccounts {
		f.accounts = slices.Clone(p.q.Accounts)
		slices.Sort(f.accounts)
		f.accounts = slices.Compact(f.accounts)
	}
	f.reset()
	return f
}

// begin says which place the next blocks belong to.
func (f *blockFold) begin(place *place) error {
	if f.place != nil && f.place.key != place.key {
		if err := f.end(); err != nil {
			return err
		}
	}
	f.place = place
	return nil
}

// end adds the slots to the cells of the place.
func (f *blockFold) end() error {
	for slot := 1; slot < len(f.active); slot++ {
		s := &f.table.cells[f.cells[slot]].sums
		x := func(column int) int64 { return f.sums[column][slot] }
		if !addTo(&s.count, x(colCount)) || !addTo(&s.valueCount, x(colValues)) || !addTo(&s.bytes, x(colBytes)) ||
			!s.quantity.addUnits(x(colQuantity), x(colQuantityNanos)) || !s.value.addUnits(x(colValue), x(colValueNanos)) ||
			!s.amount.addUnits(x(colAmount), x(colAmountNanos)) {
			return schemas.ErrOverflow
		}
	}
	f.reset()
	return nil
}

func (f *blockFold) reset() {
	for _, names := range f.active[min(1, len(f.active)):] {
		f.slotOf[names] = 0
	}
	f.active, f.cells, f.added = append(f.active[:0], 0), append(f.cells[:0], 0), 0
	for c := range f.sums {
		f.sums[c] = append(f.sums[c][:0], 0)
	}
}

func (f *blockFold) block(b *store.Block) error {
	if f.accounts == nil {
		return f.fold(b, 0, len(b.Series))
	}
	for _, account := range f.accounts {
		from, to := b.Rows(f.dictionary, account)
		if err := f.fold(b, from, to); err != nil {
			return err
		}
	}
	return nil
}

// fold folds rows [from, to) of a block.
func (f *blockFold) fold(b *store.Block, from, to int) error {
	if f.added += int64(to - from); f.added > flushRows {
		if err := f.end(); err != nil {
			return err
		}
	}
	f.rows = slices.Grow(f.rows[:0], to-from)[:to-from]
	for i, series := range b.Series[from:to] {
		slot := int32(0)
		if names := f.names[series] - 2; names >= 0 && int(names) < len(f.slotOf) {
			slot = f.slotOf[names]
		}
		if slot == 0 && f.names[series] != unwantedSeries {
			var err error
			if slot, err = f.slot(series); err != nil {
				return err
			}
		}
		f.rows[i] = slot
	}
	need := f.q.Need
	add := func(wanted bool, column int, values *store.Ints) bool {
		return !wanted || values.AddTo(f.sums[column], f.rows, from)
	}
	value := need&(Values|Extremes) != 0
	if !add(true, colCount, &b.Count) || !add(value, colValues, &b.ValueCount) || !add(need&Bytes != 0, colBytes, &b.Bytes) ||
		!add(need&Quantity != 0, colQuantity, &b.QuantityUnits) || !add(need&Quantity != 0, colQuantityNanos, &b.QuantityNanos) ||
		!add(value, colValue, &b.ValueUnits) || !add(value, colValueNanos, &b.ValueNanos) ||
		!add(need&Amount != 0, colAmount, &b.AmountUnits) || !add(need&Amount != 0, colAmountNanos, &b.AmountNanos) {
		return schemas.ErrOverflow
	}
	if need&Extremes != 0 && len(b.Least) > 0 {
		f.extremes(b, from)
	}
	return nil
}

func (f *blockFold) extremes(b *store.Block, from int) {
	for i, slot := range f.rows {
		if slot != 0 && b.ValueCount.At(from+i) > 0 {
			f.table.cells[f.cells[slot]].sums.rolled.add(b.Least[from+i], b.Greatest[from+i])
		}
	}
}

// slot is the slot of a series in the place; 0 where it is not wanted.
func (f *blockFold) slot(series uint32) (int32, error) {
	if f.names[series] == 0 {
		s, names := f.series[series], int32(notWanted)
		if f.q.Accounts == nil || slices.Contains(f.q.Accounts, s.Account) {
			names = f.group(&seriesView{family: f.q.Family, account: s.Account, dims: s.Dims})
		}
		f.names[series] = names + 2
	}
	names := f.names[series] - 2
	if names < 0 {
		return 0, nil
	}
	if int(names) >= len(f.slotOf) {
		f.slotOf = append(f.slotOf, make([]int32, max(64, int(names)+1, 2*len(f.slotOf))-len(f.slotOf))...)
	}
	if f.slotOf[names] == 0 {
		cell, err := f.table.cell(f.place, names)
		if err != nil {
			return 0, err
		}
		f.slotOf[names] = int32(len(f.active))
		f.active, f.cells = append(f.active, names), append(f.cells, cell)
		for c := range f.sums {
			f.sums[c] = append(f.sums[c], 0)
		}
	}
	return f.slotOf[names], nil
}

// columns are what the question needs of rollups.
func (q *Question) columns() (c store.Columns) {
	for need, column := range map[Need]store.Columns{Quantity: store.ColQuantity, Values: store.ColValues, Bytes: store.ColBytes,
		Amount: store.ColAmount, Extremes: store.ColValues | store.ColExtremes} {
		if q.Need&need != 0 {
			c |= column
		}
	}
	return c
}
