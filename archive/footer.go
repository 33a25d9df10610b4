package archive

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"

	"tallybook/schemas"
)

// footer is what a file says of itself, as far as it is needed to read it.
// It never changes.
type footer struct {
	dataset schemas.Topic
	rows    int64
	groups  []group
	size    int64 // of the file
}

// group is a row group.
type group struct {
	rows   int
	chunks []chunk // in the order of columnsOf
}

// chunk is where a column of a row group lies: its pages, all of them.
type chunk struct {
	section
	stats *chunkStats // nil where the file has none
}

type chunkStats struct {
	filter    section // the bloom filter; without length: none
	low, high string  // bounds as the file has them
	bounded   bool
}

// section is a run of the file's bytes, with their CRC-32C.
type section struct {
	offset int64
	length int
	sum    uint32
}

// verify tells whether b is what was written there.
func (s section) verify(b []byte) error {
	if got := crc32.Checksum(b, castagnoli); got != s.sum {
		return fmt.Errorf("%d bytes at %d have CRC-32C %08x, %08x was written", len(b), s.offset, got, s.sum)
	}
	return nil
}

const (
	sumBytes    = 4
	trailerSize = 8 // length of the metadata, magic
)

var errNoFooter = errors.New("it has no footer at its end: cut short, or never finished")

// footerLength is how many bytes at the end of a file of that size are its
// footer, from its CRC to the magic; trailer is its last bytes. The length that
// these state is held against the size before it is used.
func footerLength(trailer []byte, size int64) (int64, error) {
	length := int64(binary.LittleEndian.Uint32(trailer)) + sumBytes + trailerSize
	if string(trailer[4:]) != magic || length > size-int64(len(magic)) {
		return 0, errNoFooter
	}
	return length, nil
}

// parseFooter reads the end of a file of that size, from the CRC on.
func parseFooter(b []byte, size int64) (f *footer, err error) {
	want := binary.BigEndian.Uint32(b)
	if got := crc32.Checksum(b[sumBytes:], castagnoli); got != want {
		return nil, fmt.Errorf("%w: the footer has CRC-32C %08x, %08x was written", ErrDamaged, got, want)
	}
	defer recoverDamage(&err)
	meta := fileMeta{values: map[string]string{}}
	meta.read(&compact{b: b[sumBytes : len(b)-trailerSize]})
	f = &footer{dataset: schemas.Topic(meta.values[keyDataset]), rows: meta.rows, groups: meta.groups, size: size}
	columns := columnsOf[f.dataset]
	if version := meta.values[keyFormat]; columns == nil || version != formatVersion {
		return nil, fmt.Errorf("not an archive file of this version (dataset %q, format %q)", f.dataset, version)
	}
	if err := checkColumns(meta.columns, columns); err != nil {
		return nil, err
	}
	if err := f.addSums(meta.values[keyChunkSums], meta.values[keyFilterSums]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := f.check(size - int64(len(b))); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f, nil
}

// checkColumns holds the file's schema against the dataset's.
func checkColumns(have []fileColumn, want []column) error {
	if len(have) != len(want)+1 || int(have[0].children) != len(want) {
		return fmt.Errorf("%w: %d columns, the dataset has %d", ErrDamaged, len(have)-1, len(want))
	}
	for i := range want {
		c, h := &want[i], have[i+1]
		if string(h.name) != c.name || h.physical != int64(c.physical()) || (h.repetition == int64(format.Required)) != c.required {
			return fmt.Errorf("%w: column %d is %s, or of another type, instead of %s", ErrDamaged, i+1, h.name, c.name)
		}
	}
	return nil
}

// addSums gives each section its CRC.
func (f *footer) addSums(chunks, filters string) error {
	chunkSums, err := hex.DecodeString(chunks)
	if err != nil {
		return fmt.Errorf("%s: %w", keyChunkSums, err)
	}
	filterSums, err := hex.DecodeString(filters)
	if err != nil {
		return fmt.Errorf("%s: %w", keyFilterSums, err)
	}
	next := func(sums *[]byte) (sum uint32) {
		if len(*sums) >= sumBytes {
			sum, *sums = binary.BigEndian.Uint32(*sums), (*sums)[sumBytes:]
			return sum
		}
		err = errors.New("not every section has a CRC")
		return 0
	}
	for _, g := range f.groups {
		for i := range g.chunks {
			c := &g.chunks[i]
			c.sum = next(&chunkSums)
			if c.stats != nil && c.stats.filter.length > 0 {
				c.stats.filter.sum = next(&filterSums)
			}
		}
	}
	return err
}

// check holds every number that memory is allocated by, or that is read at,
// against the file, whose footer begins at end.
func (f *footer) check(end int64) error {
	inside := func(s section) bool {
		return s.offset >= int64(len(magic)) && s.length >= 0 && s.offset <= end && int64(s.length) <= end-s.offset
	}
	left := f.rows
	for i, g := range f.groups {
		if g.rows <= 0 || g.rows > maxGroupRows {
			return fmt.Errorf("row group %d has %d rows", i, g.rows)
		}
		if left -= int64(g.rows); len(g.chunks) != len(columnsOf[f.dataset]) {
			return fmt.Errorf("row group %d has %d columns", i, len(g.chunks))
		}
		for k, c := range g.chunks {
			if !inside(c.section) || c.stats != nil && c.stats.filter.length != 0 && !inside(c.stats.filter) {
				return fmt.Errorf("row group %d, column %d lies outside the file", i, k)
			}
		}
	}
	if left != 0 {
		return fmt.Errorf("the row groups have %d rows, not %d", f.rows-left, f.rows)
	}
	return nil
}

// memory is about what the footer takes.
func (f *footer) memory() int {
	n := 200
	for _, g := range f.groups {
		n += 100 + 40*len(g.chunks)
		for _, c := range g.chunks {
			if c.stats != nil {
				n += 100 + len(c.stats.low) + len(c.stats.high)
			}
		}
	}
	return n
}
