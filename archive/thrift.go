package archive

import (
	"encoding/binary"
	"errors"
)

// compact reads Thrift's compact protocol, in which footers and page headers
// are written: only the fields that the reader uses, the others are skipped.
// parquet-go's decoder fills every field by reflection, at ten times the cost,
// which is most of what a small file costs. Bytes that are no Thrift make it
// panic; it is given only such as have passed their CRC.
type compact struct {
	b  []byte
	at int // what lies before has been read
}

// Types on the wire. A boolean's value is its type.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftInt8   = 3
	thriftInt16  = 4
	thriftInt64  = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

var errThrift = errors.New("metadata that are no Thrift")

// rest is what has not been read.
func (c *compact) rest() []byte { return c.b[c.at:] }

func (c *compact) byte() byte {
	c.at++
	return c.b[c.at-1]
}

func (c *compact) uvarint() uint64 {
	n, size := binary.Uvarint(c.b[c.at:])
	if size <= 0 {
		panic(errThrift)
	}
	c.at += size
	return n
}

// take is the next n bytes as a view.
func (c *compact) take(n uint64) []byte {
	if n > uint64(len(c.b)-c.at) {
		panic(errThrift)
	}
	from := c.at
	c.at += int(n)
	return c.b[from:c.at:c.at]
}

func (c *compact) zigzag() int64 {
	n := c.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// field is the next field of a struct, behind the field prev.
func (c *compact) field(prev int64) (id int64, kind byte) {
	head := c.byte()
	kind = head & 15
	if delta := head >> 4; delta != 0 || kind == thriftStop {
		return prev + int64(delta), kind
	}
	return c.zigzag(), kind
}

// integer is a field's value of 16 to 64 bits.
func (c *compact) integer(kind byte) int64 {
	if kind < thriftInt16 || kind > thriftInt64 {
		panic(errThrift)
	}
	return c.zigzag()
}

// binary is a field's value as a view.
func (c *compact) binary(kind byte) []byte {
	if kind != thriftBinary {
		panic(errThrift)
	}
	return c.take(c.uvarint())
}

// list begins a field's list of n structs. Each has a byte at least, so that n
// is no reason to allocate more than the file is long.
func (c *compact) list(kind byte) (n int) {
	if kind != thriftList {
		panic(errThrift)
	}
	n, of := c.items()
	if of != thriftStruct {
		panic(errThrift)
	}
	return n
}

func (c *compact) items() (n int, kind byte) {
	head := c.byte()
	size := uint64(head >> 4)
	if size == 15 {
		size = c.uvarint()
	}
	if size > uint64(len(c.b)-c.at) {
		panic(errThrift)
	}
	return int(size), head & 15
}

func (c *compact) skip(kind byte) {
	switch {
	case kind == thriftTrue || kind == thriftFalse:
	case kind == thriftInt8:
		c.byte()
	case kind <= thriftInt64:
		c.uvarint()
	case kind == thriftDouble:
		c.take(8)
	case kind == thriftBinary:
		c.binary(kind)
	case kind == thriftList || kind == thriftSet:
		n, of := c.items()
		for range n {
			c.skipItem(of)
		}
	case kind == thriftMap:
		if n := c.uvarint(); n > 0 {
			kinds := c.byte()
			for range n {
				c.skipItem(kinds >> 4)
				c.skipItem(kinds & 15)
			}
		}
	case kind == thriftStruct:
		for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
			c.skip(k)
		}
	default:
		panic(errThrift)
	}
}

// skipItem skips an element of a list or map, where a boolean takes a byte.
func (c *compact) skipItem(kind byte) {
	if kind == thriftTrue || kind == thriftFalse {
		kind = thriftInt8
	}
	c.skip(kind)
}
