package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"

	"tallybook/schemas"
)

// appendTo appends the rows of the page that is open to a column of Rows.
func (p *pageReader) appendTo(to any) (err error) {
	switch col := to.(type) {
	case *[]Code:
		*col, err = p.appendCodes(*col)
	case *Texts:
		err = p.appendTexts(col)
	case *[]int64:
		*col, err = p.appendLongs(*col)
	case *[]int32:
		*col, err = appendEntries(*col, p, p.entries.ints, NullInt32)
	case *[]int8:
		*col, err = appendEntries(*col, p, p.entries.bytes, 0)
	case *int32:
		if len(p.entries.ints) != 1 {
			return errors.New("rows of several partitions")
		}
		*col = p.entries.ints[0]
	case *[]float64:
		*col, err = p.appendDoubles(*col)
	case *[]schemas.Decimal:
		*col, err = p.appendDecimals(*col)
	}
	return err
}

// grow makes room for the page's rows at the end of a column.
func grow[T any](to []T, p *pageReader) (all, room []T) {
	n := len(to)
	all = slices.Grow(to, p.head.values)[:n+p.head.values]
	return all, all[n:]
}

// appendEntries appends the rows of a page of positions in a dictionary.
func appendEntries[T any](to []T, p *pageReader, entries []T, null T) ([]T, error) {
	if p.present > 0 {
		if err := p.expect(format.RLEDictionary); err != nil {
			return to, err
		}
	}
	indexes, err := p.indexesOf(len(entries))
	if err != nil {
		return to, err
	}
	all, room := grow(to, p)
	switch {
	case p.levels == nil && indexes == nil:
		only := entries[0]
		for i := range room {
			room[i] = only
		}
	case p.levels == nil:
		for i, k := range indexes {
			room[i] = entries[k]
		}
	default:
		for i, level := range p.levels {
			switch {
			case level == 0:
				room[i] = null
			case indexes == nil:
				room[i] = entries[0]
			default:
				room[i] = entries[indexes[0]]
				indexes = indexes[1:]
			}
		}
	}
	return all, nil
}

// spread moves the values at the beginning of room to the rows that have one.
func spread[T any](room []T, p *pageReader, null T) {
	if p.levels == nil {
		return
	}
	k := p.present
	for i := len(room) - 1; i >= 0; i-- {
		if p.levels[i] == 0 {
			room[i] = null
			continue
		}
		k--
		room[i] = room[k]
	}
}

func (p *pageReader) appendCodes(to []Code) ([]Code, error) {
	if p.isCoded() {
		return appendEntries(to, p, p.entries.codes, 0)
	}
	text, offsets, err := p.texts()
	if err != nil {
		return to, err
	}
	all, room := grow(to, p)
	for i := range p.present {
		room[i] = p.entries.intern(text[offsets[i]:offsets[i+1]])
	}
	spread(room, p, 0)
	return all, nil
}

func (p *pageReader) appendLongs(to []int64) ([]int64, error) {
	if p.isCoded() {
		return appendEntries(to, p, p.entries.longs, NullInt64)
	}
	all, room := grow(to, p)
	if p.present > 0 {
		if err := p.expect(format.DeltaBinaryPacked); err != nil {
			return to, err
		}
		var enc delta.BinaryPackedEncoding
		values, err := enc.DecodeInt64(room[:p.present], p.data)
		if err != nil {
			return to, err
		}
		if len(values) != p.present {
			return to, fmt.Errorf("%d values instead of %d", len(values), p.present)
		}
		copy(room, values) // they are there already, unless the decoder took memory of its own
	}
	spread(room, p, NullInt64)
	return all, nil
}

func (p *pageReader) appendDoubles(to []float64) ([]float64, error) {
	if p.isCoded() {
		return appendEntries(to, p, p.entries.doubles, math.NaN())
	}
	if err := p.expect(format.Plain); err != nil {
		return to, err
	}
	all, room := grow(to, p)
	for i, data := 0, p.data; i < p.present; i, data = i+1, data[8:] {
		room[i] = math.Float64frombits(binary.LittleEndian.Uint64(data))
	}
	spread(room, p, math.NaN())
	return all, nil
}

func (p *pageReader) appendDecimals(to []schemas.Decimal) ([]schemas.Decimal, error) {
	if p.isCoded() {
		return appendEntries(to, p, p.entries.decimals, NullDecimal)
	}
	if err := p.expect(format.Plain); err != nil {
		return to, err
	}
	all, room := grow(to, p)
	for i := range p.present {
		d, err := schemas.DecimalFromUnscaled([16]byte(p.data[16*i:]))
		if err != nil {
			return to, err
		}
		room[i] = d
	}
	spread(room, p, NullDecimal)
	return all, nil
}

func (p *pageReader) appendTexts(to *Texts) error {
	text, offsets, err := p.texts()
	if err != nil {
		return err
	}
	base, k := uint32(len(to.Data)), 0
	ends, room := grow(to.Ends, p)
	for i := range room {
		if p.levels == nil || p.levels[i] != 0 {
			k++
		}
		room[i] = base
		if k > 0 {
			room[i] += offsets[k]
		}
	}
	to.Data, to.Ends = append(to.Data, text...), ends
	return nil
}

func clearColumn(to any) {
	switch col := to.(type) {
	case *[]Code:
		*col = (*col)[:0]
	case *Texts:
		col.Data, col.Ends = col.Data[:0], col.Ends[:0]
	case *[]int64:
		*col = (*col)[:0]
	case *[]int32:
		*col = (*col)[:0]
	case *[]int8:
		*col = (*col)[:0]
	case *[]float64:
		*col = (*col)[:0]
	case *[]schemas.Decimal:
		*col = (*col)[:0]
	}
}
