package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"tallybook/archive"
	"tallybook/archive/s3test"
)

// The doctor tries what workers do in an object store, says which of it fails
// and why, and leaves nothing behind.
func TestDoctorObjectStore(t *testing.T) {
	s := s3test.New(t)
	ask := func() (out string, wrong int) {
		var b bytes.Buffer
		d := &doctor{config: &config{Archive: s.URL}, out: &b}
		d.examineArchive(context.Background())
		return b.String(), d.wrong
	}
	if out, wrong := ask(); wrong != 0 || !strings.Contains(out, "takes, gives, lists, moves and deletes files") {
		t.Errorf("a good one: got %d, %s", wrong, out)
	}
	for op, want := range map[string]string{"put": "put _doctor/", "get": "open _doctor/", "list": "list _doctor/", "copy": "move _doctor/", "delete": "delete _doctor/"} {
		s.SetFault(func(at, _ string) s3test.Fault {
			if at == op {
				return s3test.Refuse
			}
			return s3test.None
		})
		if out, wrong := ask(); wrong != 1 || !strings.Contains(out, want) || !strings.Contains(out, "overloaded or down") {
			t.Errorf("%s refused: got %d, %s, want one with %q", op, wrong, out, want)
		}
	}
	s.SetFault(func(string, string) s3test.Fault { return s3test.None })
	b, err := archive.OpenBucket(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ask()
	if err := b.List(context.Background(), "", "", func(name string, _ int64) error {
		if !strings.HasPrefix(name, "_doctor/") {
			t.Errorf("left behind: %s", name)
		}
		return b.Delete(context.Background(), name)
	}); err != nil {
		t.Fatal(err)
	}
	ask()
	if err := b.List(context.Background(), "", "", func(name string, _ int64) error { t.Errorf("left behind: %s", name); return nil }); err != nil {
		t.Fatal(err)
	}
}
