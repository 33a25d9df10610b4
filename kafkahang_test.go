//go:build kafka

package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallybook/bench/servers"
)

const stopLimit = 10 * time.Second

// What processes wait for hangs, takes connections and answers nothing. Every one
// of them says so in words, and ends in time when it is told to; nothing is lost.
func kafkaHangs(t *testing.T, k *realKafka) {
	direct := onServers(t, k)
	c, store, bucket := direct.behindProxies(t)
	kafka := k.process(t)
	signal := func(s syscall.Signal) func() {
		return func() {
			if err := kafka.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	sent := 0
	for _, part := range []struct {
		name      string
		hang, end func()
		why       string // of the pipeline
	}{
		{"PostgreSQL", func() { store.SetCut(true) }, func() { store.SetCut(false) }, "the store does not answer"},
		{"S3", func() { bucket.SetCut(true) }, func() { bucket.SetCut(false) }, "object store"},
		{"Kafka", signal(syscall.SIGSTOP), signal(syscall.SIGCONT), "fetch"},
	} {
		modes := map[string]*server{}
		for _, mode := range []string{"pipeline", "query", "jobs"} {
			modes[mode] = c.mode(t, mode)
		}
		for name, s := range modes {
			s.until(t, name+" is ready", s.ready)
		}
		k.send(t, sent, 500)
		sent += 500
		part.hang()
		modes["pipeline"].until(t, "it says that "+part.name+" hangs", func() bool {
			body, _ := modes["pipeline"].get("/readyz")
			return strings.Contains(body, part.why)
		})
		began := time.Now()
		for _, s := range modes {
			if err := s.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		for name, s := range modes {
			<-s.ended
			if took := time.Since(began); took > stopLimit || s.ProcessState.ExitCode() != 0 {
				t.Errorf("%s while %s hangs: exit code %d after %s\n%s", name, part.name, s.ProcessState.ExitCode(), took, s.output)
			}
		}
		part.end()
	}
	direct.pipeline(t)
	direct.want(t, sent, 0)
}

// process is the broker's.
func (k *realKafka) process(t *testing.T) *os.Process {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, "1", "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Signal(syscall.SIGCONT) }) // else nobody could stop it
	return p
}

// behindProxies is the same cluster, reached through proxies.
func (c *cluster) behindProxies(t *testing.T) (behind *cluster, store, bucket *servers.Proxy) {
	t.Helper()
	other := *c
	database, err := url.Parse(c.store)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := url.Parse(c.archive)
	if err != nil {
		t.Fatal(err)
	}
	query := archive.Query()
	endpoint, err := url.Parse(query.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(to string) *servers.Proxy {
		p, err := servers.StartProxy(to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	store, bucket = proxy(database.Host), proxy(endpoint.Host)
	database.Host = store.Addr()
	query.Set("endpoint", "http://"+bucket.Addr())
	query.Set("timeout", "3s")
	archive.RawQuery = query.Encode()
	other.store, other.archive = database.String(), archive.String()
	return &other, store, bucket
}

// mode starts a process that runs a part.
func (c *cluster) mode(t *testing.T, mode string) *server {
	t.Helper()
	addr := nobodyAt(t)
	args := append([]string{mode, "--data", t.TempDir(), "--http", addr}, c.flags()...)
	s := &server{Cmd: tallybookCommand(t, args...), url: "http://" + addr, output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	return s
}
