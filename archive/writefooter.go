package archive

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/parquet-go/parquet-go/format"
)

// footer is what follows the row groups: page index, CRC-32C of what follows it,
// metadata, length, magic. Parquet's offsets are explicit, so that other readers
// never look at the CRC.
func (w *Writer) footer(columns int) []byte {
	b := w.group[:0]
	place := func(v any) (offset int64, length int32) {
		encoded := w.page.encode(v)
		offset = w.offset + int64(len(b))
		b = append(b, encoded...)
		return offset, int32(len(encoded))
	}
	for i := range w.index {
		if bounds := w.index[i].bounds; bounds != nil {
			chunk := &w.meta.RowGroups[i/columns].Columns[i%columns]
			chunk.ColumnIndexOffset, chunk.ColumnIndexLength = place(bounds)
		}
	}
	for i := range w.index {
		chunk := &w.meta.RowGroups[i/columns].Columns[i%columns]
		chunk.OffsetIndexOffset, chunk.OffsetIndexLength = place(&w.index[i].offsets)
	}
	w.meta.KeyValueMetadata = append(w.meta.KeyValueMetadata,
		format.KeyValue{Key: keyChunkSums, Value: hex.EncodeToString(w.chunkSums)},
		format.KeyValue{Key: keyFilterSums, Value: hex.EncodeToString(w.filterSums)})
	sum := len(b)
	b = append(b, make([]byte, sumBytes)...)
	_, length := place(&w.meta)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = append(b, magic...)
	appendSum(b[:sum], b[sum+sumBytes:])
	w.group = b
	return b
}

// chunkStatistics fills the row group's statistics of a column.
func (v *values) chunkStatistics(c *column, s *format.Statistics) {
	s.NullCount = int64(v.rows - v.count)
	switch {
	case !c.bounds || v.count == 0:
	case c.physical() == format.Int64:
		s.MinValue, s.MaxValue = intBounds(v.ints)
	default:
		s.MinValue, s.MaxValue = v.min, v.max
	}
}

// pageBounds adds a page to the column index of a sort column; these are never
// null.
func (v *values) pageBounds(c *column, rows *Rows, p pageRange, index *format.ColumnIndex) {
	var low, high []byte
	if c.physical() == format.Int64 {
		low, high = intBounds(v.ints[p.value:p.valueTo])
	} else {
		l, h := v.codeBounds(rows, p.value, p.valueTo)
		low, high = []byte(l), []byte(h)
	}
	index.NullPages = append(index.NullPages, false)
	index.MinValues = append(index.MinValues, low)
	index.MaxValues = append(index.MaxValues, high)
	index.NullCounts = append(index.NullCounts, 0)
}

func intBounds(ints []int64) (low, high []byte) {
	l, h := ints[0], ints[0]
	for _, n := range ints {
		l, h = min(l, n), max(h, n)
	}
	return appendInt(nil, l, 8), appendInt(nil, h, 8)
}
