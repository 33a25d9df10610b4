package archive

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"tallybook/schemas"
)

// A file cut short anywhere, or with a changed byte in a page, is an error that
// names it.
func TestReadDamaged(t *testing.T) {
	whole, read := damageable(t)
	for n := 0; n < len(whole); n += 31 {
		if err := read(whole[:n]); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), damagedName) {
			t.Fatalf("cut at %d: got %v, want an error that names the file", n, err)
		}
	}
	file, err := parquet.OpenFile(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Metadata().RowGroups {
		for _, chunk := range group.Columns {
			m := &chunk.MetaData
			ends := []int64{m.DataPageOffset + m.TotalCompressedSize}
			if m.DictionaryPageOffset > 0 {
				ends = []int64{m.DataPageOffset, m.DictionaryPageOffset + m.TotalCompressedSize}
			}
			for _, end := range ends {
				damaged := bytes.Clone(whole)
				damaged[end-1] ^= 0x10
				if err := read(damaged); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), damagedName) {
					t.Errorf("column %v, page that ends at %d: got %v", chunk.MetaData.PathInSchema, end, err)
				}
			}
		}
	}
}

// Whatever is changed, reading ends, with an error or without.
func FuzzReadDamaged(f *testing.F) {
	whole, read := damageable(f)
	for at := 0; at < len(whole); at += 97 {
		f.Add(uint(at), byte(0x55))
	}
	f.Fuzz(func(t *testing.T, at uint, change byte) {
		damaged := bytes.Clone(whole)
		damaged[at%uint(len(whole))] ^= change
		if err := read(damaged); err != nil && !strings.Contains(err.Error(), damagedName) {
			t.Errorf("got %v, want an error that names the file", err)
		}
	})
}

const damagedName = "usage/damaged.parquet"

// damageable is a sound file, and how to read it all.
func damageable(t testing.TB) (whole []byte, read func([]byte) error) {
	var out bytes.Buffer
	if err := NewWriter().Write(&out, mixedRows(schemas.Usage, 50, false), shuffled(50)); err != nil {
		t.Fatal(err)
	}
	read = func(b []byte) error {
		m := NewMem()
		if err := put(m, damagedName, string(b)); err != nil {
			return err
		}
		return New(m).Read(context.Background(), damagedName, Columns(schemas.Usage), func(*Rows) error { return nil })
	}
	if err := read(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), read
}

// A disk that fails is no damaged file.
func TestReadFails(t *testing.T) {
	m := NewMem()
	name := mustWrite(t, New(m), denseRows(10), shuffled(10))
	err := New(failingBucket{m}).Read(context.Background(), name, []string{"id"}, func(*Rows) error { return nil })
	if !errors.Is(err, errFault) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, errFault)
	}
}

type failingBucket struct{ Bucket }

func (b failingBucket) Open(ctx context.Context, name string) (File, error) {
	f, err := b.Bucket.Open(ctx, name)
	return failingFile{f}, err
}

// failingFile answers near its end, where the footer is, and fails elsewhere.
type failingFile struct{ File }

func (f failingFile) ReadAt(b []byte, offset int64) (int, error) {
	if offset > 4 && offset < f.Size()/2 {
		return 0, errFault
	}
	return f.File.ReadAt(b, offset)
}
