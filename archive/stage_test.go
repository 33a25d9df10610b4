package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

var errFault = errors.New("fault")

func mustOpen(t *testing.T) *Archive {
	t.Helper()
	a, err := Open(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stageAll stages a file for each date of rows.
func stageAll(t *testing.T, a *Archive, rows *Rows, src schemas.Partition, epoch int64) []FileInfo {
	t.Helper()
	var infos []FileInfo
	for _, d := range ByDay(rows) {
		info, err := a.Stage(context.Background(), StageFile{Rows: rows, Day: d, Source: src, Epoch: epoch, Random: "1a2b3c4d"})
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	return infos
}

// The way of a file: staged, published, quarantined, each as often as one likes.
func TestStageAndPublish(t *testing.T) {
	ctx := context.Background()
	a := mustOpen(t)
	rows := mixedRows(schemas.Usage, 300, false)
	for i := range rows.Time {
		rows.Time[i] += int64(i%3) * microsPerDay
	}
	src := schemas.Partition{Topic: schemas.Usage, ID: 1}
	infos := stageAll(t, a, rows, src, 7)
	stageAll(t, a, rows, schemas.Partition{Topic: schemas.Usage, ID: 12}, 7) // another, with the same beginning
	if got, want := len(infos), 3; got != want {
		t.Fatalf("got %d files, want %d", got, want)
	}
	var staged, final []string
	total := int64(0)
	for _, info := range infos {
		staged, final = append(staged, info.Staged), append(final, info.Name)
		total += info.Rows
		checkInfo(t, a, info)
	}
	if total != 300 {
		t.Errorf("got %d rows, want 300", total)
	}
	slices.Sort(staged)
	if got, err := a.Staged(ctx, src); err != nil || !slices.Equal(got, staged) {
		t.Errorf("got %v, %v, want %v", got, err, staged)
	}
	for range 2 {
		for _, info := range infos {
			if err := a.Publish(ctx, info); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := a.Staged(ctx, src); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v, want nothing", got, err)
	}
	if got, err := a.PublishedFrom(ctx, src, 0); err != nil || !slices.Equal(got, final) {
		t.Errorf("got %v, %v, want %v", got, err, final)
	}
	for range 2 {
		if err := a.Quarantine(ctx, final[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := a.PublishedFrom(ctx, src, 0); err != nil || !slices.Equal(got, final[1:]) {
		t.Errorf("got %v, %v, want %v", got, err, final[1:])
	}
	if ok, err := a.Exists(ctx, "_quarantine/"+final[0]); !ok || err != nil {
		t.Errorf("got %t, %v, want the file in quarantine", ok, err)
	}
	if ok, err := a.Exists(ctx, final[0]); ok || err != nil {
		t.Errorf("got %t, %v, want no file", ok, err)
	}
}

func checkInfo(t *testing.T, a *Archive, info FileInfo) {
	t.Helper()
	f, err := a.OpenFile(context.Background(), info.Staged)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if got, want := sha256.Sum256(b), info.SHA256; got != want {
		t.Errorf("%s: got SHA-256 %x, want %x", info.Staged, got, want)
	}
	if got, want := int64(len(b)), info.Bytes; got != want {
		t.Errorf("%s: got %d bytes, want %d", info.Staged, got, want)
	}
	if sum, size, err := a.Hash(context.Background(), info.Staged); sum != info.SHA256 || size != info.Bytes || err != nil {
		t.Errorf("%s: got %x, %d, %v", info.Staged, sum, size, err)
	}
	if n, err := a.Count(context.Background(), info.Staged); n != info.Rows || err != nil {
		t.Errorf("%s: got %d rows, %v, want %d", info.Staged, n, err, info.Rows)
	}
	if schemas.DayOf(info.MinTime) != info.Day || schemas.DayOf(info.MaxTime) != info.Day || info.First > info.Last {
		t.Errorf("%s: got %+v", info.Staged, info)
	}
}

func TestDiscard(t *testing.T) {
	ctx := context.Background()
	a := mustOpen(t)
	src := schemas.Partition{Topic: schemas.Emails, ID: 0}
	info := stageAll(t, a, mixedRows(schemas.Emails, 10, false), src, 1)[0]
	for range 2 {
		if err := a.Discard(ctx, info.Staged); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := a.Exists(ctx, info.Staged); ok || err != nil {
		t.Errorf("got %t, %v, want no file", ok, err)
	}
	if err := a.Publish(ctx, info); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("publish a discarded file: got %v, want %v", err, fs.ErrNotExist)
	}
	if err := a.Discard(ctx, info.Name); err == nil {
		t.Error("discard a published name: got no error")
	}
}

// Staging again after an answer that was lost, or a fault, gives the same file.
func TestStageAgain(t *testing.T) {
	rows := mixedRows(schemas.Errors, 100, false)
	src := schemas.Partition{Topic: schemas.Errors, ID: 2}
	want := stageAll(t, New(NewMem()), rows, src, 3)
	for _, applied := range []bool{false, true} {
		b := &Faulty{Bucket: NewMem()}
		faults := 1
		b.Fault = func(op, name string) (before, after error) {
			if op != "put" || faults == 0 {
				return nil, nil
			}
			faults--
			if applied {
				return nil, errFault
			}
			return errFault, nil
		}
		a := New(b)
		_, err := a.Stage(context.Background(), StageFile{Rows: rows, Day: ByDay(rows)[0], Source: src, Epoch: 3, Random: "1a2b3c4d"})
		if !errors.Is(err, errFault) {
			t.Fatalf("got %v, want %v", err, errFault)
		}
		if got := stageAll(t, a, rows, src, 3); !slices.Equal(got, want) {
			t.Errorf("applied=%t: got %+v, want %+v", applied, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open("ftp://bucket/prefix"); err == nil || !strings.Contains(err.Error(), "ftp:// is not supported") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(""); err == nil {
		t.Error("no name: got no error")
	}
	rows := mixedRows(schemas.Usage, 1, false)
	a := New(NewMem())
	for _, random := range []string{"", "A", "../x", "a-b"} {
		if _, err := a.Stage(context.Background(), StageFile{Rows: rows, Day: ByDay(rows)[0],
			Source: schemas.Partition{Topic: schemas.Usage}, Random: random}); err == nil {
			t.Errorf("random part %q: got no error", random)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	ctx := context.Background()
	a := New(NewMem())
	name := mustWrite(t, a, denseRows(10), shuffled(10))
	ignore := func(*Rows) error { return nil }
	if err := a.Read(ctx, name, []string{"id", "reason"}, ignore); err == nil || !strings.Contains(err.Error(), `"reason"`) {
		t.Errorf("unknown column: got %v", err)
	}
	if err := a.Read(ctx, "usage/none", []string{"id"}, ignore); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want %v", err, fs.ErrNotExist)
	}
	if err := a.Read(ctx, name, []string{"id"}, func(*Rows) error { return errFault }); !errors.Is(err, errFault) {
		t.Errorf("got %v, want the function's error", err)
	}
}

// Large files have several row groups and pages, all of them read: a group ends
// with its rows, or with its bytes of long texts.
func TestManyGroups(t *testing.T) {
	for _, test := range []struct{ rows, text int }{{maxGroupRows + 1000, 0}, {10_000, maxGroupText * 3 / 2}} {
		rows := denseRows(test.rows)
		for i := range rows.Time {
			rows.Data.Append(bytes.Repeat([]byte("x"), test.text/test.rows*(i%3)))
		}
		a := New(NewMem())
		d := ByDay(rows)[0]
		name := mustWrite(t, a, rows, d.Index)
		groups, done := 0, 0
		err := a.Read(context.Background(), name, []string{"id", "account", "time", "data", "latency_ms"}, func(got *Rows) error {
			groups++
			for i := range got.Len() {
				r := int(d.Index[done])
				if !bytes.Equal(got.ID.At(i), rows.ID.At(r)) || got.Time[i] != rows.Time[r] || len(got.Data.At(i)) != len(rows.Data.At(r)) ||
					got.String(got.Account[i]) != rows.String(rows.Account[r]) || got.LatencyMS[i] != rows.LatencyMS[r] {
					t.Fatalf("row %d differs", done)
				}
				done++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if done != test.rows || groups != 2 {
			t.Errorf("got %d rows in %d row groups, want %d in 2", done, groups, test.rows)
		}
	}
}
