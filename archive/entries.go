package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tallybook/schemas"
)

// entries are the dictionary of the column chunk that is being read, in the
// form of Rows.
type entries struct {
	intern   func([]byte) Code
	codes    []Code
	longs    []int64
	ints     []int32
	bytes    []int8
	doubles  []float64
	decimals []schemas.Decimal
}

func (e *entries) reset() {
	e.codes, e.longs, e.ints, e.bytes = e.codes[:0], e.longs[:0], e.ints[:0], e.bytes[:0]
	e.doubles, e.decimals = e.doubles[:0], e.decimals[:0]
}

// fill reads a dictionary page of n entries.
func (e *entries) fill(c *column, body []byte, n int) (err error) {
	if c.kind == kindCode {
		for range n {
			end := 4 + int(binary.LittleEndian.Uint32(body))
			e.codes = append(e.codes, e.intern(body[4:end]))
			body = body[end:]
		}
		return nil
	}
	if len(body) != n*c.width() {
		return fmt.Errorf("dictionary of %d bytes for %d entries", len(body), n)
	}
	for range n {
		switch c.kind {
		case kindTimestamp, kindInt64:
			e.longs = append(e.longs, int64(binary.LittleEndian.Uint64(body)))
		case kindInt32, kindPartition:
			e.ints = append(e.ints, int32(binary.LittleEndian.Uint32(body)))
		case kindInt8:
			e.bytes = append(e.bytes, int8(binary.LittleEndian.Uint32(body)))
		case kindDouble:
			e.doubles = append(e.doubles, math.Float64frombits(binary.LittleEndian.Uint64(body)))
		case kindDecimal:
			d, err := schemas.DecimalFromUnscaled([16]byte(body))
			if err != nil {
				return err
			}
			e.decimals = append(e.decimals, d)
		default:
			return errors.New("long texts have no dictionary")
		}
		body = body[c.width():]
	}
	return nil
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
