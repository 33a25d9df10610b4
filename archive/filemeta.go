package archive

import "github.com/parquet-go/parquet-go/format"

// fileMeta is the part of Parquet's FileMetaData that reading needs.
type fileMeta struct {
	columns []fileColumn // the first is the root
	rows    int64
	groups  []group
	values  map[string]string // ours
}

// fileColumn is a SchemaElement.
type fileColumn struct {
	name                           []byte
	physical, repetition, children int64
}

// The numbers below are those of the fields in parquet.thrift.

func (m *fileMeta) read(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 2:
			n := c.list(k)
			m.columns = make([]fileColumn, n)
			for i := range n {
				m.columns[i].read(c)
			}
		case 3:
			m.rows = c.integer(k)
		case 4:
			n := c.list(k)
			m.groups = make([]group, n)
			for i := range n {
				m.groups[i].read(c)
			}
		case 5:
			for range c.list(k) {
				m.readValue(c)
			}
		default:
			c.skip(k)
		}
	}
}

func (m *fileMeta) readValue(c *compact) {
	var key, value []byte
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 1:
			key = c.binary(k)
		case 2:
			value = c.binary(k)
		default:
			c.skip(k)
		}
	}
	m.values[string(key)] = string(value)
}

func (f *fileColumn) read(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 1:
			f.physical = c.integer(k)
		case 3:
			f.repetition = c.integer(k)
		case 4:
			f.name = c.binary(k)
		case 5:
			f.children = c.integer(k)
		default:
			c.skip(k)
		}
	}
}

// read fills a RowGroup.
func (g *group) read(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 1:
			n := c.list(k)
			g.chunks = make([]chunk, n)
			for i := range n {
				g.chunks[i].read(c)
			}
		case 3:
			g.rows = int(c.integer(k))
		default:
			c.skip(k)
		}
	}
}

// read fills a ColumnChunk.
func (ch *chunk) read(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		if id == 3 && k == thriftStruct {
			ch.readMeta(c)
		} else {
			c.skip(k)
		}
	}
}

// readMeta reads a ColumnMetaData. The pages begin with the dictionary where
// there is one.
func (ch *chunk) readMeta(c *compact) {
	dictionary := int64(0)
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch {
		case id == 4:
			if c.integer(k) != int64(format.Zstd) {
				panic(errThrift)
			}
		case id == 7:
			ch.length = int(c.integer(k))
		case id == 9:
			ch.offset = c.integer(k)
		case id == 11:
			dictionary = c.integer(k)
		case id == 12 && k == thriftStruct:
			ch.readStatistics(c)
		case id == 14:
			ch.needStats().filter.offset = c.integer(k)
		case id == 15:
			ch.needStats().filter.length = int(c.integer(k))
		default:
			c.skip(k)
		}
	}
	if dictionary > 0 {
		ch.offset = dictionary
	}
}

func (ch *chunk) needStats() *chunkStats {
	if ch.stats == nil {
		ch.stats = new(chunkStats)
	}
	return ch.stats
}

// readStatistics takes the bounds. An empty maximum is taken for none, since an
// empty minimum is a true bound and may have been left out.
func (ch *chunk) readStatistics(c *compact) {
	var low, high []byte
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 5:
			high = c.binary(k)
		case 6:
			low = c.binary(k)
		default:
			c.skip(k)
		}
	}
	if len(high) > 0 {
		s := ch.needStats()
		s.low, s.high, s.bounded = string(low), string(high), true
	}
}

// pageHead is a PageHeader.
type pageHead struct {
	kind         format.PageType
	encoding     format.Encoding
	values       int // with nulls
	size, packed int // of the body, without and with compression
}

func (h *pageHead) read(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch {
		case id == 1:
			h.kind = format.PageType(c.integer(k))
		case id == 2:
			h.size = int(c.integer(k))
		case id == 3:
			h.packed = int(c.integer(k))
		case (id == 5 || id == 7) && k == thriftStruct: // DataPageHeader, DictionaryPageHeader
			h.readValues(c)
		default:
			c.skip(k)
		}
	}
}

func (h *pageHead) readValues(c *compact) {
	for id, k := c.field(0); k != thriftStop; id, k = c.field(id) {
		switch id {
		case 1:
			h.values = int(c.integer(k))
		case 2:
			h.encoding = format.Encoding(c.integer(k))
		default:
			c.skip(k)
		}
	}
}
