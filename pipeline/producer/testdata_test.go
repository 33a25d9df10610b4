package producer

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

var update = flag.Bool("update", false, "write golden files anew")

const testdata = "../../testdata/"

// The block of totals in testdata/README.md is what importing the files finds,
// and every event in them is one that a worker accepts.
func TestTestdata(t *testing.T) {
	var b strings.Builder
	for _, file := range []struct {
		name     string
		format   Format
		accounts int
	}{{"access.log", Combined, 1}, {"api-errors.ndjson", NDJSON, 1}, {"mail-events.ndjson", NDJSON, 1}, {"plans.ndjson", NDJSON, 3}} {
		cfg, w, _ := testConfig(t, testdata+file.name)
		if cfg.Format, cfg.Account = file.format, "demo"; file.format == NDJSON {
			cfg.Account = ""
		}
		r := mustImport(t, cfg)
		fmt.Fprintf(&b, "%s: %d lines, %d events, %d skipped, %s to %s\n", file.name, r.Lines, r.Events, r.Lines-r.Events,
			r.FirstTime.Format("2006-01-02T15:04:05Z"), r.LastTime.Format("2006-01-02T15:04:05Z"))
		if e := recount(t, w.records); e.Counted != r.Events || e.Rejected() != 0 || len(e.Accounts) != file.accounts {
			t.Errorf("%s: a worker counts %d of %d, refuses %v, for %d accounts", file.name, e.Counted, r.Events, e.Malformed, len(e.Accounts))
		}
		days, routes, kinds, bytes := map[string]int64{}, map[string]int64{}, map[int]int64{}, int64(0)
		for _, m := range w.records {
			d := decode(t, m)
			days[schemas.DayOf(d.Time.UnixMicro()).String()]++
			if d.Data.Bytes != nil {
				bytes += *d.Data.Bytes
			}
			if m.Topic == string(schemas.Emails) {
				routes[d.Data.Domain+" "+d.Data.Event]++
				continue
			}
			routes[strings.TrimSpace(d.Data.Method+" "+d.Data.Endpoint+" "+d.Data.Code)]++
			kinds[d.Data.Status]++
		}
		list(&b, "day", days)
		list(&b, "status", kinds)
		list(&b, "route", routes)
		if bytes > 0 {
			fmt.Fprintf(&b, "  bytes %d\n", bytes)
		}
	}
	const fence = "```"
	readme, err := os.ReadFile(testdata + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(readme), fence+"\n")
	if len(parts) != 3 {
		t.Fatalf("README.md has %d fences, want 2", len(parts)-1)
	}
	if *update {
		parts[1] = b.String()
		if err := os.WriteFile(testdata+"README.md", []byte(strings.Join(parts, fence+"\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := b.String(), parts[1]; got != want {
		t.Errorf("got\n%s\nwant, as README.md has it,\n%s", got, want)
	}
}

func list[K cmp.Ordered](b *strings.Builder, what string, counts map[K]int64) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "  %s %v: %d\n", what, k, counts[k])
	}
}
