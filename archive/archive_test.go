package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"tallybook/schemas"
)

// mustWrite puts rows into the bucket and returns the name of the file.
func mustWrite(t testing.TB, a *Archive, rows *Rows, index []int32) string {
	t.Helper()
	const name = "usage/test.parquet"
	err := a.bucket.Put(context.Background(), name, func(out io.Writer) error {
		return NewWriter().Write(out, rows, index)
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func shuffled(n int) []int32 {
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(i)
	}
	rand.New(rand.NewPCG(9, 9)).Shuffle(n, func(i, j int) { index[i], index[j] = index[j], index[i] })
	return index
}

// forShapes runs a test over every dataset, small and large, full and sparse.
func forShapes(t *testing.T, test func(t *testing.T, rows *Rows, index []int32)) {
	for _, dataset := range schemas.Topics {
		for _, n := range []int{0, 1, 7, 500, maxPageRows + 100} {
			for _, sparse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/sparse=%t", dataset, n, sparse), func(t *testing.T) {
					test(t, mixedRows(dataset, n, sparse), shuffled(n))
				})
			}
		}
	}
}

// What is written comes back in every column, through our reader.
func TestReadBack(t *testing.T) {
	forShapes(t, func(t *testing.T, rows *Rows, index []int32) {
		a := New(NewMem())
		name := mustWrite(t, a, rows, index)
		done := 0
		err := a.Read(context.Background(), name, Columns(rows.Dataset), func(got *Rows) error {
			for i := range got.Len() {
				for k := range columnsOf[rows.Dataset] {
					c := &columnsOf[rows.Dataset][k]
					if got, want := cell(c, got, i), cell(c, rows, int(index[done+i])); got != want {
						return fmt.Errorf("row %d, %s: got %#v, want %#v", done+i, c.name, got, want)
					}
				}
			}
			done += got.Len()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if done != len(index) {
			t.Errorf("got %d rows, want %d", done, len(index))
		}
		if n, err := a.Count(context.Background(), name); err != nil || n != int64(len(index)) {
			t.Errorf("count: got %d, %v, want %d", n, err, len(index))
		}
	})
}

// And through parquet-go's own row reader, which shares no code with ours: this
// holds the layout that the Writer makes by hand to the library that is pinned.
func TestReadBackByLibrary(t *testing.T) {
	forShapes(t, func(t *testing.T, rows *Rows, index []int32) {
		var out bytes.Buffer
		if err := NewWriter().Write(&out, rows, index); err != nil {
			t.Fatal(err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		columns := columnsOf[rows.Dataset]
		done := 0
		for _, group := range file.RowGroups() {
			reader := group.Rows()
			buf := make([]parquet.Row, 100)
			for {
				n, err := reader.ReadRows(buf)
				for _, row := range buf[:n] {
					if len(row) != len(columns) {
						t.Fatalf("got %d columns, want %d", len(row), len(columns))
					}
					for k := range columns {
						if got, want := libraryCell(&columns[k], row[k]), cell(&columns[k], rows, int(index[done])); got != want {
							t.Fatalf("row %d, %s: got %#v, want %#v", done, columns[k].name, got, want)
						}
					}
					done++
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			reader.Close()
		}
		if done != len(index) {
			t.Errorf("got %d rows, want %d", done, len(index))
		}
	})
}

func libraryCell(c *column, v parquet.Value) any {
	if v.IsNull() {
		return nil
	}
	switch c.kind {
	case kindCode, kindText:
		return string(v.ByteArray())
	case kindTimestamp, kindInt64:
		return v.Int64()
	case kindDouble:
		return v.Double()
	case kindDecimal:
		d, err := schemas.DecimalFromUnscaled([16]byte(v.ByteArray()))
		if err != nil {
			return err
		}
		return d
	}
	return int64(v.Int32())
}

// A Writer that is used again writes the same bytes as a new one.
func TestWriterReuse(t *testing.T) {
	w := NewWriter()
	for i, rows := range []*Rows{mixedRows(schemas.Usage, 3000, false), mixedRows(schemas.Errors, 500, true),
		denseRows(2000), mixedRows(schemas.Emails, 0, false), mixedRows(schemas.Usage, 3000, false)} {
		var got, want bytes.Buffer
		if err := w.Write(&got, rows, shuffled(rows.Len())); err != nil {
			t.Fatal(err)
		}
		if err := NewWriter().Write(&want, rows, shuffled(rows.Len())); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("file %d: a reused writer wrote another file", i)
		}
	}
}

// A column without rows is the same as none: a worker empties columns to use
// their memory again.
func TestEmptyColumnsAreDefaults(t *testing.T) {
	for _, dataset := range schemas.Topics {
		nothing, emptied := mixedRows(dataset, 3, true), mixedRows(dataset, 3, true)
		for _, of := range []*Rows{nothing, emptied} {
			of.Row, of.Sign, of.TargetID, of.Amount, of.Currency = nil, nil, nil, nil, nil
			of.MeterVersion, of.Status, of.LatencyMS, of.Quantity, of.Bytes = nil, nil, nil, nil, nil
		}
		columns := reflect.ValueOf(emptied).Elem()
		for i := range columns.NumField() {
			if c := columns.Field(i); c.Kind() == reflect.Slice && c.IsNil() {
				c.Set(reflect.MakeSlice(c.Type(), 0, 1))
			}
		}
		var got, want bytes.Buffer
		if err := NewWriter().Write(&want, nothing, shuffled(3)); err != nil {
			t.Fatal(err)
		}
		if err := NewWriter().Write(&got, emptied, shuffled(3)); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: emptied columns make another file: %v", dataset, err)
		}
	}
}

func TestByDay(t *testing.T) {
	rows := mixedRows(schemas.Usage, 20_000, false)
	for i := range rows.Time { // five days, one before 1970
		switch i % 5 {
		case 0:
			rows.Time[i] = -rows.Time[i] / 1000
		default:
			rows.Time[i] += int64(i%4) * microsPerDay
		}
		if i%3 == 0 { // many of one account and time: the log decides
			rows.Account[i], rows.Time[i] = rows.Account[0], rows.Time[0]
		}
	}
	seen := make([]bool, rows.Len())
	var last schemas.Day
	for i, d := range ByDay(rows) {
		if i > 0 && d.Day <= last {
			t.Errorf("day %s behind %s", d.Day, last)
		}
		last = d.Day
		want := DayRows{Day: d.Day, Index: d.Index, MinTime: 1 << 62, MaxTime: -1 << 62, MaxLog: -1 << 63, First: 1 << 62, Last: -1}
		for k, r := range d.Index {
			if seen[r] {
				t.Fatalf("row %d twice", r)
			}
			seen[r] = true
			if got := schemas.DayOf(rows.Time[r]); got != d.Day {
				t.Fatalf("row %d of %s in %s", r, got, d.Day)
			}
			want.MinTime, want.MaxTime = min(want.MinTime, rows.Time[r]), max(want.MaxTime, rows.Time[r])
			want.First, want.Last = min(want.First, rows.Offset[r]), max(want.Last, rows.Offset[r])
			want.MaxLog = max(want.MaxLog, rows.LogTime[r])
			if k > 0 && compareRows(rows, d.Index[k-1], r) >= 0 {
				t.Fatalf("%s: rows %d and %d are out of order", d.Day, d.Index[k-1], r)
			}
		}
		if d.MinTime != want.MinTime || d.MaxTime != want.MaxTime || d.MaxLog != want.MaxLog || d.First != want.First || d.Last != want.Last {
			t.Errorf("%s: got %d to %d, log %d, offsets %d to %d", d.Day, d.MinTime, d.MaxTime, d.MaxLog, d.First, d.Last)
		}
	}
	if i := slices.Index(seen, false); i >= 0 {
		t.Errorf("row %d is in no day", i)
	}
	if got := ByDay(&Rows{Dataset: schemas.Usage}); len(got) != 0 {
		t.Errorf("no rows: got %d days", len(got))
	}
}

func compareRows(rows *Rows, a, b int32) int {
	if n := strings.Compare(rows.String(rows.Account[a]), rows.String(rows.Account[b])); n != 0 {
		return n
	}
	if rows.Time[a] != rows.Time[b] {
		return int(rows.Time[a] - rows.Time[b])
	}
	return int(rows.Offset[a] - rows.Offset[b])
}
