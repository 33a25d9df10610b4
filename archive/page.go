package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pageBuffer builds one page at a time.
type pageBuffer struct {
	body       []byte // levels and values
	compressed []byte
	scratch    []byte
	header     *thrift.Encoder
	out        bytes.Buffer // what header writes to
	page       format.PageHeader
}

// pageRange is a page's part of its column chunk: rows [row, rowTo), of which
// values [value, valueTo) are not null, in text bytes [text, textTo).
type pageRange struct {
	row, rowTo     int
	value, valueTo int
	text, textTo   int
}

// nextPage moves p to the page behind it.
func (v *values) nextPage(p *pageRange) {
	p.row, p.value, p.text = p.rowTo, p.valueTo, p.textTo
	if v.count == 0 || v.encoding == format.RLEDictionary && v.entries == 1 {
		p.rowTo, p.valueTo = v.rows, v.count
		return
	}
	end := min(v.rows, p.row+maxPageRows)
	if v.encoding != format.DeltaLengthByteArray {
		p.rowTo, p.valueTo = end, p.value+end-p.row
		if len(v.levels) > 0 {
			p.valueTo = p.value + bytes.Count(v.levels[p.row:end], []byte{1})
		}
		return
	}
	for p.rowTo < end && p.textTo-p.text < maxPageText {
		if len(v.levels) == 0 || v.levels[p.rowTo] == 1 {
			p.textTo += int(v.lengths[p.valueTo])
			p.valueTo++
		}
		p.rowTo++
	}
}

// dictionary makes the body of a dictionary page.
func (b *pageBuffer) dictionary(v *values) {
	b.body = append(b.body[:0], v.dict...)
	b.page = format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(
		format.DictionaryPageHeader{NumValues: int32(v.entries), Encoding: format.Plain})}
}

// data makes the body of a data page, version 1, which every reader knows.
func (b *pageBuffer) data(v *values, p pageRange) {
	b.body = b.body[:0]
	if len(v.levels) > 0 {
		b.appendLevels(v.levels[p.row:p.rowTo], p.valueTo-p.value)
	}
	switch v.encoding {
	case format.RLEDictionary:
		b.appendIndexes(v, p)
	case format.DeltaBinaryPacked:
		var enc delta.BinaryPackedEncoding
		b.scratch, _ = enc.EncodeInt64(b.scratch, v.ints[p.value:p.valueTo]) // never fails
		b.body = append(b.body, b.scratch...)
	case format.DeltaLengthByteArray:
		var enc delta.BinaryPackedEncoding
		b.scratch, _ = enc.EncodeInt32(b.scratch, v.lengths[p.value:p.valueTo]) // never fails
		b.body = append(b.body, b.scratch...)
		b.body = append(b.body, v.text[p.text:p.textTo]...)
	case format.Plain:
		if v.count > 0 {
			width := len(v.plain) / v.count
			b.body = append(b.body, v.plain[p.value*width:p.valueTo*width]...)
		}
	}
	b.page = format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{
		NumValues: int32(p.rowTo - p.row), Encoding: v.encoding,
		DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
}

// appendLevels writes which rows have a value, behind the length of that.
func (b *pageBuffer) appendLevels(levels []byte, present int) {
	start := len(b.body)
	b.body = append(b.body, 0, 0, 0, 0)
	switch present {
	case 0:
		b.body = appendRun(b.body, len(levels), 0, 1)
	case len(levels):
		b.body = appendRun(b.body, len(levels), 1, 1)
	default:
		enc := rle.Encoding{BitWidth: 1}
		b.scratch, _ = enc.EncodeLevels(b.scratch, levels) // a width of 1 never fails
		b.body = append(b.body, b.scratch...)
	}
	binary.LittleEndian.PutUint32(b.body[start:], uint32(len(b.body)-start-4))
}

// appendRun is n times the value, in the RLE form.
func appendRun(b []byte, n int, value uint32, width int) []byte {
	b = binary.AppendUvarint(b, uint64(n)<<1)
	for ; width > 0; width -= 8 {
		b = append(b, byte(value))
		value >>= 8
	}
	return b
}

func (b *pageBuffer) appendIndexes(v *values, p pageRange) {
	width := max(1, bits.Len(uint(v.entries-1)))
	b.body = append(b.body, byte(width))
	if v.entries == 1 {
		b.body = appendRun(b.body, p.valueTo-p.value, 0, width)
		return
	}
	enc := rle.Encoding{BitWidth: width}
	b.scratch, _ = enc.EncodeInt32(b.scratch, v.indexes[p.value:p.valueTo]) // a width of 1 to 31 never fails
	b.body = append(b.body, b.scratch...)
}

// finish compresses the body and returns the encoded header.
func (b *pageBuffer) finish(enc *zstd.Encoder) []byte {
	b.compressed = enc.EncodeAll(b.body, b.compressed[:0])
	b.page.UncompressedPageSize = int32(len(b.body))
	b.page.CompressedPageSize = int32(len(b.compressed))
	b.page.CRC = int32(crc32.ChecksumIEEE(b.compressed))
	return b.encode(&b.page)
}

// encode is v as compact Thrift, valid until the next call.
func (b *pageBuffer) encode(v any) []byte {
	b.out.Reset()
	if err := b.header.Encode(v); err != nil {
		panic(err) // a bytes.Buffer does not fail, and the types are fixed
	}
	return b.out.Bytes()
}
