package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"tallybook/schemas"
)

func fileOf(t testing.TB, rows *Rows) string {
	t.Helper()
	var out bytes.Buffer
	if err := NewWriter().Write(&out, rows, shuffled(rows.Len())); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func mustFooter(t testing.TB, file string) *footer {
	t.Helper()
	length, err := footerLength([]byte(file[len(file)-trailerSize:]), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseFooter([]byte(file[len(file)-int(length):]), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Our footer parser reads what parquet-go's reads.
func TestFooter(t *testing.T) {
	forShapes(t, func(t *testing.T, rows *Rows, _ []int32) {
		file := fileOf(t, rows)
		got := mustFooter(t, file)
		library, err := parquet.OpenFile(bytes.NewReader([]byte(file)), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		want := library.Metadata()
		if got.dataset != rows.Dataset || got.rows != want.NumRows || len(got.groups) != len(want.RowGroups) || got.size != int64(len(file)) {
			t.Fatalf("got %s, %d rows in %d groups, %d bytes", got.dataset, got.rows, len(got.groups), got.size)
		}
		for i, g := range got.groups {
			if int64(g.rows) != want.RowGroups[i].NumRows {
				t.Errorf("group %d: got %d rows, want %d", i, g.rows, want.RowGroups[i].NumRows)
			}
			for k, c := range g.chunks {
				m := &want.RowGroups[i].Columns[k].MetaData
				offset := m.DataPageOffset
				if m.DictionaryPageOffset > 0 {
					offset = m.DictionaryPageOffset
				}
				sum := crc32.Checksum([]byte(file[offset:offset+m.TotalCompressedSize]), castagnoli)
				if want := (section{offset, int(m.TotalCompressedSize), sum}); c.section != want {
					t.Errorf("%v: got %+v, want %+v", m.PathInSchema, c.section, want)
				}
				var stats chunkStats
				if c.stats != nil {
					stats = *c.stats
				}
				if s := &m.Statistics; len(s.MaxValue) > 0 != stats.bounded || stats.low != string(s.MinValue) || stats.high != string(s.MaxValue) {
					t.Errorf("%v: got bounds %q to %q, want %q to %q", m.PathInSchema, stats.low, stats.high, s.MinValue, s.MaxValue)
				}
				if f := stats.filter; f.offset != m.BloomFilterOffset || f.length != int(m.BloomFilterLength) {
					t.Errorf("%v: got filter %+v, want %d at %d", m.PathInSchema, f, m.BloomFilterLength, m.BloomFilterOffset)
				}
			}
		}
	})
}

// A footer that is longer than what is read at first takes a second read.
func TestLongFooter(t *testing.T) {
	file := fileOf(t, mixedRows(schemas.Usage, 50, false))
	want := mustFooter(t, file)
	length := int64(binary.LittleEndian.Uint32([]byte(file[len(file)-trailerSize:]))) + sumBytes + trailerSize
	for first, reads := range map[int64]int{trailerSize: 2, length - 1: 2, length: 1, length + 1: 1, 1 << 20: 1} {
		watched := &watchedBucket{Bucket: NewMem()}
		if err := put(watched, damagedName, file); err != nil {
			t.Fatal(err)
		}
		r := newReader()
		var err error
		if r.file, err = watched.Open(t.Context(), damagedName); err != nil {
			t.Fatal(err)
		}
		if got, err := r.readFooter(first); err != nil || !reflect.DeepEqual(got, want) || len(watched.reads) != reads {
			t.Errorf("%d bytes at first: got %+v, %v by %d reads, want %d", first, got, err, len(watched.reads), reads)
		}
	}
}

// A Parquet file that is not ours is refused, also where its CRC is right.
func TestForeignFile(t *testing.T) {
	file := []byte(fileOf(t, mixedRows(schemas.Usage, 5, false)))
	length := int(binary.LittleEndian.Uint32(file[len(file)-trailerSize:]))
	for _, change := range []struct{ from, to string }{
		{keyFormat, "tallybook.fromat"}, {"usage", "usagf"}, {"topic_offset", "topic_offsex"}, {keyChunkSums, "tallybook.crc32c.columnz"},
	} {
		changed := bytes.Clone(file)
		footer := changed[len(changed)-trailerSize-length-sumBytes:]
		copy(footer, bytes.ReplaceAll(footer, []byte(change.from), []byte(change.to)))
		if bytes.Equal(changed, file) {
			t.Fatalf("%s is not in the footer", change.from)
		}
		appendSum(footer[:0], footer[sumBytes:])
		if f, err := parseFooter(footer, int64(len(changed))); err == nil {
			t.Errorf("%s as %s: got %+v, want an error", change.from, change.to, f)
		}
	}
}

// The cache keeps what was used last, within its limit.
func TestFooterCache(t *testing.T) {
	f := mustFooter(t, fileOf(t, mixedRows(schemas.Usage, 5, false)))
	each := f.memory() + 2*len("000")
	c := newFooterCache(10 * each)
	rnd := rand.New(rand.NewPCG(1, 1))
	var used []string // last used last
	for range 2000 {
		name := fmt.Sprintf("%03d", rnd.IntN(30))
		i := slices.Index(used, name)
		if got, want := c.get(name, f.size) != nil, i >= 0; got != want {
			t.Fatalf("%s is kept: got %t, want %t", name, got, want)
		}
		if i >= 0 {
			used = slices.Delete(used, i, i+1)
		}
		c.put(name, f)
		if used = append(used, name); len(used) > 10 {
			used = used[1:]
		}
		if c.memory != each*len(used) || len(c.byName) != len(used) || c.used.Len() != len(used) {
			t.Fatalf("got %d footers of %d bytes, want %d", len(c.byName), c.memory, len(used))
		}
	}
	if name := used[9]; c.get(name, f.size+1) != nil || c.get(name, f.size) != nil {
		t.Error("a file of another size: got the old footer")
	}
}
