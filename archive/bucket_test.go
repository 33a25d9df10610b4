package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallybook/archive/s3test"
)

// eachBucket runs a test on every implementation.
func eachBucket(t *testing.T, test func(t *testing.T, b Bucket)) {
	t.Run("folder", func(t *testing.T) {
		dir, err := OpenDir(filepath.Join(t.TempDir(), "deep", "archive"))
		if err != nil {
			t.Fatal(err)
		}
		test(t, dir)
	})
	t.Run("memory", func(t *testing.T) { test(t, NewMem()) })
	t.Run("s3", func(t *testing.T) { test(t, openBlob(t, s3test.New(t))) })
}

func openBlob(t *testing.T, s *s3test.Server) Bucket {
	t.Helper()
	b, err := OpenBucket(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(b Bucket, name, content string) error {
	return b.Put(context.Background(), name, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
}

// content is what a bucket has under a name, or how opening it failed.
func content(t *testing.T, b Bucket, name string) string {
	t.Helper()
	f, err := b.Open(context.Background(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func list(t *testing.T, b Bucket, prefix string) []string {
	t.Helper()
	return listAfter(t, b, prefix, "")
}

func listAfter(t *testing.T, b Bucket, prefix, after string) []string {
	t.Helper()
	var names []string
	err := b.List(context.Background(), prefix, after, func(name string, size int64) error {
		names = append(names, fmt.Sprintf("%s:%d", name, size))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func mustPut(t *testing.T, b Bucket, name, content string) {
	t.Helper()
	if err := put(b, name, content); err != nil {
		t.Fatal(err)
	}
}

func TestBucketPut(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		mustPut(t, b, "a/b/c", "one")
		mustPut(t, b, "a/b/c", "2") // a repeated Put, whose first answer was lost
		mustPut(t, b, "a/b/empty", "")
		if got, want := content(t, b, "a/b/c"), "2"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := content(t, b, "a/b/empty"), ""; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, name := range []string{"a/b/none", "a/b", "a", "x/y"} {
			if got, want := content(t, b, name), "none"; got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		fault := errors.New("fault")
		err := b.Put(context.Background(), "a/half", func(w io.Writer) error {
			io.WriteString(w, "half")
			return fault
		})
		if !errors.Is(err, fault) {
			t.Errorf("got %v, want the writer's error", err)
		}
		if got, want := content(t, b, "a/half"), "none"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestBucketMove(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		ctx := context.Background()
		mustPut(t, b, "_staging/x", "x")
		for range 3 { // twice more than was needed
			if err := b.Move(ctx, "_staging/x", "usage/date=2026-01-01/x"); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := list(t, b, ""), []string{"usage/date=2026-01-01/x:1"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if err := b.Move(ctx, "_staging/none", "usage/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("neither name: got %v, want %v", err, fs.ErrNotExist)
		}
		mustPut(t, b, "_staging/x", "other")
		if err := b.Move(ctx, "_staging/x", "usage/date=2026-01-01/x"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("both names: got %v, want %v", err, fs.ErrExist)
		}
		if got, want := content(t, b, "usage/date=2026-01-01/x"), "x"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestBucketList(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		for _, name := range []string{"a/x", "a-b/x", "a.b", "b/1", "b/10", "b/2", "ab/c/d"} {
			mustPut(t, b, name, name)
		}
		for _, test := range []struct{ prefix, after, want string }{
			{"", "", "a-b/x:5 a.b:3 a/x:3 ab/c/d:6 b/1:3 b/10:4 b/2:3"},
			{"a", "", "a-b/x:5 a.b:3 a/x:3 ab/c/d:6"},
			{"a/", "", "a/x:3"},
			{"ab/c", "", "ab/c/d:6"},
			{"b/1", "", "b/1:3 b/10:4"},
			{"b/1/", "", ""},
			{"none/of/it", "", ""},
			{"", "a.b", "a/x:3 ab/c/d:6 b/1:3 b/10:4 b/2:3"},
			{"", "a/", "a/x:3 ab/c/d:6 b/1:3 b/10:4 b/2:3"},
			{"", "a0", "ab/c/d:6 b/1:3 b/10:4 b/2:3"},
			{"", "ab/c/c", "ab/c/d:6 b/1:3 b/10:4 b/2:3"},
			{"", "ab/c/d", "b/1:3 b/10:4 b/2:3"},
			{"b/", "b/1", "b/10:4 b/2:3"},
			{"b/", "a", "b/1:3 b/10:4 b/2:3"},
			{"a", "b", ""},
		} {
			if got := strings.Join(listAfter(t, b, test.prefix, test.after), " "); got != test.want {
				t.Errorf("%q after %q: got %s, want %s", test.prefix, test.after, got, test.want)
			}
		}
		stop := errors.New("stop")
		n := 0
		err := b.List(context.Background(), "", "", func(string, int64) error { n++; return stop })
		if !errors.Is(err, stop) || n != 1 {
			t.Errorf("got %v after %d names, want %v after 1", err, n, stop)
		}
	})
}

func TestBucketDelete(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		mustPut(t, b, "a/x", "x")
		for range 2 {
			if err := b.Delete(context.Background(), "a/x"); err != nil {
				t.Fatal(err)
			}
		}
		if got := list(t, b, ""); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

func TestBucketNames(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		ctx := context.Background()
		mustPut(t, b, "ok", "ok")
		for _, name := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../x", "a/..", "a//b", "a/", "./a", "a\x00b", `a\b`} {
			_, openErr := b.Open(ctx, name)
			for op, err := range map[string]error{"put": put(b, name, "x"), "open": openErr, "delete": b.Delete(ctx, name),
				"move from": b.Move(ctx, name, "to"), "move to": b.Move(ctx, "ok", name)} {
				if err == nil || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s %q: got %v, want a refusal", op, name, err)
				}
			}
		}
		for _, prefix := range []string{"../", "/", "a/../", "a//"} {
			if err := b.List(ctx, prefix, "", func(string, int64) error { return nil }); err == nil {
				t.Errorf("list %q: got no refusal", prefix)
			}
		}
		if got, want := list(t, b, ""), []string{"ok:2"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestBucketCancelled(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		mustPut(t, b, "a", "a")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, openErr := b.Open(ctx, "a")
		for op, err := range map[string]error{"open": openErr, "delete": b.Delete(ctx, "a"), "move": b.Move(ctx, "a", "b"),
			"put":  b.Put(ctx, "c", func(io.Writer) error { return nil }),
			"list": b.List(ctx, "", "", func(string, int64) error { return nil })} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v, want %v", op, err, context.Canceled)
			}
		}
		if got, want := list(t, b, ""), []string{"a:1"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestBucketConcurrent(t *testing.T) {
	eachBucket(t, func(t *testing.T, b Bucket) {
		ctx := context.Background()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for k := range 10 {
					staged, final := fmt.Sprintf("_staging/%d-%d", i, k), fmt.Sprintf("usage/date=%d/%d", k, i)
					if err := errors.Join(put(b, staged, staged), b.Move(ctx, staged, final)); err != nil {
						t.Error(err)
					}
					if err := b.List(ctx, "", "", func(string, int64) error { return nil }); err != nil {
						t.Error(err)
					}
					if got := content(t, b, final); got != staged {
						t.Errorf("%s: got %q, want %q", final, got, staged)
					}
					if k%2 == 0 {
						if err := b.Delete(ctx, final); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		if got, want := len(list(t, b, "usage/")), 40; got != want {
			t.Errorf("got %d files, want %d", got, want)
		}
		if got := list(t, b, "_staging/"); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}

// A symbolic link does not lead out of the folder.
func TestDirLinks(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	b, err := OpenDir(inside)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := b.Open(ctx, "link/secret"); err == nil {
		t.Error("open: got no error")
	}
	if err := put(b, "link/new", "x"); err == nil {
		t.Error("put: got no error")
	}
	if err := b.Delete(ctx, "link/secret"); err == nil {
		t.Error("delete: got no error")
	}
	if got := list(t, b, ""); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
}

func TestFaulty(t *testing.T) {
	b := &Faulty{Bucket: NewMem()}
	fault := errors.New("fault")
	applied := false
	b.Fault = func(op, name string) (before, after error) {
		switch {
		case op != "move" || name != "a":
			return nil, nil
		case applied:
			return nil, fault
		}
		return fault, nil
	}
	mustPut(t, b, "a", "a")
	for _, want := range []string{"a:1", "b:1"} {
		if err := b.Move(context.Background(), "a", "b"); !errors.Is(err, fault) {
			t.Errorf("got %v, want %v", err, fault)
		}
		if got := list(t, b, ""); !slices.Equal(got, []string{want}) {
			t.Errorf("got %v, want %s", got, want)
		}
		applied = true
	}
}
