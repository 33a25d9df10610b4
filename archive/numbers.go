package archive

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/parquet-go/parquet-go/format"

	"tallybook/schemas"
)

// constant is a column with the same number in every row.
func (v *values) constant(n int64, width int) {
	v.count, v.entries, v.encoding = v.rows, 1, format.RLEDictionary // there is no row group without rows
	v.ints = append(v.ints, n)
	v.dict = appendInt(v.dict, n, width)
}

func appendInt(b []byte, n int64, width int) []byte {
	if width == 4 {
		return binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}

func gatherInts[T int8 | int32 | int64](v *values, c *column, col []T, index []int32, null T) {
	if len(col) == 0 {
		v.defaultInts(c)
		return
	}
	v.ints = resize(v.ints, len(index))
	if c.required {
		for i, r := range index {
			v.ints[i] = int64(col[r])
		}
		v.count = len(index)
		return
	}
	v.levels = resize(v.levels, len(index))
	n := 0
	for i, r := range index {
		number := col[r]
		v.ints[n] = int64(number)
		level := byte(0)
		if number != null {
			level = 1
		}
		v.levels[i] = level
		n += int(level)
	}
	v.ints, v.count = v.ints[:n], n
}

// defaultInts is a column that Rows does not have: 1, 0 or null in every row.
func (v *values) defaultInts(c *column) {
	switch {
	case c.one:
		v.constant(1, c.width())
		if !c.required {
			v.levels = append(v.levels, bytes.Repeat([]byte{1}, v.rows)...)
		}
	case c.required:
		v.constant(0, c.width())
	default:
		v.nulls()
	}
}

// encodeInts takes a dictionary where few values recur (log times of one
// second in ms), else differences.
func (v *values) encodeInts(c *column) {
	if c.name == "topic_offset" || !v.dictionaryOfInts(c.width(), v.count/8) || v.dictionaryBits() >= v.deltaBits() {
		v.indexes, v.dict, v.entries = v.indexes[:0], v.dict[:0], 0
		v.encoding = format.DeltaBinaryPacked
	}
}

// dictionaryBits is about what the dictionary and its indexes take.
func (v *values) dictionaryBits() int {
	return v.count*bits.Len(uint(v.entries-1)) + 8*len(v.dict)
}

// deltaBits is about what DELTA_BINARY_PACKED takes: in groups of 32, each
// difference has the width of the widest.
func (v *values) deltaBits() int {
	total := 64
	for from := 1; from < len(v.ints); from += 32 {
		group := v.ints[from-1 : min(from+32, len(v.ints))]
		low, high := int64(math.MaxInt64), int64(math.MinInt64)
		for i := 1; i < len(group); i++ {
			d := group[i] - group[i-1]
			low, high = min(low, d), max(high, d)
		}
		total += bits.Len64(uint64(high-low))*(len(group)-1) + 16
	}
	return total
}

// dictionaryOfInts makes the dictionary of v.ints, or reports false when it
// has more than limit entries.
func (v *values) dictionaryOfInts(width, limit int) bool {
	v.encoding = format.RLEDictionary
	if v.count == 0 {
		v.encoding = format.Plain
		return true
	}
	if v.count > 8*probes && v.mostlyDistinct(limit) {
		return false
	}
	v.seen.reset(min(limit, v.count))
	v.indexes = resize(v.indexes, v.count)
	last, at := int64(0), int32(-1)
	for i, n := range v.ints {
		if n != last || at < 0 {
			var added bool
			if at, added = v.seen.add(uint64(n), 0); added {
				if v.seen.len > limit {
					return false
				}
				v.dict = appendInt(v.dict, n, width)
			}
			last = n
		}
		v.indexes[i] = at
	}
	v.entries = v.seen.len
	return true
}

const probes = 1024

// mostlyDistinct looks at a sample: of limit values that recur alike, about
// probes²/2/limit of the sample would be repeats.
func (v *values) mostlyDistinct(limit int) bool {
	if limit == math.MaxInt {
		return false
	}
	v.seen.reset(probes)
	for i := range probes {
		v.seen.add(uint64(v.ints[i*(v.count/probes)]), 0)
	}
	return probes-v.seen.len < probes*probes/4/limit
}

func (v *values) gatherDoubles(col []float64, index []int32) {
	if len(col) == 0 {
		v.nulls()
		return
	}
	v.ints, v.levels = resize(v.ints, len(index)), resize(v.levels, len(index))
	n := 0
	for i, r := range index {
		f := col[r]
		v.ints[n] = int64(math.Float64bits(f))
		level := byte(0)
		if f == f {
			level = 1
		}
		v.levels[i] = level
		n += int(level)
	}
	v.ints, v.count = v.ints[:n], n
	if v.dictionaryOfInts(8, v.count/16) {
		return
	}
	v.indexes, v.dict = v.indexes[:0], v.dict[:0]
	v.encoding = format.Plain
	for _, n := range v.ints {
		v.plain = binary.LittleEndian.AppendUint64(v.plain, uint64(n))
	}
}

func (v *values) gatherDecimals(col []schemas.Decimal, index []int32) {
	if len(col) == 0 {
		v.nulls()
		return
	}
	v.encoding = format.RLEDictionary
	v.seen.reset(len(index) / 2)
	last, at := NullDecimal, int32(0)
	for _, r := range index {
		d := col[r]
		if d == NullDecimal {
			v.levels = append(v.levels, 0)
			continue
		}
		v.levels = append(v.levels, 1)
		if d != last {
			var added bool
			if at, added = v.seen.add(uint64(d.Units), uint32(d.Nanos)); added {
				unscaled := d.Unscaled()
				v.dict = append(v.dict, unscaled[:]...)
			}
			last = d
		}
		v.indexes = append(v.indexes, at)
	}
	v.count, v.entries = len(v.indexes), v.seen.len
	if v.count == 0 {
		v.encoding = format.Plain
	} else if v.entries > 16 && v.entries > v.count/2 {
		v.encoding = format.Plain
		for _, i := range v.indexes {
			v.plain = append(v.plain, v.dict[16*i:16*i+16]...)
		}
	}
}
