package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"tallybook/schemas"
)

const (
	damagedName = "usage/damaged.parquet"
	damagedRows = 20
)

// sound is a file, and the rows that it must give, if any.
type sound struct {
	whole []byte
	rows  *Rows
	index []int32
	ids   []string // that are asked for

	bucket  *Mem
	archive *Archive
}

func newSound(t testing.TB) *sound {
	s := &sound{rows: mixedRows(schemas.Usage, damagedRows, false), index: shuffled(damagedRows), ids: []string{"no such id"}, bucket: NewMem()}
	s.archive = New(s.bucket)
	s.ids = append(s.ids, string(s.rows.ID.At(7)))
	var out bytes.Buffer
	if err := NewWriter().Write(&out, s.rows, s.index); err != nil {
		t.Fatal(err)
	}
	s.whole = out.Bytes()
	if err := s.check(s.whole); err != nil {
		t.Fatal(err)
	}
	return s
}

// check reads a file in every way there is. Each answers with what was written,
// or with an error that names the file; else check says how it does not.
// The first of the errors is returned as damage.
func (s *sound) check(file []byte) error {
	if err := put(s.bucket, damagedName, string(file)); err != nil {
		return err
	}
	a, ctx := s.archive, context.Background()
	a.footers = newFooterCache(maxFooterBytes) // the same name has another file now
	var damage error
	judge := func(way string, err error, wrong error) error {
		switch {
		case err == nil:
			return wrong
		case !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), damagedName):
			return fmt.Errorf("%s: got %v, want an error that says that %s is damaged", way, err, damagedName)
		case damage == nil:
			damage = &damaged{err}
		}
		return nil
	}
	n, err := a.Count(ctx, damagedName)
	if bad := judge("count", err, s.differs(n != damagedRows, "count: got %d rows", n)); bad != nil {
		return bad
	}
	done := 0
	var wrong error
	err = a.Read(ctx, damagedName, Columns(schemas.Usage), func(got *Rows) error {
		for i := range got.Len() {
			if wrong == nil && done < len(s.index) {
				wrong = s.compare(got, i, int(s.index[done]))
			}
			done++
		}
		return nil
	})
	if wrong == nil {
		wrong = s.differs(err == nil && done != len(s.index), "read: got %d rows", done)
	}
	if wrong != nil {
		return wrong // also where an error follows
	}
	if bad := judge("read", err, nil); bad != nil {
		return bad
	}
	for i, id := range s.ids {
		found := 0
		err := a.Find(ctx, damagedName, id, func(got *Rows) error {
			for k := range got.Len() {
				if string(got.ID.At(k)) != id {
					return fmt.Errorf("found id %q instead of %q", got.ID.At(k), id)
				}
				found++
			}
			return nil
		})
		if bad := judge("find", err, s.differs(found != min(i, 1), "find: got %d rows of id %q", found, id)); bad != nil {
			return bad
		}
	}
	return damage
}

func (s *sound) differs(is bool, format string, args ...any) error {
	if !is {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (s *sound) compare(got *Rows, i, want int) error {
	for k := range columnsOf[schemas.Usage] {
		c := &columnsOf[schemas.Usage][k]
		if g, w := cell(c, got, i), cell(c, s.rows, want); g != w {
			return fmt.Errorf("%s: got %#v, want %#v", c.name, g, w)
		}
	}
	return nil
}

// damaged is damage that was recognised, which is as it should be.
type damaged struct{ error }

func isDamage(err error) bool {
	var d *damaged
	return errors.As(err, &d)
}

// A file cut short anywhere, or with more behind its end, is damaged.
func TestReadCut(t *testing.T) {
	s := newSound(t)
	for n := range s.whole {
		if err := s.check(s.whole[:n]); !isDamage(err) {
			t.Fatalf("cut at %d: got %v, want damage", n, err)
		}
	}
	for _, more := range []string{"x", "PAR1", string(s.whole[:1000])} {
		if err := s.check(append(bytes.Clone(s.whole), more...)); !isDamage(err) {
			t.Errorf("%d bytes behind its end: got %v, want damage", len(more), err)
		}
	}
}

// Every byte of a file, changed in several ways, is recognised or of no
// meaning to us: the rows are those that were written, or there are none. What
// is of no meaning is the magic at the beginning and the page index, which other
// readers use.
func TestReadDamaged(t *testing.T) {
	s := newSound(t)
	footer := int(binary.LittleEndian.Uint32(s.whole[len(s.whole)-trailerSize:])) + trailerSize + sumBytes
	unread := map[bool]int{}
	for at := range s.whole {
		for _, change := range []byte{0x01, 0x14, 0xff} {
			file := bytes.Clone(s.whole)
			file[at] ^= change
			err := s.check(file)
			if err != nil && !isDamage(err) {
				t.Fatalf("byte %d of %d changed by %#x: %v", at, len(file), change, err)
			}
			if err == nil {
				unread[at >= len(file)-footer]++
			}
		}
	}
	if n := unread[true]; n > 0 {
		t.Errorf("%d changes of the footer went unnoticed", n)
	}
	if got, most := unread[false], 3*len(s.whole)/4; got > most {
		t.Errorf("%d changes went unnoticed, at most %d should", got, most)
	}
}

// Whatever is changed, in one place or two, reading ends with what was written
// or with an error that names the file.
func FuzzReadDamaged(f *testing.F) {
	s := newSound(f)
	for at := 0; at < len(s.whole); at += 97 {
		f.Add(uint(at), byte(0x55), uint(0), byte(0))
	}
	f.Add(uint(4), byte(20), uint(0), byte(0))
	f.Fuzz(func(t *testing.T, at uint, change byte, other uint, otherChange byte) {
		file := bytes.Clone(s.whole)
		file[at%uint(len(file))] ^= change
		file[other%uint(len(file))] ^= otherChange
		if err := s.check(file); err != nil && !isDamage(err) {
			t.Error(err)
		}
	})
}

// A footer whose CRC is right but whose numbers are not, as another program
// might write it, ends in an error and takes no more memory than the file.
func FuzzFooter(f *testing.F) {
	s := newSound(f)
	length, err := footerLength(s.whole[len(s.whole)-trailerSize:], int64(len(s.whole)))
	if err != nil {
		f.Fatal(err)
	}
	start := len(s.whole) - int(length)
	for at := sumBytes; at < int(length)-trailerSize; at += 41 {
		f.Add(uint(at), byte(0xff))
		f.Add(uint(at), byte(0x10))
	}
	f.Fuzz(func(t *testing.T, at uint, change byte) {
		file := bytes.Clone(s.whole)
		footer := file[start:]
		footer[sumBytes+at%uint(len(footer)-sumBytes-trailerSize)] ^= change
		appendSum(footer[:0], footer[sumBytes:])
		m := NewMem()
		if err := put(m, damagedName, string(file)); err != nil {
			t.Fatal(err)
		}
		err := New(m).Read(context.Background(), damagedName, Columns(schemas.Usage), func(*Rows) error { return nil })
		if err != nil && !strings.Contains(err.Error(), damagedName) {
			t.Errorf("got %v, want an error that names the file", err)
		}
	})
}

// Lengths beyond the file are refused before memory is taken for them.
func TestFooterLength(t *testing.T) {
	for _, test := range []struct {
		length uint32
		magic  string
		size   int64
		ok     bool
	}{
		{100, magic, 116, true}, {100, magic, 115, false}, {math.MaxUint32, magic, 1000, false},
		{100, "PAR2", 1000, false}, {0, magic, 16, true}, {0, magic, 12, false},
	} {
		trailer := append(binary.LittleEndian.AppendUint32(nil, test.length), test.magic...)
		if got, err := footerLength(trailer, test.size); (err == nil) != test.ok || test.ok && got != int64(test.length)+12 {
			t.Errorf("%+v: got %d, %v", test, got, err)
		}
	}
}

// A disk that fails is no damaged file.
func TestReadFails(t *testing.T) {
	m := NewMem()
	rows := denseRows(20_000)
	name := mustWrite(t, New(m), rows, shuffled(rows.Len()))
	for reads := range 3 { // of the footer, and of two columns
		a := New(failingBucket{m, reads})
		err := a.Read(context.Background(), name, []string{"id", "latency_ms"}, func(*Rows) error { return nil })
		if !errors.Is(err, errFault) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("read %d fails: got %v, want %v and the name", reads, err, errFault)
		}
	}
}

type failingBucket struct {
	Bucket
	reads int // that answer
}

func (b failingBucket) Open(ctx context.Context, name string) (File, error) {
	f, err := b.Bucket.Open(ctx, name)
	return &failingFile{f, b.reads}, err
}

type failingFile struct {
	File
	left int
}

func (f *failingFile) ReadAt(b []byte, offset int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFault
	}
	return f.File.ReadAt(b, offset)
}
