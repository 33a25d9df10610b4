package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tallybook/archive/s3test"
)

// The whole service with its archive in an object store: counted, answered,
// verified; while the store is away it is not ready, and goes on by itself.
func TestRunOnS3(t *testing.T) {
	store := s3test.New(t, "timeout=300ms")
	var away atomic.Bool
	store.SetFault(func(string, string) s3test.Fault {
		if away.Load() {
			return s3test.Refuse
		}
		return s3test.None
	})
	at := []string{"--archive", store.URL}
	data := t.TempDir()
	s := start(t, "run", data, at...)
	file := filepath.Join("testdata", "access.log")
	s.command(t, "import", file, "--format", "combined", "--account", "shop").want(t, 0, "500 lines, 500 events")
	s.until(t, "all is counted", func() bool { return s.total(t, "requests", "shop") == 500 })
	checks := func() {
		t.Helper()
		s.command(t, append([]string{"verify"}, at...)...).want(t, 0, "verify: good")
		s.command(t, append([]string{"balance"}, at...)...).want(t, 0, "balance: good")
	}
	checks()
	// Windows that are no hours are answered from the archive.
	body, status := s.get("/api/v1/meters/requests/query?subject=shop&from=2000-01-01T00:00:01Z&to=2099-01-01T00:00:01Z")
	if status != http.StatusOK || !strings.Contains(body, `"value":500`) {
		t.Errorf("got %d %s, want 500 requests", status, body)
	}

	away.Store(true)
	s.command(t, "import", file, "--format", "combined", "--account", "late", "--again").want(t, 0, "500 events")
	s.until(t, "it says what it waits for", func() bool {
		body, status := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "the object store is overloaded or down")
	})
	away.Store(false)
	s.until(t, "it goes on", func() bool {
		_, status := s.get("/readyz")
		return status == http.StatusOK && s.total(t, "requests", "late") == 500
	})

	s.kill(t)
	s = start(t, "run", data, at...)
	if got := s.total(t, "requests", "shop") + s.total(t, "requests", "late"); got != 1000 {
		t.Errorf("behind a kill: got %d requests, want 1000", got)
	}
	checks()
	s.command(t, append([]string{"doctor", "--http", strings.TrimPrefix(s.url, "http://")}, at...)...).want(t, 0, "takes, gives, lists, moves and deletes files")
	if strings.Contains(s.output.String(), "secret") {
		t.Errorf("the log holds credentials: %s", s.output)
	}
}
