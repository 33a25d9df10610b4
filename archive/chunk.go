package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

const (
	maxPageSize = 1 << 30
	readPadding = 32 // behind a body, so that parquet-go unpacks its bits in place
)

// pageReader decodes the pages of a column chunk, one after the other.
type pageReader struct {
	zstd    *zstd.Decoder
	in      compact // pages that are not read yet
	head    pageHead
	packed  []byte // the page's body as it is stored
	row     int    // of the row group, with which the page begins
	body    []byte
	levels  []byte // nil: every row has a value
	present int    // values that are not null
	data    []byte // the part of body behind the levels

	levelBuffer []byte
	indexes     []int32
	offsets     []uint32
	text        []byte
	entries     entries
}

func newPageReader() pageReader {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPageSize))
	if err != nil {
		panic(err) // the options are constants
	}
	return pageReader{zstd: dec}
}

// start begins a column chunk.
func (p *pageReader) start(chunk []byte) {
	p.in, p.row, p.head = compact{b: chunk}, 0, pageHead{}
	p.entries.reset()
}

// next moves to the next data page without decoding it, and reads the
// dictionary where it comes first. It reports false behind the last page.
func (p *pageReader) next(c *column) (bool, error) {
	p.row += p.head.values
	for len(p.in.rest()) > 0 {
		p.head = pageHead{}
		p.head.read(&p.in)
		h := &p.head
		if h.size < 0 || h.size > maxPageSize || h.packed < 0 || h.values < 0 {
			return false, fmt.Errorf("page of %d bytes, %d packed, %d values", h.size, h.packed, h.values)
		}
		p.packed = p.in.take(uint64(h.packed))
		switch h.kind {
		case format.DataPage:
			return true, nil
		case format.DictionaryPage:
			if err := p.unpack(); err != nil {
				return false, err
			}
			if err := p.entries.fill(c, p.body, h.values); err != nil {
				return false, err
			}
		default:
			return false, fmt.Errorf("page of kind %v", h.kind)
		}
	}
	return false, nil
}

// unpack decompresses the page.
func (p *pageReader) unpack() error {
	if n := p.head.size + readPadding; cap(p.body) < n {
		p.body = make([]byte, 0, n)
	}
	body, err := p.zstd.DecodeAll(p.packed, p.body[:0])
	if err != nil {
		return err
	}
	if p.body = body; len(body) != p.head.size {
		return fmt.Errorf("page of %d bytes instead of %d", len(body), p.head.size)
	}
	return nil
}

// open decompresses a data page and decodes its levels.
func (p *pageReader) open(c *column) error {
	if err := p.unpack(); err != nil {
		return err
	}
	p.levels, p.present, p.data = nil, p.head.values, p.body
	if c.required {
		return nil
	}
	size := int(binary.LittleEndian.Uint32(p.body))
	encoded := p.body[4 : 4+size]
	p.data = p.body[4+size:]
	run := compact{b: encoded}
	if head := run.uvarint(); head&1 == 0 && int(head>>1) == p.head.values && string(run.rest()) == "\x01" {
		return nil // one run: no nulls
	}
	enc := rle.Encoding{BitWidth: 1}
	var err error
	if p.levelBuffer, err = enc.DecodeLevels(p.levelBuffer, encoded); err != nil {
		return err
	}
	p.levels = p.levelBuffer[:p.head.values]
	if p.present = bytes.Count(p.levels, []byte{1}); p.present == p.head.values {
		p.levels = nil
	}
	return nil
}

// indexesOf are the page's positions in a dictionary of n entries, nil where
// there is one entry and so nothing to choose.
func (p *pageReader) indexesOf(n int) (_ []int32, err error) {
	if n == 1 || p.present == 0 {
		return nil, nil
	}
	width := int(p.data[0])
	if width > max(1, bits.Len(uint(n-1))) {
		return nil, fmt.Errorf("positions of %d bits in a dictionary of %d entries", width, n)
	}
	enc := rle.Encoding{BitWidth: width}
	if p.indexes, err = enc.DecodeInt32(p.indexes, p.data[1:]); err != nil {
		return nil, err
	}
	return p.indexes[:p.present], nil
}

// texts are the page's strings of DELTA_LENGTH_BYTE_ARRAY: string i is
// text[offsets[i]:offsets[i+1]].
func (p *pageReader) texts() (text []byte, offsets []uint32, err error) {
	if p.present == 0 {
		return nil, nil, nil
	}
	if err := p.expect(format.DeltaLengthByteArray); err != nil {
		return nil, nil, err
	}
	var enc delta.LengthByteArrayEncoding
	if p.text, p.offsets, err = enc.DecodeByteArray(p.text, p.data, p.offsets); err != nil {
		return nil, nil, err
	}
	return p.text, p.offsets[:p.present+1], nil
}

func (p *pageReader) expect(e format.Encoding) error {
	if p.head.encoding != e {
		return fmt.Errorf("page in %v instead of %v", p.head.encoding, e)
	}
	return nil
}

// isCoded tells whether the page's values are positions in the dictionary.
func (p *pageReader) isCoded() bool { return p.head.encoding == format.RLEDictionary }
