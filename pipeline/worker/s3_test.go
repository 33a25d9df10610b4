package worker

import (
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"tallybook/archive"
	"tallybook/archive/s3test"
)

// newS3Rig is a rig with its archive in an S3 server, each request to which is a
// step: "s3 put", "s3 copy" and so on.
func newS3Rig(t *testing.T, query ...string) (*rig, *s3test.Server) {
	t.Helper()
	server := s3test.New(t, query...)
	r := newRigOn(t, 1, openBucket(t, server.URL))
	server.SetFault(func(op, _ string) s3test.Fault {
		switch before, after := r.step("s3 " + op); {
		case before != nil:
			return s3test.Refuse
		case after != nil:
			return s3test.Lose
		}
		return s3test.None
	})
	return r, server
}

func openBucket(t *testing.T, url string) archive.Bucket {
	t.Helper()
	b, err := archive.OpenBucket(url)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The fault table with the archive in S3: each kind of request fails, not applied
// or applied without an answer, and the process goes on or dies.
func TestFaultsS3(t *testing.T) {
	for _, op := range []string{"put", "head", "copy", "delete", "list", "get"} {
		for _, applied := range []bool{false, true} {
			for _, dies := range []bool{false, true} {
				for _, nth := range []int64{1, 4} {
					t.Run(fmt.Sprintf("%s applied=%t dies=%t nth=%d", op, applied, dies, nth), func(t *testing.T) {
						t.Parallel()
						r, _ := newS3Rig(t)
						if op == "get" { // only a take-over with files to look at reads
							r.load(1000, 50)
							r.start().drain()
						}
						faultOnce(r, "s3 "+op, applied, dies, nth)
					})
				}
			}
		}
	}
}

// The object store refuses or swallows every request for a while: the partition
// is not ready and says why, holds two batches at most, and goes on by itself.
func TestS3Away(t *testing.T) {
	for name, fault := range map[string]s3test.Fault{"refuses": s3test.Refuse, "hangs": s3test.Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, server := newS3Rig(t, "timeout=1s")
			p := r.start()
			r.load(0, 100)
			r.until("it counts", func() bool { return p.part.nextPos.Load() == r.end() })
			var away atomic.Bool
			away.Store(true)
			server.SetFault(func(string, string) s3test.Fault {
				if away.Load() {
					return fault
				}
				return s3test.None
			})
			before := r.end()
			r.load(100, 500)
			r.until("it says so", func() bool { return strings.Contains(*p.part.state.Load(), "object store") })
			if p.part.ready.Load() {
				t.Error("it is ready")
			}
			if got := p.part.nextPos.Load(); got > before+40 {
				t.Errorf("the position moved to %d", got)
			}
			away.Store(false)
			r.until("it goes on", func() bool { return p.part.nextPos.Load() == r.end() && p.part.ready.Load() })
			p.drain()
			r.bucket = openBucket(t, strings.Replace(server.URL, "&timeout=1s", "", 1)) // the check is in no hurry
			r.check()
		})
	}
}

// A checkpoint costs five requests a file, and never lists or reads.
func TestS3RequestsOfCheckpoints(t *testing.T) {
	r, server := newS3Rig(t)
	p := r.start()
	r.load(0, 10)
	r.until("it counts", func() bool { return p.part.nextPos.Load() == r.end() })
	server.Requests()
	r.load(10, 200)
	p.drain()
	got := server.Requests()
	files := got["put"]
	want := map[string]int{"put": files, "head": 2 * files, "copy": files, "delete": files}
	if files == 0 || !maps.Equal(got, want) {
		t.Errorf("got requests %v, want %v", got, want)
	}
	r.check()
}
