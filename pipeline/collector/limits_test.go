package collector

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"tallybook/schemas"
)

func gzipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, body []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, options...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEncodings(t *testing.T) {
	s := newSetup(t, Config{})
	plain := batchOf(0, 100)
	for _, c := range []struct {
		encoding string
		body     []byte
		want     int
	}{
		{"gzip", gzipped(t, plain), 202},
		{"zstd", zstded(t, plain), 202},
		{"zstd", zstded(t, plain, zstd.WithEncoderLevel(zstd.SpeedBestCompression)), 202},
		{"GZIP", gzipped(t, plain), 202}, // the pooled reader serves again
		{"identity", plain, 202},
		{"br", plain, 415},
		{"gzip, gzip", gzipped(t, gzipped(t, plain)), 415},
		{"gzip", plain, 400},
		{"zstd", plain, 400},
		{"gzip", gzipped(t, plain)[:50], 400},
		{"zstd", zstded(t, plain)[:50], 400},
		{"gzip", nil, 400},
		{"gzip", gzipped(t, plain), 202},
		{"zstd", zstded(t, plain), 202},
	} {
		got := s.post(t, "/v1/events", c.body, "Content-Type", "application/json", "Content-Encoding", c.encoding)
		if got.status != c.want || c.want == 202 && len(got.Results) != 100 {
			t.Errorf("%s of %d bytes: got %d %.200s, want %d", c.encoding, len(c.body), got.status, got.body, c.want)
		}
		if c.want == 415 && got.header.Get("Accept-Encoding") != "gzip, zstd" {
			t.Errorf("%s: got Accept-Encoding %q", c.encoding, got.header.Get("Accept-Encoding"))
		}
	}
	want := 100 * 7
	if got := len(s.messages(t, schemas.Usage)); got != want {
		t.Errorf("got %d records, want %d", got, want)
	}
}

func TestBombs(t *testing.T) {
	s := newSetup(t, Config{})
	zeros := make([]byte, 256<<20)
	var skippable bytes.Buffer // zstd frames that mean nothing, for ever
	for skippable.Len() < 33<<20 {
		binary.Write(&skippable, binary.LittleEndian, []uint32{0x184D2A50, 1 << 20})
		skippable.Write(zeros[:1<<20])
	}
	for name, c := range map[string]struct {
		encoding string
		body     []byte
	}{
		"gzip":           {"gzip", gzipped(t, zeros)},
		"zstd":           {"zstd", zstded(t, zeros)},
		"zstd, window":   {"zstd", zstded(t, zeros[:64<<20], zstd.WithWindowSize(64<<20))},
		"zstd, nothing":  {"zstd", skippable.Bytes()},
		"over the wire":  {"", zeros[:33<<20]},
		"gzip, repeated": {"gzip", bytes.Repeat(gzipped(t, zeros[:1<<20]), 100)},
	} {
		headers := []string{"Content-Type", "application/json"}
		if c.encoding != "" {
			headers = append(headers, "Content-Encoding", c.encoding)
		}
		got := s.post(t, "/v1/events", c.body, headers...)
		if got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %d %.200s, want 413", name, got.status, got.body)
		}
	}
	waitFor(t, "bytes in flight to be given back", func() bool { return s.collector.inFlight.used.Load() == 0 })
}

// sized is an event of exactly n bytes.
func sized(id string, n int) string {
	event := func(pad string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"s","type":"t","subject":"acme","pad":"` + pad + `"}`
	}
	return event(strings.Repeat("x", n-len(event(""))))
}

func TestLimits(t *testing.T) {
	s := newSetup(t, Config{})
	const mib = 1 << 20
	for name, c := range map[string]struct {
		body    string
		v1, api int
	}{
		"an event of 1 MiB":     {sized("1", mib), 202, 204},
		"an event over it":      {sized("1", mib+1), 413, 413},
		"one over it, in array": {"[" + sized("1", mib+1) + "]", 413, 413},
		"in a batch":            {"[" + goodEvent("1") + "," + sized("2", mib+1) + "]", 202, 413},
		"10,000 events":         {"[" + strings.Repeat(goodEvent("1")+",", 9_999) + goodEvent("1") + "]", 202, 204},
		"10,001 events":         {"[" + strings.Repeat(goodEvent("1")+",", 10_000) + goodEvent("1") + "]", 413, 413},
		"a batch of 20 MiB":     {"[" + strings.Repeat(sized("1", mib)+",", 19) + sized("1", mib) + "]", 202, 204},
		"a batch over 32 MiB":   {"[" + strings.Repeat(sized("1", mib)+",", 32) + sized("1", mib) + "]", 413, 413},
		"nested deep":           {strings.Repeat("[", 100_000), 400, 400},
	} {
		for path, want := range map[string]int{"/v1/events": c.v1, "/api/v1/events": c.api} {
			got := s.post(t, path, []byte(c.body), "Content-Type", "application/json")
			if got.status != want {
				t.Errorf("%s: %s: got %d %.300s, want %d", path, name, got.status, got.body, want)
			}
			if name == "in a batch" && want == 202 &&
				(got.Results[0].Status != "accepted" || got.Results[1].Status != "rejected" || got.Results[1].Error == "") {
				t.Errorf("%s: got %s", name, got.body)
			}
			if want == 202 && name != "in a batch" && strings.Contains(got.body, "rejected") {
				t.Errorf("%s: got %.300s", name, got.body)
			}
		}
	}
	lines := s.post(t, "/v1/events", []byte(strings.Repeat(goodEvent("1")+"\n", 10_001)), "Content-Type", "application/x-ndjson")
	if lines.status != 413 {
		t.Errorf("10,001 lines: got %d, want 413", lines.status)
	}
}

func TestSlowBody(t *testing.T) {
	s := newSetup(t, Config{}, func(server *http.Server) { server.ReadTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	head := make([]byte, 12)
	if _, err := conn.Read(head); err != nil || string(head) != "HTTP/1.1 408" {
		t.Errorf("got %q, %v; want 408", head, err)
	}
	waitFor(t, "bytes in flight to be given back", func() bool { return s.collector.inFlight.used.Load() == 0 })
}
