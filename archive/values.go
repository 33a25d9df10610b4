package archive

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/format"

	"tallybook/schemas"
)

// values are the values of one column chunk, gathered in the order of the file
// and without nulls, in the form of the encoding that was chosen for them. It
// is reused from chunk to chunk.
type values struct {
	rows     int
	levels   []byte // per row 1, or 0 where null; empty for required columns
	count    int    // values that are not null
	encoding format.Encoding

	indexes  []int32 // RLE_DICTIONARY: positions in the dictionary; empty where it has one entry
	entries  int     // of the dictionary
	dict     []byte  // the dictionary in PLAIN encoding
	codes    []Code  // the dictionary's codes
	picked   []Code  // the column's codes
	ints     []int64 // DELTA_BINARY_PACKED, and the source of integer dictionaries
	plain    []byte  // PLAIN, values of fixed width
	text     []byte  // DELTA_LENGTH_BYTE_ARRAY
	lengths  []int32
	filter   bloom.SplitBlockFilter
	touched  byte   // of no meaning, see gatherTexts
	min, max []byte // of string columns with bounds; nil: none

	seen  table    // numbers of this chunk's dictionary
	marks []uint64 // per code of Rows.Dict: stamp<<32 | index in this chunk's dictionary
	stamp uint32
}

func (v *values) reset(rows int) {
	v.rows, v.count, v.entries = rows, 0, 0
	v.levels, v.indexes, v.dict, v.codes = v.levels[:0], v.indexes[:0], v.dict[:0], v.codes[:0]
	v.ints, v.plain, v.text, v.lengths = v.ints[:0], v.plain[:0], v.text[:0], v.lengths[:0]
	v.filter, v.min, v.max = nil, nil, nil
}

// gather fills v with the column's values of the rows that index names.
func (v *values) gather(c *column, rows *Rows, index []int32) {
	v.reset(len(index))
	switch col := c.at(rows).(type) {
	case *[]Code:
		v.gatherCodes(c, rows, *col, index)
	case *Texts:
		v.gatherTexts(c, col, index)
	case *[]int64:
		if gatherInts(v, c, *col, index, NullInt64); *col != nil {
			v.encodeInts(c)
		}
	case *[]int32:
		if gatherInts(v, c, *col, index, NullInt32); *col != nil {
			v.dictionaryOfInts(c.width(), math.MaxInt)
		}
	case *[]int8:
		if gatherInts(v, c, *col, index, 0); *col != nil {
			v.dictionaryOfInts(c.width(), math.MaxInt)
		}
	case *int32:
		v.constant(int64(*col), c.width())
	case *[]float64:
		v.gatherDoubles(*col, index)
	case *[]schemas.Decimal:
		v.gatherDecimals(*col, index)
	}
}

// constant is a column with the same number in every row.
func (v *values) constant(n int64, width int) {
	v.count, v.entries, v.encoding = v.rows, 1, format.RLEDictionary // there is no row group without rows
	v.ints = append(v.ints, n)
	v.dict = appendInt(v.dict, n, width)
}

// nulls is a column without a value.
func (v *values) nulls() {
	v.levels = resize(v.levels, v.rows)
	clear(v.levels)
	v.encoding = format.Plain
}

func appendInt(b []byte, n int64, width int) []byte {
	if width == 4 {
		return binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}

func gatherInts[T int8 | int32 | int64](v *values, c *column, col []T, index []int32, null T) {
	if col == nil {
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
	if col == nil {
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
	if col == nil {
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

// gatherCodes maps the codes of Rows.Dict to those of the chunk's dictionary,
// so that no string is hashed.
func (v *values) gatherCodes(c *column, rows *Rows, col []Code, index []int32) {
	if !c.required && allNull(col) {
		v.nulls()
		return
	}
	v.newStamp(len(rows.Dict))
	if col == nil || c.required {
		v.indexCodes(col, index)
	} else {
		v.indexOptionalCodes(col, index)
	}
	v.count, v.entries, v.encoding = len(v.indexes), len(v.codes), format.RLEDictionary
	switch {
	case v.count == 0:
		v.encoding = format.Plain
	case v.entries > 64 && v.entries > v.count/2:
		v.encoding = format.DeltaLengthByteArray
		for _, i := range v.indexes {
			s := rows.String(v.codes[i])
			v.text = append(v.text, s...)
			v.lengths = append(v.lengths, int32(len(s)))
		}
	default:
		for _, code := range v.codes {
			s := rows.String(code)
			v.dict = binary.LittleEndian.AppendUint32(v.dict, uint32(len(s)))
			v.dict = append(v.dict, s...)
		}
	}
	if c.bounds && v.count > 0 {
		low, high := v.codeBounds(rows, 0, v.count)
		v.setBounds([]byte(low), []byte(high))
	}
}

// allNull ends at the first value; a column without any, such as that of a
// field that this traffic does not have, is read in order, which costs little.
func allNull(col []Code) bool {
	for _, code := range col {
		if code != 0 {
			return false
		}
	}
	return true
}

// indexOf is the position of a code in the chunk's dictionary.
func (v *values) indexOf(code Code) int32 {
	mark := v.marks[code]
	if uint32(mark>>32) != v.stamp {
		mark = uint64(v.stamp)<<32 | uint64(len(v.codes))
		v.marks[code] = mark
		v.codes = append(v.codes, code)
	}
	return int32(uint32(mark))
}

// indexCodes is for a required column, in which null is an empty string.
func (v *values) indexCodes(col []Code, index []int32) {
	v.indexes = resize(v.indexes, len(index))
	if col == nil {
		v.indexOf(0)
		clear(v.indexes)
		return
	}
	for i, code := range v.pick(col, index) {
		v.indexes[i] = v.indexOf(code)
	}
}

func (v *values) indexOptionalCodes(col []Code, index []int32) {
	v.indexes, v.levels = resize(v.indexes, len(index)), resize(v.levels, len(index))
	v.marks[0] = uint64(v.stamp) << 32 // null has an index too, that the next value overwrites
	n := 0
	for i, code := range v.pick(col, index) {
		v.indexes[n] = v.indexOf(code)
		level := byte(0)
		if code != 0 {
			level = 1
		}
		v.levels[i] = level
		n += int(level)
	}
	v.indexes = v.indexes[:n]
}

// pick copies the codes into the order of the file, in a loop that does nothing
// else: the rows lie anywhere, and so the processor can fetch many at a time.
func (v *values) pick(col []Code, index []int32) []Code {
	v.picked = resize(v.picked, len(index))
	for i, r := range index {
		v.picked[i] = col[r]
	}
	return v.picked
}

// resize is a slice of n elements in the place of s; what they hold is of no
// account.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// newStamp makes every mark of the chunk before void.
func (v *values) newStamp(codes int) {
	v.stamp++
	if v.stamp == 0 {
		clear(v.marks)
		v.stamp = 1
	}
	if n := max(codes, 1) - len(v.marks); n > 0 {
		v.marks = append(v.marks, make([]uint64, n)...)
	}
}

// codeBounds is the least and greatest string among values [from, to).
func (v *values) codeBounds(rows *Rows, from, to int) (low, high string) {
	last := v.indexes[from]
	low = rows.String(v.codes[last])
	high = low
	for _, i := range v.indexes[from:to] {
		if i == last {
			continue
		}
		last = i
		s := rows.String(v.codes[i])
		low, high = min(low, s), max(high, s)
	}
	return low, high
}

// maxBound is the longest string that is written as a bound.
const maxBound = 256

func (v *values) setBounds(low, high []byte) {
	if len(low) <= maxBound && len(high) <= maxBound {
		v.min, v.max = append([]byte{}, low...), append([]byte{}, high...)
	}
}

const (
	bloomBitsPerValue = 10 // one false answer in a hundred
	textBlock         = 64 // texts that are handled at a time
)

func (v *values) gatherTexts(c *column, col *Texts, index []int32) {
	if len(col.Ends) == 0 && !c.required {
		v.nulls()
		return
	}
	v.encoding = format.DeltaLengthByteArray
	for from := 0; from < len(index); from += textBlock {
		block := index[from:min(from+textBlock, len(index))]
		// The rows lie anywhere in memory. Reading a byte of each before any is
		// copied lets the processor fetch them at the same time.
		for _, r := range block {
			if text := col.At(int(r)); len(text) > 0 {
				v.touched += text[0] + text[len(text)-1]
			}
		}
		for _, r := range block {
			text := col.At(int(r))
			if !c.required {
				if len(text) == 0 {
					v.levels = append(v.levels, 0)
					continue
				}
				v.levels = append(v.levels, 1)
			}
			v.text = append(v.text, text...)
			v.lengths = append(v.lengths, int32(len(text)))
		}
	}
	v.count = len(v.lengths)
	if v.count == 0 {
		v.encoding = format.Plain
		return
	}
	if c.bounds {
		v.textBounds()
	}
	if c.bloom {
		v.textFilter()
	}
}

// textBounds compares the first eight bytes as a number, and all of a text
// only where these do not decide.
func (v *values) textBounds() {
	var low, high []byte
	var lowKey, highKey uint64
	at := 0
	for i, n := range v.lengths {
		text := v.text[at : at+int(n)]
		at += int(n)
		key := prefix(text)
		if i == 0 || key <= lowKey && string(text) < string(low) {
			low, lowKey = text, key
		}
		if i == 0 || key >= highKey && string(text) > string(high) {
			high, highKey = text, key
		}
	}
	v.setBounds(low, high)
}

func (v *values) textFilter() {
	v.filter = make(bloom.SplitBlockFilter, bloom.NumSplitBlocksOf(int64(v.count), bloomBitsPerValue))
	var hashes [textBlock]uint64
	at := 0
	for from := 0; from < v.count; from += textBlock {
		block := v.lengths[from:min(from+textBlock, v.count)]
		for i, n := range block {
			hashes[i] = xxhash.Sum64(v.text[at : at+int(n)])
			at += int(n)
		}
		v.filter.InsertBulk(hashes[:len(block)])
	}
}

// prefix orders as the first eight bytes of text do.
func prefix(text []byte) uint64 {
	if len(text) >= 8 {
		return binary.BigEndian.Uint64(text)
	}
	var b [8]byte
	copy(b[:], text)
	return binary.BigEndian.Uint64(b[:])
}
