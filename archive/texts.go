package archive

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/format"
)

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
