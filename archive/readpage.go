package archive

import (
	"errors"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"tallybook/schemas"
)

// entries are the dictionary of the column chunk that is being read, in the
// form of Rows; made when the chunk's first dictionary page is met.
type entries struct {
	codes    []Code
	decimals []schemas.Decimal
	made     bool
}

func (e *entries) reset() { e.codes, e.decimals, e.made = e.codes[:0], e.decimals[:0], false }

// readPage appends a page's rows to a column of Rows.
func (r *reader) readPage(to any, page parquet.Page) (err error) {
	switch col := to.(type) {
	case *[]Code:
		*col, err = r.appendCodes(*col, page)
	case *Texts:
		err = appendTexts(col, page)
	case *[]int64:
		*col = appendNumbers(*col, page, (*encoding.Values).Int64, NullInt64)
	case *[]int32:
		*col = appendNumbers(*col, page, (*encoding.Values).Int32, NullInt32)
	case *[]int8:
		for _, n := range appendNumbers(nil, page, (*encoding.Values).Int32, 0) {
			*col = append(*col, int8(n))
		}
	case *int32:
		for i, n := range appendNumbers(nil, page, (*encoding.Values).Int32, 0) {
			if n != *col && (i > 0 || r.entries.made) {
				return errors.New("rows of several partitions")
			}
			*col, r.entries.made = n, true
		}
	case *[]float64:
		*col = appendNumbers(*col, page, (*encoding.Values).Double, math.NaN())
	case *[]schemas.Decimal:
		*col, err = r.appendDecimals(*col, page)
	}
	return err
}

// appendNumbers appends a page of fixed width, of picks its type.
func appendNumbers[T any](to []T, page parquet.Page, of func(*encoding.Values) []T, null T) []T {
	data := page.Data()
	dict := page.Dictionary()
	if dict == nil {
		return appendValues(to, page.DefinitionLevels(), of(&data), null)
	}
	content := dict.Page().Data()
	return appendEntries(to, page.DefinitionLevels(), data.Int32(), of(&content), null)
}

// appendValues appends values with a null wherever the level is 0; no levels
// mean no nulls.
func appendValues[T any](to []T, levels []byte, values []T, null T) []T {
	if levels == nil {
		return append(to, values...)
	}
	k := 0
	for _, level := range levels {
		if level == 0 {
			to = append(to, null)
			continue
		}
		to = append(to, values[k])
		k++
	}
	return to
}

// appendEntries does so with the entries of a dictionary.
func appendEntries[T any](to []T, levels []byte, indexes []int32, entries []T, null T) []T {
	if levels == nil {
		for _, i := range indexes {
			to = append(to, entries[i])
		}
		return to
	}
	k := 0
	for _, level := range levels {
		if level == 0 {
			to = append(to, null)
			continue
		}
		to = append(to, entries[indexes[k]])
		k++
	}
	return to
}

func (r *reader) appendCodes(to []Code, page parquet.Page) ([]Code, error) {
	data, dict := page.Data(), page.Dictionary()
	if dict == nil {
		text, offsets := data.ByteArray()
		codes := make([]Code, 0, len(offsets))
		for i := 1; i < len(offsets); i++ {
			codes = append(codes, r.intern(text[offsets[i-1]:offsets[i]]))
		}
		return appendValues(to, page.DefinitionLevels(), codes, 0), nil
	}
	if e := &r.entries; !e.made {
		content := dict.Page().Data()
		text, offsets := content.ByteArray()
		for i := 1; i < len(offsets); i++ {
			e.codes = append(e.codes, r.intern(text[offsets[i-1]:offsets[i]]))
		}
		e.made = true
	}
	return appendEntries(to, page.DefinitionLevels(), data.Int32(), r.entries.codes, 0), nil
}

func (r *reader) intern(text []byte) Code {
	if c, ok := r.codes[string(text)]; ok {
		return c
	}
	s := string(text)
	c := Code(len(r.rows.Dict))
	r.codes[s] = c
	r.rows.Dict = append(r.rows.Dict, s)
	return c
}

func (r *reader) appendDecimals(to []schemas.Decimal, page parquet.Page) ([]schemas.Decimal, error) {
	data, dict := page.Data(), page.Dictionary()
	if dict == nil {
		plain, err := appendUnscaled(nil, data)
		return appendValues(to, page.DefinitionLevels(), plain, NullDecimal), err
	}
	if e := &r.entries; !e.made {
		var err error
		if e.decimals, err = appendUnscaled(e.decimals, dict.Page().Data()); err != nil {
			return to, err
		}
		e.made = true
	}
	return appendEntries(to, page.DefinitionLevels(), data.Int32(), r.entries.decimals, NullDecimal), nil
}

func appendUnscaled(to []schemas.Decimal, data encoding.Values) ([]schemas.Decimal, error) {
	b, size := data.FixedLenByteArray()
	if size != 16 {
		return to, errors.New("a decimal has 16 bytes")
	}
	for ; len(b) >= 16; b = b[16:] {
		d, err := schemas.DecimalFromUnscaled([16]byte(b))
		if err != nil {
			return to, err
		}
		to = append(to, d)
	}
	return to, nil
}

func appendTexts(to *Texts, page parquet.Page) error {
	if page.Dictionary() != nil {
		return errors.New("long texts have no dictionary")
	}
	data := page.Data()
	text, offsets := data.ByteArray()
	levels := page.DefinitionLevels()
	if levels == nil && len(offsets) > 0 {
		base := uint32(len(to.Data)) - offsets[0]
		to.Data = append(to.Data, text[offsets[0]:offsets[len(offsets)-1]]...)
		for _, end := range offsets[1:] {
			to.Ends = append(to.Ends, end+base)
		}
		return nil
	}
	k := 0
	for _, level := range levels {
		if level == 0 {
			to.Append(nil)
			continue
		}
		to.Append(text[offsets[k]:offsets[k+1]])
		k++
	}
	return nil
}
