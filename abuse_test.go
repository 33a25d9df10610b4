package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// raw sends bytes as they are and returns the status of the first answer, 0
// where the connection was closed without one.
func (s *server) raw(t *testing.T, request string) (status int, rest string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, request) // the server may answer before all is sent
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(body)
}

// memory is the process's resident set in bytes.
func (s *server) memory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// What people send who mean harm: a clear refusal, and the server goes on.
func TestAbuse(t *testing.T) {
	s := start(t, "run", t.TempDir())
	s.http = nil // what the HTTP server refuses before any endpoint is not documented
	s.command(t, "import", "testdata/access.log", "--format", "combined", "--account", "shop").want(t, 0)
	s.until(t, "all is counted", func() bool { return s.total(t, "requests", "shop") == 500 })
	before := s.memory(t)

	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	from := "&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"
	for _, c := range []struct {
		name, path string
		status     []int
	}{
		{"SQL in a subject", "/api/v1/meters/requests/query?subject=" + url.QueryEscape(`x' OR '1'='1`) + from, []int{200}},
		{"SQL in a filter", "/v2/summary?filters=" + url.QueryEscape(`type:x'; DROP TABLE series; --`), []int{200}},
		{"SQL in a group", "/api/v1/meters/requests/query?groupBy=" + url.QueryEscape(`endpoint"; --`) + from, []int{200, 400}},
		{"NUL", "/api/v1/meters/requests/query?subject=%00" + from, []int{200, 400}},
		{"bad escapes", "/v2/summary?filters=%zz", []int{400}},
		{"not UTF-8", "/v2/summary?filters=type:%ff%fe", []int{200, 400}},
		{"way up", "/schemas/../../../../etc/passwd.json", []int{301, 404}},
		{"way up, escaped", "/schemas/..%2f..%2f..%2fetc%2fpasswd.json", []int{301, 404}},
		{"way up in the docs", "/docs/..%2f..%2fgo.mod", []int{301, 400, 404}},
		{"way up in a meter", "/api/v1/meters/..%2f..%2fkeys/query", []int{301, 400, 404}},
		{"10,000 filters", "/v2/summary?" + many(10_000, "filters=a%d:b&")[:60_000], []int{200, 400, 414, 431}},
		{"10,000 subjects", "/api/v1/meters/requests/query?groupBy=subject" + from + many(3_000, "&subject=account-%d"), []int{200, 400, 414, 431}},
		{"a long query", "/v2/summary?filters=" + strings.Repeat("a", 200_000) + ":b", []int{400, 414, 431}},
		{"a long path", "/" + strings.Repeat("a", 200_000), []int{400, 414, 431}},
		{"a minute of a thousand years", "/api/v1/meters/requests/query?windowSize=MINUTE&subject=shop&from=1000-01-01T00:00:00Z&to=2999-01-01T00:00:00Z", []int{200, 400, 413, 422}},
		{"numbers beyond 64 bits", "/v2/summary?limit=99999999999999999999", []int{200, 400}},
		{"years beyond", "/v2/summary?begin=99999-01-01", []int{400}},
	} {
		body, status := s.get(c.path)
		if !containsInt(c.status, status) {
			t.Errorf("%s: got %d, want one of %v: %.300s", c.name, status, c.status, body)
		}
		if strings.Contains(body, "root:") || strings.Contains(body, "SQL logic") || strings.Contains(body, "syntax error") {
			t.Errorf("%s: the answer tells too much: %.300s", c.name, body)
		}
	}

	host := strings.TrimPrefix(s.url, "http://")
	for name, request := range map[string]string{
		"two lengths":         "POST /v1/events HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
		"length and chunks":   "POST /v1/events HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/keys HTTP/1.1\r\n\r\n",
		"line end in a name":  "GET /v2/summary HTTP/1.1\r\nHost: " + host + "\r\napi\nKey: x\r\n\r\n",
		"two accounts":        "GET /v2/summary HTTP/1.1\r\nHost: " + host + "\r\napiKey: " + s.key + "\r\nX-Account-ID: a\r\nX-Account-ID: b\r\n\r\n",
		"two hosts":           "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"a space in the name": "GET /v2/summary HTTP/1.1\r\nHost: " + host + "\r\napiKey : " + s.key + "\r\n\r\n",
		"a header of 1 MiB":   "GET /v2/summary HTTP/1.1\r\nHost: " + host + "\r\napiKey: " + strings.Repeat("k", 1<<20) + "\r\n\r\n",
	} {
		if status, rest := s.raw(t, request); status >= 200 && status < 300 || status >= 500 && status != 501 {
			t.Errorf("%s: got %d %s, want a refusal", name, status, rest)
		}
	}
	if body, status := s.ask(http.MethodPost, "/v1/events", strings.NewReader(strings.Repeat("[", 1<<20))); status != http.StatusBadRequest {
		t.Errorf("a million brackets: got %d %.200s", status, body)
	}
	if body, status := s.ask(http.MethodPost, "/v1/keys", strings.NewReader(`{"role":"`+strings.Repeat("x", 2<<20)+`"}`)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 2 MiB: got %d %.200s", status, body)
	}

	s.slowClients(t, host)
	if got := s.total(t, "requests", "shop"); got != 500 {
		t.Errorf("after all of it: got %d requests, want 500", got)
	}
	if after := s.memory(t); after > before+256<<20 {
		t.Errorf("resident memory went from %d to %d MiB", before>>20, after>>20)
	}
}

func containsInt(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// slowClients hold many connections that never finish a request; others are
// answered meanwhile.
func (s *server) slowClients(t *testing.T, host string) {
	t.Helper()
	for range 500 {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\napiKey: "+s.key+"\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	if _, status := s.get("/readyz"); status != http.StatusOK {
		t.Errorf("ready beside 500 slow clients: got %d", status)
	}
	event := `{"specversion":"1.0","id":"beside","source":"t","type":"api.request","subject":"beside","data":{"endpoint":"/x","status":200}}`
	if body, status := s.ask(http.MethodPost, "/v1/events", strings.NewReader(event)); status != http.StatusAccepted {
		t.Errorf("an event beside 500 slow clients: got %d %s", status, body)
	}
}
