package archive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	maxGroupRows = 128 << 10 // rows of a row group
	maxGroupText = 32 << 20  // bytes of its long texts: bounds the memory of writer and reader
	maxPageRows  = 16 << 10
	maxPageText  = 1 << 20

	createdBy      = "tallybook"
	keyDataset     = "tallybook.dataset"
	keyFormat      = "tallybook.format"
	keyChunkSums   = "tallybook.crc32c.columns"
	keyFilterSums  = "tallybook.crc32c.filters"
	formatVersion  = "1"
	magic          = "PAR1"
	parquetVersion = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer writes Parquet files. It lays out the file itself, from parquet-go's
// encodings, Thrift and metadata types: parquet-go's own writer would look up
// each string of a dictionary column again, where Rows already has its code.
// It keeps its buffers from file to file. Not for concurrent use.
type Writer struct {
	zstd   *zstd.Encoder
	values values
	group  []byte // the row group being built: pages and bloom filters
	offset int64  // where it begins in the file
	page   pageBuffer
	meta   format.FileMetaData
	index  []chunkIndex

	chunkSums  []byte // CRC-32C of each column chunk, 4 bytes each, group by group
	filterSums []byte // and of each bloom filter
}

// chunkIndex is the page index of one column chunk.
type chunkIndex struct {
	offsets format.OffsetIndex
	bounds  *format.ColumnIndex // nil where it would not prune
}

// NewWriter returns a Writer for any dataset.
func NewWriter() *Writer {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true),
		zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		panic(err) // the options are constants
	}
	w := &Writer{zstd: enc}
	w.page.header = thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&w.page.out))
	return w
}

// Write writes the rows that index names, in its order, as one file. Where that
// order is account, time, the file says that it is sorted so.
func (w *Writer) Write(out io.Writer, rows *Rows, index []int32) error {
	columns := columnsOf[rows.Dataset]
	if columns == nil {
		return fmt.Errorf("no dataset %q", rows.Dataset)
	}
	w.start(rows, columns, int64(len(index)))
	if _, err := io.WriteString(out, magic); err != nil {
		return err
	}
	w.offset = int64(len(magic))
	sorted := isSorted(rows, index)
	for from := 0; from < len(index); {
		to := groupEnd(rows, index, from)
		w.writeGroup(columns, rows, index[from:to], sorted)
		if _, err := out.Write(w.group); err != nil {
			return err
		}
		w.offset += int64(len(w.group))
		from = to
	}
	_, err := out.Write(w.footer(len(columns)))
	return err
}

func (w *Writer) start(rows *Rows, columns []column, numRows int64) {
	w.index, w.chunkSums, w.filterSums = w.index[:0], w.chunkSums[:0], w.filterSums[:0]
	w.meta = format.FileMetaData{Version: parquetVersion, Schema: schemaElements(columns), NumRows: numRows,
		CreatedBy: createdBy, KeyValueMetadata: []format.KeyValue{
			{Key: keyDataset, Value: string(rows.Dataset)}, {Key: keyFormat, Value: formatVersion}},
		ColumnOrders: make([]format.ColumnOrder, len(columns))}
	for i := range columns {
		w.meta.ColumnOrders[i].Value = &format.TypeDefinedOrder{}
	}
}

// groupEnd is where the row group that begins at from ends.
func groupEnd(rows *Rows, index []int32, from int) int {
	end := min(len(index), from+maxGroupRows)
	text := 0
	for i := from; i < end; i++ {
		r := int(index[i])
		text += len(rows.ID.At(r))
		if len(rows.Data.Ends) > 0 {
			text += len(rows.Data.At(r))
		}
		if len(rows.Input.Ends) > 0 {
			text += len(rows.Input.At(r))
		}
		if text > maxGroupText {
			return i + 1
		}
	}
	return end
}

func isSorted(rows *Rows, index []int32) bool {
	for i := 1; i < len(index); i++ {
		a, b := index[i-1], index[i]
		if rows.Account[a] == rows.Account[b] {
			if rows.Time[a] > rows.Time[b] {
				return false
			}
		} else if rows.String(rows.Account[a]) >= rows.String(rows.Account[b]) {
			return false // two codes of one string would be two runs
		}
	}
	return true
}

func (w *Writer) writeGroup(columns []column, rows *Rows, index []int32, sorted bool) {
	w.group = w.group[:0]
	g := format.RowGroup{NumRows: int64(len(index)), FileOffset: w.offset, Ordinal: int16(len(w.meta.RowGroups)),
		Columns: make([]format.ColumnChunk, len(columns))}
	if sorted {
		for i := range columns {
			if columns[i].paged { // account, then time
				g.SortingColumns = append(g.SortingColumns, format.SortingColumn{ColumnIdx: int32(i)})
			}
		}
	}
	for i := range columns {
		c := &columns[i]
		w.values.gather(c, rows, index)
		chunk := &g.Columns[i]
		chunk.MetaData = format.ColumnMetaData{Type: c.physical(), PathInSchema: []string{c.name},
			Codec: format.Zstd, NumValues: int64(len(index))}
		w.index = append(w.index, chunkIndex{})
		w.writeChunk(c, rows, &chunk.MetaData, &w.index[len(w.index)-1])
		g.TotalByteSize += chunk.MetaData.TotalUncompressedSize
		g.TotalCompressedSize += chunk.MetaData.TotalCompressedSize
	}
	w.meta.RowGroups = append(w.meta.RowGroups, g)
}

// writeChunk appends the pages of the gathered column to the row group.
func (w *Writer) writeChunk(c *column, rows *Rows, meta *format.ColumnMetaData, index *chunkIndex) {
	v := &w.values
	start := len(w.group)
	meta.Encoding = []format.Encoding{format.RLE, v.encoding}
	if v.encoding == format.RLEDictionary {
		meta.Encoding = append(meta.Encoding, format.Plain)
		meta.DictionaryPageOffset = w.offset + int64(len(w.group))
		w.page.dictionary(v)
		w.appendPage(meta)
		meta.EncodingStats = append(meta.EncodingStats,
			format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	if c.paged {
		index.bounds = &format.ColumnIndex{BoundaryOrder: format.Unordered}
	}
	meta.DataPageOffset = w.offset + int64(len(w.group))
	var p pageRange
	for p.rowTo < v.rows {
		v.nextPage(&p)
		location := format.PageLocation{Offset: w.offset + int64(len(w.group)), FirstRowIndex: int64(p.row)}
		w.page.data(v, p)
		location.CompressedPageSize = w.appendPage(meta)
		index.offsets.PageLocations = append(index.offsets.PageLocations, location)
		if index.bounds != nil {
			v.pageBounds(c, rows, p, index.bounds)
		}
	}
	meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DataPage,
		Encoding: v.encoding, Count: int32(len(index.offsets.PageLocations))})
	v.chunkStatistics(c, &meta.Statistics)
	w.chunkSums = appendSum(w.chunkSums, w.group[start:])
	if v.filter != nil {
		w.appendFilter(meta)
	}
}

// appendPage compresses the page that w.page holds and appends it.
func (w *Writer) appendPage(meta *format.ColumnMetaData) int32 {
	header := w.page.finish(w.zstd)
	w.group = append(append(w.group, header...), w.page.compressed...)
	size := len(header) + len(w.page.compressed)
	meta.TotalCompressedSize += int64(size)
	meta.TotalUncompressedSize += int64(len(header) + len(w.page.body))
	return int32(size)
}

func (w *Writer) appendFilter(meta *format.ColumnMetaData) {
	bits := w.values.filter.Bytes()
	header := format.BloomFilterHeader{NumBytes: int32(len(bits))}
	header.Algorithm.Value = &format.SplitBlockAlgorithm{}
	header.Hash.Value = &format.XxHash{}
	header.Compression.Value = &format.BloomFilterUncompressed{}
	encoded := w.page.encode(&header)
	meta.BloomFilterOffset = w.offset + int64(len(w.group))
	meta.BloomFilterLength = int32(len(encoded) + len(bits))
	start := len(w.group)
	w.group = append(append(w.group, encoded...), bits...)
	w.filterSums = appendSum(w.filterSums, w.group[start:])
}

// appendSum appends the CRC-32C of data.
func appendSum(sums, data []byte) []byte {
	return binary.BigEndian.AppendUint32(sums, crc32.Checksum(data, castagnoli))
}
