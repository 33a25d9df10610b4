package producer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"

	"tallybook/store"
	"tallybook/store/storetest"
)

var (
	testNow  = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	errAway  = errors.New("kafka is away")
	errDisk  = errors.New("disk is full")
	testLine = `10.0.0.1 - - [12/Jan/2026:10:00:%02d +0000] "GET /a/%d?q=1 HTTP/1.1" 200 %d "-" "-"` + "\n"
)

// journal is the real one; the call of ImportProgress that fail counts fails.
type journal struct {
	*store.Store
	calls, fail int
}

func (j *journal) ImportProgress(ctx context.Context, id string, offset int64, counts map[string]int64) error {
	if j.calls++; j.calls == j.fail {
		return errDisk
	}
	return j.Store.ImportProgress(ctx, id, offset, counts)
}

// memWriter keeps what is written; fail says what call n answers, and whether
// the records were written nevertheless.
type memWriter struct {
	records []kafka.Message
	calls   int
	fail    func(call int) (written bool, err error)
}

func (w *memWriter) WriteMessages(_ context.Context, msgs ...kafka.Message) error {
	w.calls++
	written, err := true, error(nil)
	if w.fail != nil {
		written, err = w.fail(w.calls)
	}
	if written {
		for _, m := range msgs {
			m.Value = bytes.Clone(m.Value)
			w.records = append(w.records, m)
		}
	}
	return err
}

// decoded is an event as an outsider reads it.
type decoded struct {
	SpecVersion, ID, Source, Type, Subject string
	Time                                   time.Time
	Data                                   struct {
		API, Endpoint, Method    string
		Status                   int
		Bytes                    *int64
		Latency                  json.Number `json:"latency_ms"`
		ClientIP                 string      `json:"client_ip"`
		Code                     string      `json:"error_code"`
		Text                     string      `json:"error_description"`
		Domain, Event, Recipient string
	}
}

func decode(t testing.TB, m kafka.Message) decoded {
	t.Helper()
	var d decoded
	if err := json.Unmarshal(m.Value, &d); err != nil {
		t.Fatalf("event %q: %v", m.Value, err)
	}
	return d
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testConfig(t testing.TB, path string) (ImportConfig, *memWriter, *journal) {
	t.Helper()
	now := func() time.Time { return testNow }
	s, err := store.Open(context.Background(), storetest.URL(t), store.Options{Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w, j := &memWriter{}, &journal{Store: s}
	return ImportConfig{Path: path, Format: Combined, Account: "acct", Writer: w, Journal: j,
		Now: now}, w, j
}

func mustImport(t testing.TB, cfg ImportConfig) Report {
	t.Helper()
	r, err := Import(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, testLine, i%60, i, i)
	}
	return b.String()
}

// A file that was read as what it is not left nothing in Kafka, and may come
// again as what it is.
func TestImportAfterTheWrongFormat(t *testing.T) {
	cfg, w, _ := testConfig(t, writeFile(t, "access.log", manyLines(10)))
	right := cfg.Format
	cfg.Format = NDJSON
	if got := mustImport(t, cfg); got.Events != 0 || !got.OtherFormat() || len(w.records) != 0 {
		t.Fatalf("as %s: %+v with %d records, want 10 malformed lines", cfg.Format, got, len(w.records))
	}
	cfg.Format = right
	if got := mustImport(t, cfg); got.AlreadyDone || got.OtherFormat() || got.Events != 10 || len(w.records) != 10 {
		t.Errorf("as %s after that: %+v with %d records, want 10 events", cfg.Format, got, len(w.records))
	}
}

func TestImportTwiceIsANoOp(t *testing.T) {
	cfg, w, _ := testConfig(t, writeFile(t, "access.log", manyLines(10)))
	first := mustImport(t, cfg)
	if first.Lines != 10 || first.Events != 10 || first.AlreadyDone || len(w.records) != 10 {
		t.Fatalf("first import: %+v with %d records", first, len(w.records))
	}
	// Also under another name, compressed, and days later.
	cfg.Now = func() time.Time { return testNow.AddDate(0, 0, 30) }
	cfg.Path = writeFile(t, "other", compress(t, "gzip", manyLines(10)))
	second := mustImport(t, cfg)
	if !second.AlreadyDone || second.Events != 10 || second.Known.Name != "access.log" || len(w.records) != 10 {
		t.Fatalf("second import: %+v with %d records", second, len(w.records))
	}
	cfg.Again = true
	third := mustImport(t, cfg)
	if third.AlreadyDone || third.Events != 10 || len(w.records) != 20 {
		t.Fatalf("import again: %+v with %d records", third, len(w.records))
	}
	if got := len(idSet(w.records)); got != 10 {
		t.Errorf("ids after importing again: got %d, want 10", got)
	}
}

func compress(t testing.TB, how, text string) string {
	t.Helper()
	var b bytes.Buffer
	if how == "gzip" {
		// Two members, as logrotate's appending makes them.
		for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
			z := gzip.NewWriter(&b)
			z.Write([]byte(part))
			z.Close()
		}
		return b.String()
	}
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

func TestCompressedFilesMakeTheSameEvents(t *testing.T) {
	text := manyLines(300)
	cfg, w, _ := testConfig(t, writeFile(t, "plain", text))
	mustImport(t, cfg)
	want := w.records
	for _, how := range []string{"gzip", "zstd"} {
		cfg, w, _ := testConfig(t, writeFile(t, "packed", compress(t, how, text)))
		mustImport(t, cfg)
		if !reflect.DeepEqual(w.records, want) {
			t.Errorf("%s: events differ from those of the plain file", how)
		}
	}
}

func TestDamagedFileSendsNothing(t *testing.T) {
	packed := compress(t, "gzip", manyLines(2000))
	for name, text := range map[string]string{"cut": packed[:len(packed)-20], "changed": packed[:100] + "XXXX" + packed[104:]} {
		cfg, w, _ := testConfig(t, writeFile(t, name, text))
		if _, err := Import(context.Background(), cfg); err == nil || len(w.records) > 0 {
			t.Errorf("%s: got %d records and %v, want an error before anything is sent", name, len(w.records), err)
		}
	}
}

func idSet(records []kafka.Message) map[string]bool {
	ids := map[string]bool{}
	for _, m := range records {
		var d struct{ Subject, Source, ID string }
		if json.Unmarshal(m.Value, &d) == nil {
			ids[d.Subject+" "+d.Source+" "+d.ID] = true
		}
	}
	return ids
}

// Whatever is lost and whatever is written without an answer, the runs
// together make the ids of one undisturbed run, and the same report.
func TestInterruptedImportGoesOn(t *testing.T) {
	text := manyLines(23_000) + "garbage\n\n" + manyLines(2_000)
	cfg, w, _ := testConfig(t, writeFile(t, "access.log", text))
	want, wantIDs := mustImport(t, cfg), idSet(w.records)
	if want.Events != 25_000 || want.Skipped["malformed"] != 1 || want.Skipped["empty_line"] != 1 || len(wantIDs) != 25_000 {
		t.Fatalf("undisturbed: %+v, %d ids", want, len(wantIDs))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 8 {
		cfg, w, j := testConfig(t, cfg.Path)
		var got Report
		runs := 0
		for done := false; !done; runs++ {
			stop := w.calls + 1 + rng.IntN(4)
			w.fail = func(call int) (bool, error) {
				if call >= stop && runs < 4 {
					return rng.IntN(2) == 0, kafka.MessageSizeTooLarge // permanent: no back-off
				}
				return true, nil
			}
			j.fail = 0
			if rng.IntN(3) == 0 {
				j.fail = j.calls + 1
			}
			var err error
			got, err = Import(context.Background(), cfg)
			if done = err == nil; !done && !errors.Is(err, kafka.MessageSizeTooLarge) && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
		}
		if ids := idSet(w.records); !maps.Equal(ids, wantIDs) {
			t.Fatalf("round %d, %d runs: got %d ids, want %d", round, runs, len(ids), len(wantIDs))
		}
		if got.Lines != want.Lines || got.Events != want.Events || !maps.Equal(got.Skipped, want.Skipped) ||
			!got.FirstTime.Equal(want.FirstTime) || !got.LastTime.Equal(want.LastTime) {
			t.Fatalf("round %d: got %+v, want %+v", round, got, want)
		}
		if again := len(w.records) - len(wantIDs); again > runs*batchEvents {
			t.Errorf("round %d: %d records sent again in %d runs, want at most a batch each", round, again, runs)
		}
	}
}

func TestCancelledImportStopsBehindABatch(t *testing.T) {
	cfg, w, j := testConfig(t, writeFile(t, "access.log", manyLines(12_000)))
	ctx, cancel := context.WithCancel(context.Background())
	w.fail = func(int) (bool, error) { cancel(); return true, nil } // while the batch is under way
	r, err := Import(ctx, cfg)
	if !errors.Is(err, context.Canceled) || r.Events != batchEvents {
		t.Fatalf("got %+v, %v; want one acknowledged batch and context.Canceled", r, err)
	}
	if !strings.Contains(err.Error(), "line 10001 at byte ") || !strings.Contains(err.Error(), cfg.Path) {
		t.Errorf("error %q names no line and file", err)
	}
	w.fail = nil
	cfg.Now = func() time.Time { return testNow.Add(30 * time.Hour) }
	r = mustImport(t, cfg)
	if !r.Resumed || r.Interrupted != 30*time.Hour || r.Events != 12_000 || len(w.records) != 12_000 {
		t.Errorf("resumed: %+v with %d records", r, len(w.records))
	}
	if imports, err := j.Imports(context.Background(), 10); err != nil || len(imports) != 1 || imports[0].Finished.IsZero() {
		t.Errorf("got imports %+v, %v; want one, finished", imports, err)
	}
}

func TestResumeWithOtherOptionsIsRefused(t *testing.T) {
	cfg, w, _ := testConfig(t, writeFile(t, "access.log", manyLines(12_000)))
	w.fail = func(call int) (bool, error) { return true, map[bool]error{true: kafka.MessageSizeTooLarge}[call == 2] }
	if _, err := Import(context.Background(), cfg); err == nil {
		t.Fatal("want an error")
	}
	cfg.Account = "other"
	if _, err := Import(context.Background(), cfg); !errors.Is(err, ErrOptions) {
		t.Errorf("got %v, want ErrOptions", err)
	}
	cfg.Account, w.fail = "acct", nil
	if r := mustImport(t, cfg); r.Events != 12_000 || len(idSet(w.records)) != 12_000 {
		t.Errorf("resumed: %+v", r)
	}
}

func TestFileThatChangesIsNotFinished(t *testing.T) {
	text := manyLines(12_000)
	cfg, w, j := testConfig(t, writeFile(t, "access.log", text))
	w.fail = func(call int) (bool, error) {
		if call == 1 {
			// Same length, another byte near the end.
			changed := text[:len(text)-200] + "9" + text[len(text)-199:]
			if err := os.WriteFile(cfg.Path, []byte(changed), 0o600); err != nil {
				t.Error(err)
			}
		}
		return true, nil
	}
	if _, err := Import(context.Background(), cfg); !errors.Is(err, ErrChanged) {
		t.Fatalf("got %v, want ErrChanged", err)
	}
	if imports, err := j.Imports(context.Background(), 10); err != nil || len(imports) != 1 || !imports[0].Finished.IsZero() {
		t.Errorf("got imports %+v, %v; want one, not finished", imports, err)
	}
}

func TestLinesAreBounded(t *testing.T) {
	good := fmt.Sprintf(testLine, 1, 1, 1)
	long := strings.Repeat("x", maxLine+1)
	quoted := `{"specversion":"1.0","id":"1","source":"s","type":"x","subject":"a","data":"` + strings.Repeat("y", maxEvent) + `"}`
	cfg, w, _ := testConfig(t, writeFile(t, "access.log", "\ufeff"+good+long+"\r\n"+strings.ReplaceAll(good, "\n", "\r\n")+quoted+"\n"+long[1:]+"\r\n"+long[1:]))
	r := mustImport(t, cfg)
	if want := map[string]int64{"line_too_long": 1, "malformed": 3}; r.Events != 2 || r.Lines != 6 || !maps.Equal(r.Skipped, want) {
		t.Errorf("got %+v, want 2 events and %v", r, want)
	}
	if d := decode(t, w.records[1]); d.Data.Endpoint != "/a/1" || d.ID == decode(t, w.records[0]).ID {
		t.Errorf("line with CRLF: %+v", d)
	}
	cfg, _, _ = testConfig(t, cfg.Path)
	cfg.Format = NDJSON
	if r := mustImport(t, cfg); r.Skipped["event_too_large"] != 1 {
		t.Errorf("got %+v, want one event too large", r)
	}
}

func TestImportOptions(t *testing.T) {
	for name, change := range map[string]func(*ImportConfig){
		"format":       func(c *ImportConfig) { c.Format = "csv" },
		"no account":   func(c *ImportConfig) { c.Account = "" },
		"account from": func(c *ImportConfig) { c.AccountFrom = FromTenant },
	} {
		cfg, _, _ := testConfig(t, writeFile(t, "f", ""))
		change(&cfg)
		if _, err := Import(context.Background(), cfg); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: got %v, want ErrOptions", name, err)
		}
	}
	cfg, _, _ := testConfig(t, filepath.Join(t.TempDir(), "absent"))
	if _, err := Import(context.Background(), cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	cfg, w, _ := testConfig(t, writeFile(t, "empty", ""))
	if r := mustImport(t, cfg); r.Lines != 0 || len(w.records) != 0 {
		t.Errorf("empty file: %+v", r)
	}
}

func TestProgress(t *testing.T) {
	cfg, _, _ := testConfig(t, writeFile(t, "access.log", manyLines(12_000)))
	var last Progress
	calls := 0
	cfg.OnProgress = func(p Progress) {
		if p.Bytes < last.Bytes || p.Report.Events < last.Report.Events {
			t.Errorf("progress went back from %v to %v", last, p)
		}
		last, calls = Progress{p.Bytes, p.TotalBytes, &Report{Events: p.Report.Events}}, calls+1
	}
	last.Report = &Report{}
	mustImport(t, cfg)
	if calls != 3 || last.Bytes != last.TotalBytes || last.Report.Events != 12_000 {
		t.Errorf("got %d calls, the last %+v", calls, last)
	}
}

func TestSendRetriesOnlyWhatFailed(t *testing.T) {
	records := []kafka.Message{{Key: []byte("a")}, {Key: []byte("b")}, {Key: []byte("c")}}
	var calls [][]kafka.Message
	w := writerFunc(func(msgs []kafka.Message) error {
		calls = append(calls, msgs)
		if len(calls) == 1 {
			return kafka.WriteErrors{nil, kafka.NotLeaderForPartition, nil}
		}
		return nil
	})
	if err := Send(context.Background(), w, records); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || len(calls[1]) != 1 || string(calls[1][0].Key) != "b" {
		t.Errorf("got calls %v, want the second to hold b alone", calls)
	}
	calls = nil
	w = func(msgs []kafka.Message) error { calls = append(calls, msgs); return kafka.MessageSizeTooLarge }
	if err := Send(context.Background(), w, records); !errors.Is(err, kafka.MessageSizeTooLarge) || len(calls) != 1 {
		t.Errorf("got %v after %d calls, want the permanent error after one", err, len(calls))
	}
	ctx, cancel := context.WithCancel(context.Background())
	w = func([]kafka.Message) error { cancel(); return errAway }
	if err := Send(ctx, w, records); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), errAway.Error()) {
		t.Errorf("got %v, want context.Canceled and why it was trying", err)
	}
}

type writerFunc func(msgs []kafka.Message) error

func (f writerFunc) WriteMessages(_ context.Context, msgs ...kafka.Message) error { return f(msgs) }
