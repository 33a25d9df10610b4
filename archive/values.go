package archive

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/bloom"
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
		if gatherInts(v, c, *col, index, NullInt64); len(*col) != 0 {
			v.encodeInts(c)
		}
	case *[]int32:
		if gatherInts(v, c, *col, index, NullInt32); len(*col) != 0 {
			v.dictionaryOfInts(c.width(), math.MaxInt)
		}
	case *[]int8:
		if gatherInts(v, c, *col, index, 0); len(*col) != 0 {
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

// nulls is a column without a value.
func (v *values) nulls() {
	v.levels = resize(v.levels, v.rows)
	clear(v.levels)
	v.encoding = format.Plain
}

// gatherCodes maps the codes of Rows.Dict to those of the chunk's dictionary,
// so that no string is hashed.
func (v *values) gatherCodes(c *column, rows *Rows, col []Code, index []int32) {
	if !c.required && allNull(col) {
		v.nulls()
		return
	}
	v.newStamp(len(rows.Dict))
	if len(col) == 0 || c.required {
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
	if len(col) == 0 {
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
