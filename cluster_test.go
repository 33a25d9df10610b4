package main

import (
	"database/sql"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"tallybook/pipeline/broker"
)

// nobodyAt is an address that was free a moment ago.
func nobodyAt(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A process that starts before its Kafka answers probes, says what it waits for,
// and goes on by itself when it is there.
func TestStartBeforeKafka(t *testing.T) {
	addr, httpAddr := nobodyAt(t), nobodyAt(t)
	s := &server{Cmd: tallybookCommand(t, "pipeline", "--data", t.TempDir(), "--http", httpAddr, "--brokers", addr, "--no-auth"),
		url: "http://" + httpAddr, output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	s.until(t, "it says what it waits for", func() bool {
		body, status := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "waiting for Kafka: no broker listens")
	})
	if body, status := s.get("/healthz"); status != http.StatusOK {
		t.Errorf("healthz: got %d %s", status, body)
	}
	if _, status := s.get("/v1/whoami"); status != http.StatusServiceUnavailable {
		t.Errorf("an endpoint: got %d, want 503", status)
	}
	tallybook(t, "ready", "--http", httpAddr).want(t, 1, "waiting for Kafka")
	kafka, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: addr, Partitions: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	s.until(t, "it is ready", func() bool { return tallybook(t, "ready", "--http", httpAddr).code == 0 })
	if code := s.stop(t); code != 0 {
		t.Errorf("got exit code %d", code)
	}
}

// Where others hold the store for longer than a write waits, as checkpoints may
// when a process migrates beside them, a process tries again.
func TestStartBesideWriter(t *testing.T) {
	path, httpAddr := filepath.Join(t.TempDir(), "tallybook.db"), nobodyAt(t)
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec(`BEGIN EXCLUSIVE`); err != nil {
		t.Fatal(err)
	}
	s := &server{Cmd: tallybookCommand(t, "query", "--store", path, "--data", t.TempDir(), "--http", httpAddr, "--no-auth"),
		url: "http://" + httpAddr, output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	s.until(t, "it waits", func() bool {
		body, _ := s.get("/readyz")
		return strings.Contains(body, "waiting for the store")
	})
	if _, err := other.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	s.until(t, "it is ready", func() bool { return tallybook(t, "ready", "--http", httpAddr).code == 0 })
	if code := s.stop(t); code != 0 {
		t.Errorf("got exit code %d", code)
	}
}
