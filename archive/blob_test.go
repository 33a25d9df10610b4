package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"tallybook/archive/s3test"
)

// once lets one request of op fail so, and the client's own tries after it: as
// many as named.
func once(s *s3test.Server, op string, fault s3test.Fault, times int64) {
	var seen atomic.Int64
	s.SetFault(func(at, _ string) s3test.Fault {
		if at == op && seen.Add(1) <= times {
			return fault
		}
		return s3test.None
	})
}

const allTries = 1000 // more than any client does by itself

func heal(s *s3test.Server) {
	s.SetFault(func(string, string) s3test.Fault { return s3test.None })
}

// A Move that was cut short anywhere is completed by the next, and leaves the
// object under at least one name at any time.
func TestBlobMoveFaults(t *testing.T) {
	for _, op := range []string{"head", "copy", "delete"} {
		for what, fault := range map[string]s3test.Fault{"not applied": s3test.Refuse, "applied, no answer": s3test.Lose} {
			for _, times := range []int64{1, allTries} {
				t.Run(fmt.Sprintf("%s %s, once=%t", op, what, times == 1), func(t *testing.T) {
					t.Parallel()
					s := s3test.New(t)
					b := openBlob(t, s)
					mustPut(t, b, "_staging/x", "x")
					once(s, op, fault, times)
					err := b.Move(context.Background(), "_staging/x", "usage/x")
					if failed := err != nil; failed != (times == allTries) {
						t.Errorf("got error %v", err)
					}
					heal(s)
					if content(t, b, "_staging/x") != "x" && content(t, b, "usage/x") != "x" {
						t.Error("the object is gone")
					}
					if err := b.Move(context.Background(), "_staging/x", "usage/x"); err != nil {
						t.Errorf("again: %v", err)
					}
					if got, want := strings.Join(list(t, b, ""), " "), "usage/x:1"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				})
			}
		}
	}
}

// An object of the same content that is another object is not taken for a copy,
// unless nothing tells them apart.
func TestBlobMoveKnowsItsCopy(t *testing.T) {
	b := openBlob(t, s3test.New(t))
	mustPut(t, b, "_staging/x", "old")
	mustPut(t, b, "usage/x", "new")
	if err := b.Move(context.Background(), "_staging/x", "usage/x"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want %v", err, fs.ErrExist)
	}
	if got, want := content(t, b, "_staging/x"), "old"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBlobPutFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []s3test.Fault{s3test.Refuse, s3test.Lose} {
		s := s3test.New(t)
		b := openBlob(t, s)
		once(s, "put", fault, 1)
		mustPut(t, b, "one", "1")
		once(s, "put", fault, allTries)
		if err := put(b, "all", "2"); err == nil {
			t.Errorf("fault %d: got no error", fault)
		}
		heal(s)
		mustPut(t, b, "all", "3")
		if got, want := content(t, b, "one")+content(t, b, "all"), "13"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// An object larger than a part is sent in parts and read back in ranges; one
// whose writer fails in the middle is not there.
func TestBlobLarge(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := openBlob(t, s)
	ctx := context.Background()
	const blocks = 20
	block := make([]byte, 1<<20)
	write := func(fault error) error {
		return b.Put(ctx, "large", func(w io.Writer) error {
			for i := range byte(blocks) {
				block[0] = i
				if _, err := w.Write(block); err != nil {
					return err
				}
			}
			return fault
		})
	}
	fault := errors.New("fault")
	if err := write(fault); !errors.Is(err, fault) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if got, want := content(t, b, "large"), "none"; got != want {
		t.Fatalf("got %d bytes, want %s", len(got), want)
	}
	if err := write(nil); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests()["part"]; got < 4 {
		t.Errorf("got %d requests of an upload in parts", got)
	}
	f, err := b.Open(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.Size(), int64(blocks<<20); got != want {
		t.Errorf("got size %d, want %d", got, want)
	}
	one := make([]byte, 1)
	for i := range int64(blocks) {
		if _, err := f.ReadAt(one, i<<20); err != nil || one[0] != byte(i) {
			t.Errorf("block %d: got %d, %v", i, one[0], err)
		}
	}
	if n, err := f.ReadAt(block, f.Size()-3); n != 3 || err != io.EOF {
		t.Errorf("at the end: got %d bytes, %v", n, err)
	}
	if n, err := f.ReadAt(one, f.Size()+1); n != 0 || err != io.EOF {
		t.Errorf("behind the end: got %d bytes, %v", n, err)
	}
}

// A request without an answer ends, whatever it is, and says what is the matter.
func TestBlobHangs(t *testing.T) {
	t.Parallel()
	s := s3test.New(t, "timeout=200ms")
	b := openBlob(t, s)
	mustPut(t, b, "a", "a")
	for _, op := range []string{"get", "head", "list", "put", "copy", "delete"} {
		s.SetFault(func(at, _ string) s3test.Fault {
			if at == op {
				return s3test.Hang
			}
			return s3test.None
		})
		err := everyMethod(b, op)
		if err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%s: got %v, want that there is no answer", op, err)
		}
	}
}

// everyMethod calls the method that makes such a request.
func everyMethod(b Bucket, op string) error {
	ctx := context.Background()
	switch op {
	case "get":
		_, err := b.Open(ctx, "a")
		return err
	case "put":
		return put(b, "b", "b")
	case "list":
		return b.List(ctx, "", "", func(string, int64) error { return nil })
	case "delete":
		return b.Delete(ctx, "a")
	}
	return b.Move(ctx, "a", "moved") // head, copy
}

func TestBlobErrors(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := openBlob(t, s)
	mustPut(t, b, "a", "a")
	for _, op := range []string{"get", "list", "put", "copy", "delete"} {
		once(s, op, s3test.Refuse, allTries)
		err := everyMethod(b, op)
		if err == nil || !strings.Contains(err.Error(), "overloaded or down") || !strings.Contains(err.Error(), b.(*Blob).where) || len(err.Error()) > 300 {
			t.Errorf("%s: got %v, want a line that says that the store is overloaded or down", op, err)
		}
	}
	gone, err := OpenBucket(strings.Replace(s.URL, "s3://test-", "s3://gone-", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"get", "list", "put", "copy"} {
		err := everyMethod(gone, op)
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "bucket does not exist") {
			t.Errorf("%s without a bucket: got %v", op, err)
		}
	}
	away, err := OpenBucket("s3://bucket?endpoint=http://127.0.0.1:1&pathstyle=true")
	if err != nil {
		t.Fatal(err)
	}
	if err := everyMethod(away, "list"); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("nobody listens: got %v", err)
	}
}

// An answer that breaks off is asked for again.
func TestBlobReadCut(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := openBlob(t, s)
	want := strings.Repeat("0123456789", 50_000)
	mustPut(t, b, "a", want)
	once(s, "get", s3test.Cut, 2)
	if got := content(t, b, "a"); got != want {
		t.Errorf("got %d bytes that differ, want %d", len(got), len(want))
	}
}

func TestBlobURL(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	for _, test := range []struct{ url, want string }{
		{"s3://bucket?region=eu-central-1", "s3://bucket"},
		{"s3://bucket/?region=eu-central-1", "s3://bucket"},
		{"s3://bucket/a/b/?region=eu-central-1&timeout=5s", "s3://bucket/a/b"},
		{"s3://bucket/a?endpoint=http://127.0.0.1:9000&pathstyle=true", "s3://bucket/a"},
		{"s3://bucket/a", "region is not known"},
		{"s3://", "names no bucket"},
		{"s3:///a", "names no bucket"},
		{"s3://bucket/../a?region=r", "no clean path"},
		{"s3://KEY:hidden@bucket/a?region=r", "names a user"},
		{"s3://bucket/%zz?secret=hidden", "malformed"},
		{"s3://bucket?endpoint=ftp://hidden@h", "endpoint: want http"},
		{"s3://bucket?endpoint=h:1", "endpoint: want http"},
		{"s3://bucket?pathstyle=perhaps", "allowed are true and false"},
		{"s3://bucket?timeout=1ms", "allowed are 100ms to 10m"},
		{"s3://bucket?secret=hidden", `unknown parameter "secret"`},
		{"gs://bucket", "gs:// is not supported"},
	} {
		b, err := OpenBucket(test.url)
		switch {
		case err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hidden")):
			t.Errorf("%s: got %v, want %s", test.url, err, test.want)
		case err == nil && b.(*Blob).where != test.want:
			t.Errorf("%s: got %s, want %s", test.url, b.(*Blob).where, test.want)
		}
	}
}
