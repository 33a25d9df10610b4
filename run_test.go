package main

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

func TestTwoOnOneFolder(t *testing.T) {
	first := start(t, "run", t.TempDir())
	second := tallybook(t, "run", "--data", first.data, "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0")
	second.want(t, 2, "is in use by another tallybook (process "+strconv.Itoa(first.Process.Pid)+")")
	if _, status := first.get("/readyz"); status != http.StatusOK {
		t.Errorf("the first one: got status %d, want 200", status)
	}
	// A command finds the broker by the folder, whatever port it was given.
	send := []string{"import", filepath.Join("testdata", "access.log"), "--format", "combined", "--account", "shop", "--data", first.data, "--kafka-listen", "127.0.0.1:1"}
	tallybook(t, send...).want(t, 0, "500 events")
	first.stop(t)
	tallybook(t, append(send, "--again")...).want(t, 2, "start 'tallybook run' first")
}

// Import, stop, start, import again; and the same behind a kill.
func TestImportAgain(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join("testdata", "access.log")
	s := start(t, "run", data)
	s.command(t, "import", file, "--format", "combined", "--account", "shop").want(t, 0, "500 lines, 500 events")
	s.until(t, "all is counted", func() bool { return s.total(t, "requests", "shop") == 500 })
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
	if code := s.stop(t); code != 0 {
		t.Fatalf("Ctrl-C: got exit code %d, want 0\n%s", code, s.output)
	}

	s = start(t, "run", data)
	s.command(t, "import", file, "--format", "combined", "--account", "shop").want(t, 0, "imported before", "account shop", "nothing was sent")
	s.command(t, "import", file, "--format", "ndjson", "--again").want(t, 2, "no line of it is of the format ndjson")
	s.command(t, "import", "nothing.log", "--format", "combined", "--account", "shop").want(t, 2, "no such file")
	// Sent all the same, it is recognised by its ids, which the restart has not forgotten.
	s.command(t, "import", file, "--format", "combined", "--account", "shop", "--again").want(t, 0, "500 events")
	s.until(t, "the repeats are processed", func() bool {
		_, through, _ := strings.Cut(s.command(t, "balance").out, "total: ")
		return strings.HasPrefix(through, "records 1000 = counted 500 + duplicate 500 + rejected 0")
	})
	if got := s.total(t, "requests", "shop"); got != 500 {
		t.Errorf("requests: got %d, want 500", got)
	}
	s.kill(t)
	s.command(t, "verify").want(t, 0, "verify: good")

	s = start(t, "run", data)
	if got := s.total(t, "requests", "shop"); got != 500 {
		t.Errorf("requests behind a kill: got %d, want 500", got)
	}
	s.command(t, "balance").want(t, 0, "balance: good")
}

// Differences have exit code 1.
func TestChecksDiffer(t *testing.T) {
	s := start(t, "demo", t.TempDir())
	s.until(t, "the story is told", func() bool { return strings.Contains(s.output.String(), "Serving until Ctrl-C") })
	s.produce(t, schemas.Errors, "demo", `{"specversion":"1.0","id":"new","source":"s","type":"api.error","subject":"demo",`+
		`"time":"2026-01-12T00:00:00Z","data":{"api":"a","endpoint":"/","method":"GET","status":500}}`)
	s.until(t, "it is counted", func() bool { return s.total(t, "errors", "demo") == 41 })
	s.stop(t)
	tallybook(t, "demo", "--exit", "--data", s.data, "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0").want(t, 1,
		"errors has 41, the sample 40", "tallybook: demo: the totals are not those of the sample")

	s.command(t, "balance").want(t, 0)
	change(t, s.data, "DELETE FROM ledger WHERE topic = 'emails'")
	s.command(t, "balance").want(t, 1, "the ledger is empty", "tallybook: balance: the check found differences")

	s.command(t, "verify").want(t, 0)
	files, err := filepath.Glob(filepath.Join(s.data, "archive", "usage", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	s.command(t, "verify").want(t, 1, "missing file", "tallybook: verify: the check found differences")
}

// change does to the store what no part of ours does.
func change(t *testing.T, data, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "tallybook.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestDemo(t *testing.T) {
	data := t.TempDir()
	args := []string{"demo", "--exit", "--data", data, "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"}
	first := tallybook(t, args...)
	first.want(t, 0, "500 lines, 500 events", "965 accepted by the broker, 965 counted, 0 duplicates, 0 refused",
		"GET /v1/products                74        88        78       240", "verify   good", "balance  good", ".parquet",
		"Acme GmbH    final       34.51 EUR", "Bolt Inc.    final       18.40 USD", "Cara         final        9.00 USD")
	if strings.Contains(first.errors, "level=INFO") {
		t.Errorf("the log drowns the story: %s", first.errors)
	}
	second := tallybook(t, args...)
	second.want(t, 0, "imported before", "965 accepted by the broker, 965 counted, 0 duplicates, 0 refused")
	tables := func(o outcome) string {
		_, rest, _ := strings.Cut(o.out, "requests by day")
		table, _, found := strings.Cut(rest, "Parquet files")
		if !found {
			t.Fatalf("no tables in %s", o.out)
		}
		return table
	}
	if got, want := tables(second), tables(first); got != want {
		t.Errorf("second start: got %s\nwant %s", got, want)
	}
}

var (
	curlLine = regexp.MustCompile(`  curl -H "apiKey: \$KEY" -H 'Content-Type: application/json' -d '(.*)' http://\S+(/v1/events)`)
	seeLine  = regexp.MustCompile(`(?m)^  curl -H "apiKey: \$KEY" '(http://[^/]+)(/.*)'$`)
)

// The lines that the demo prints work as they are printed.
func TestDemoLines(t *testing.T) {
	s := start(t, "demo", t.TempDir())
	s.until(t, "the story is told", func() bool { return strings.Contains(s.output.String(), "Serving until Ctrl-C") })
	key := keyLine.FindStringSubmatch(s.output.String())
	m := curlLine.FindStringSubmatch(s.output.String())
	if m == nil || key == nil {
		t.Fatalf("no key or no curl line in %s", s.output)
	}
	s.key = key[1]
	for range 2 { // the second is a duplicate
		if body, status := s.ask(http.MethodPost, m[2], strings.NewReader(m[1])); status != http.StatusAccepted {
			t.Fatalf("send %s: got status %d, want 202: %s", m[1], status, body)
		}
	}
	s.until(t, "it is counted", func() bool { return s.total(t, "requests", "me") == 1 })
	shown := seeLine.FindAllStringSubmatch(s.output.String(), -1)
	if len(shown) < 5 {
		t.Errorf("got %d URLs, want some", len(shown))
	}
	for _, u := range shown {
		if body, status := s.get(u[2]); status != http.StatusOK {
			t.Errorf("%s: got status %d, want 200: %s", u[2], status, body)
		}
	}
	if code := s.stop(t); code != 0 {
		t.Errorf("Ctrl-C: got exit code %d, want 0\n%s", code, s.output)
	}
}

func TestDoctor(t *testing.T) {
	s := start(t, "demo", t.TempDir())
	s.until(t, "the story is told", func() bool { return strings.Contains(s.output.String(), "Serving until Ctrl-C") })
	http := strings.TrimPrefix(s.url, "http://")
	running := s.command(t, "doctor", "--http", http)
	running.want(t, 0, fmt.Sprintf("process %d runs", s.Process.Pid), "topic usage has its 4 partitions", "is ready",
		"no lag", "keyed by their account", "no record was refused", "doctor: nothing is wrong")
	// Refused records are shown, and are no fault of the set-up.
	bad := `{"specversion":"1.0","id":"1","source":"s","type":"api.request","data":{}}`
	s.produce(t, "usage", "somebody", bad)
	s.until(t, "it is refused", func() bool { return s.total(t, "internal_errors", "somebody") == 1 })
	s.command(t, "doctor", "--http", http).want(t, 0, "note   refused records, open: ")
	// A key that is not the account is.
	other := `{"specversion":"1.0","id":"2","source":"s","type":"api.request","subject":"me","data":{"api":"a","endpoint":"/","method":"GET","status":200}}`
	s.produce(t, "usage", "somebody", other)
	s.until(t, "it is counted", func() bool { return s.total(t, "requests", "me") == 1 })
	s.command(t, "doctor", "--http", http).want(t, 1, "WRONG  1 of ", "records have a key that is not their account", "tallybook: the doctor found something wrong")
	s.kill(t)

	lost := filepath.Join(s.data, "archive", "_quarantine", "usage", "date=2026-01-01")
	if err := os.MkdirAll(lost, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lost, "x.parquet"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	taken := listen(t)
	tallybook(t, "doctor", "--data", s.data, "--http", taken, "--kafka-listen", taken).want(t, 1, "no process runs on the data folder",
		"WRONG  1 files in", "WRONG  --http "+taken+" cannot be listened on", "WRONG  --kafka-listen "+taken+" cannot be listened on")
	file := writeFile(t, "file", "")
	tallybook(t, "doctor", "--data", filepath.Join(file, "data"), "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0").want(t, 1, "is not writable")
	tallybook(t, "doctor", "--data", filepath.Join(t.TempDir(), "none"), "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0").want(t, 0, "does not exist yet")
}

// The first start alone prints a key; without one nobody is answered.
func TestFirstKey(t *testing.T) {
	data := t.TempDir()
	s := start(t, "run", data)
	key := s.key
	if body, status := s.get("/v1/whoami"); status != http.StatusOK || !strings.Contains(body, `"role":"admin"`) {
		t.Errorf("whoami: got %d %s", status, body)
	}
	s.key = "tally_nonsense"
	if body, status := s.get("/v1/whoami"); status != http.StatusUnauthorized {
		t.Errorf("whoami with a wrong key: got %d %s", status, body)
	}
	s.stop(t)
	s = start(t, "run", data, "--no-auth")
	if text := s.output.String(); keyLine.MatchString(text) || !strings.Contains(text, "every caller is an administrator") {
		t.Errorf("second start, --no-auth: got %s", text)
	}
	s.stop(t)
	s = start(t, "run", data)
	if keyLine.MatchString(s.output.String()) {
		t.Errorf("third start shows a key again: %s", s.output)
	}
	s.key = key
	if body, status := s.get("/v1/whoami"); status != http.StatusOK {
		t.Errorf("whoami after restarts: got %d %s", status, body)
	}
}

// pipeline and query as processes of their own, on a Kafka that is not theirs.
func TestPipelineAndQuery(t *testing.T) {
	kafka, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kafka.Close(); err != nil {
			t.Error(err)
		}
	})
	p := start(t, "pipeline", t.TempDir(), "--brokers", kafka.Addr())
	p.command(t, "import", filepath.Join("testdata", "access.log"), "--format", "combined", "--account", "shop", "--brokers", kafka.Addr()).want(t, 0, "500 events")

	listening := regexp.MustCompile(`"tallybook answers" http=(\S+)`)
	q := &server{Cmd: tallybookCommand(t, "query", "--data", p.data, "--http", "127.0.0.1:0"), output: &output{}, ended: make(chan struct{})}
	launch(t, q)
	q.until(t, "it answers", func() bool { return listening.MatchString(q.output.String()) })
	q.key = p.key
	q.url = listening.FindStringSubmatch(q.output.String())[1]
	q.until(t, "all is counted", func() bool { return q.total(t, "requests", "shop") == 500 })

	p.command(t, "doctor", "--brokers", kafka.Addr(), "--http", strings.TrimPrefix(p.url, "http://")).want(t, 0,
		"topic usage has its 2 partitions", "a lost broker loses acknowledged events", "no lag")
	for name, s := range map[string]*server{"pipeline": p, "query": q} {
		if code := s.stop(t); code != 0 {
			t.Errorf("%s: got exit code %d, want 0\n%s", name, code, s.output)
		}
	}
	p.command(t, "balance").want(t, 0, "records 500 = counted 500")
}
