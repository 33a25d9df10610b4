package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/schemas"
	"tallybook/store"
)

func TestPipeline(t *testing.T) {
	f := newFixture(t)
	span := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tallybook_dedupe_window_seconds"}, []string{"topic", "partition"})
	f.server.cfg.Registry.MustRegister(span)
	span.WithLabelValues("usage", "0").Set(90)
	f.server.cfg.LogEnds = func(context.Context) (map[schemas.Partition]int64, error) {
		return map[schemas.Partition]int64{usage0: 5}, errors.New("one partition does not answer")
	}
	c := invoiceClient(f)
	f.checkpoint(usage0, "2026-03-10T11:10:00Z", request("2026-03-10T11", "a", "/x", "200", "1"), request("2026-03-10T11", "a", "/y", "200", "1"))
	f.checkpoint(schemas.Partition{Topic: schemas.Usage, ID: 1}, "2026-03-10T11:20:00Z", request("2026-03-10T11", "b", "/x", "200", "1"))
	f.checkpoint(usage0, "2026-03-10T12:20:00Z", request("2026-03-10T12", "a", "/x", "200", "1"))
	f.checkpoint(schemas.Partition{Topic: schemas.Emails, ID: 0}, "2026-03-10T12:20:00Z")
	partitions := c.call(200, "GET", "/v1/pipeline", "")["partitions"].([]any)
	if len(partitions) != 3 {
		t.Fatalf("got %v, want 3 partitions", partitions)
	}
	empty, first, second := partitions[0].(map[string]any), partitions[1].(map[string]any), partitions[2].(map[string]any)
	if empty["clock"] != nil || empty["checkpoint"] != nil || empty["dedupeSeconds"] != nil {
		t.Errorf("a partition without records: got %v", empty)
	}
	checkpoint := first["checkpoint"].(map[string]any)
	if first["position"] != 3. || first["logEnd"] != 5. || first["lag"] != 2. || first["dedupeSeconds"] != 90. || first["dedupeIds"] != nil ||
		first["clock"] != "2026-03-10T12:20:00Z" || checkpoint["firstOffset"] != 2. || checkpoint["counted"] != 1. {
		t.Errorf("got %v", first)
	}
	if second["lag"] != nil || second["position"] != 1. {
		t.Errorf("got %v, want no lag where the log's end is not known", second)
	}
	c.call(400, "GET", "/v1/pipeline?x=1", "")

	text := func(hours []any) (all []string) {
		for _, h := range hours {
			h := h.(map[string]any)
			all = append(all, fmt.Sprint(h["topic"], h["start"], " ", h["checkpoints"], h["records"], h["counted"]))
		}
		return all
	}
	for query, want := range map[string]string{"": "[usage2026-03-10T12:00:00Z 1 1 1 usage2026-03-10T11:00:00Z 2 3 3]", "?hours=1": "[usage2026-03-10T12:00:00Z 1 1 1]"} {
		if got := fmt.Sprint(text(c.call(200, "GET", "/v1/pipeline/hours"+query, "")["hours"].([]any))); got != want {
			t.Errorf("hours%s: got %s, want %s", query, got, want)
		}
	}
	for _, query := range []string{"?hours=0", "?hours=49", "?hours=x", "?days=1"} {
		c.call(400, "GET", "/v1/pipeline/hours"+query, "")
	}
}

func TestRunJob(t *testing.T) {
	f := newFixture(t)
	c := invoiceClient(f)
	c.call(404, "POST", "/v1/jobs/rollups/run", "")
	if err := f.store.ScheduleJob(t.Context(), "rollups", "* * * * *"); err != nil {
		t.Fatal(err)
	}
	if got := c.call(202, "POST", "/v1/jobs/rollups/run", ""); got["name"] != "rollups" || got["asked"] != "2026-03-10T12:30:00Z" {
		t.Errorf("got %v", got)
	}
	if job := c.call(200, "GET", "/v1/jobs", "")["jobs"].([]any)[0].(map[string]any); job["asked"] != "2026-03-10T12:30:00Z" {
		t.Errorf("got %v", job)
	}
}

func TestQuotasOfACustomer(t *testing.T) {
	f := newFixture(t)
	c := newClient(f)
	c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","prices":[`+perUnit+`]}`)
	c.call(201, "POST", "/v1/routes", `{"apiName":"mail","apiVersion":"v1","prices":[`+perUnit+`]}`)
	id := c.call(201, "POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"standard","timezone":"Europe/Berlin",
		"subscriptions":[{"apiName":"shop","apiVersion":"v1","quota":{"limit":3,"period":"day"}},{"apiName":"mail","apiVersion":"v1"}]}`)["id"].(string)
	customer, err := f.store.Customer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := f.store.Subscriptions(t.Context(), id, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var with store.Subscription
	for _, s := range subs {
		if s.Quota != nil {
			with = s
		}
	}
	meter, err := with.Meter(&customer)
	if err != nil {
		t.Fatal(err)
	}
	from, err := f.store.TakeOver(t.Context(), usage0, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Next = 1
	results, err := f.store.Checkpoint(t.Context(), []*store.Checkpoint{{From: from, To: to, ClosedAt: testNow, Ledger: store.Ledger{Next: 1, Records: 1, Counted: 1},
		Subscribed: &store.SubscribedUse{Subscriptions: []string{with.ID}, Uses: func(map[string]*schemas.QuotaMeter) []store.QuotaUse {
			return []store.QuotaUse{{Quota: meter, Period: meter.Periods.At(testNow), Used: dec("2.5")},
				{Quota: meter, Period: meter.Periods.At(testNow.AddDate(0, 0, -1)), Used: dec("100")}}
		}}}})
	if err != nil || results[0].Outcome != store.Applied {
		t.Fatalf("checkpoint: %v, %v", results, err)
	}
	path := "/v1/customers/" + id + "/quotas"
	list := c.call(200, "GET", path, "")["quotas"].([]any)
	if len(list) != 1 {
		t.Fatalf("got %v, want the one quota", list)
	}
	if q := list[0].(map[string]any); q["used"] != 2.5 || q["remaining"] != 0.5 || q["percent"] != 83. || q["periodStart"] != "2026-03-09T23:00:00Z" || q["periodEnd"] != "2026-03-10T23:00:00Z" {
		t.Errorf("got %v", q)
	}
	if page := c.call(200, "GET", path+"?limit=1", ""); page["next"] != subs[0].ID {
		t.Errorf("got %v, want a next page", page)
	}
	c.call(404, "GET", "/v1/customers/none/quotas", "")
	c.call(404, "GET", path, "", "X-Account-ID", "another")
	c.call(204, "DELETE", "/v1/customers/"+id+"/subscriptions/"+with.ID, "")
	if list := c.call(200, "GET", path, "")["quotas"].([]any); len(list) != 0 {
		t.Errorf("of an ended subscription: got %v", list)
	}
}

// A proof is told line by line; it ends with what came of it.
func TestProveOverHTTP(t *testing.T) {
	f := newFixture(t)
	_, i := f.finalInvoice("Acme")
	path := "/v1/invoices/" + i.ID + "/prove"
	invoiceClient(f).call(503, "POST", path, "")
	outcomes := []struct {
		finding string
		err     error
		last    string
	}{{"", nil, `{"proven":true}`}, {"a row is gone", nil, `{"proven":false,"difference":"a row is gone"}`},
		{"", errors.New("disk"), `{"error":"the proof could not be done: disk"}`}}
	for _, o := range outcomes {
		f.server.cfg.Prove = func(ctx context.Context, got *store.Invoice, say func(string)) (string, error) {
			if got.ID != i.ID {
				t.Errorf("asked to prove %s, want %s", got.ID, i.ID)
			}
			if w := f.do(http.MethodPost, path); w.Code != http.StatusConflict {
				t.Errorf("beside another proof: got %d %s", w.Code, w.Body)
			}
			say("2 files")
			return o.finding, o.err
		}
		w := f.do(http.MethodPost, path)
		if want := `{"line":"2 files"}` + "\n" + o.last + "\n"; w.Code != http.StatusOK || w.Body.String() != want || !w.Flushed {
			t.Errorf("got %d %q, want %q sent at once", w.Code, w.Body, want)
		}
	}
	if w := f.do(http.MethodPost, "/v1/invoices/none/prove"); w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
}

func TestFilesOfAnInvoice(t *testing.T) {
	f := newFixture(t)
	c := invoiceClient(f)
	f.checkpoint(usage0, "2026-01-10T12:00:00Z", request("2026-01-10T11", "acct-Acme", "/x", "200", "1"), request("2026-01-11T11", "acct-Acme", "/x", "200", "1"),
		request("2026-02-11T11", "acct-Acme", "/x", "200", "1")) // of another month
	for range 9 {
		f.checkpoint(usage0, "2026-01-20T12:00:00Z", request("2026-01-20T11", "acct-Acme", "/x", "200", "1"))
	}
	f.checkpoint(usage0, "2026-01-21T12:00:00Z", request("2026-01-21T11", "acct-Acme", "/x", "200", "1")) // offset 12: behind the cut
	_, i := f.finalInvoice("Acme")
	path := "/v1/invoices/" + i.ID + "/files"
	files := c.call(200, "GET", path, "")["files"].([]any)
	if len(files) != 11 {
		t.Fatalf("got %d files, want 11", len(files))
	}
	first := files[0].(map[string]any)
	if !strings.HasPrefix(first["name"].(string), "usage/date=2026-01-10/") || first["rows"] != 1. || first["from"] != "2026-01-10T11:00:00Z" {
		t.Errorf("got %v", first)
	}
	seen, cursor := 0, ""
	for pages := 0; ; pages++ {
		page := c.call(200, "GET", path+"?line=1&limit=4"+cursor, "")
		seen += len(page["files"].([]any))
		if page["next"] == nil {
			if seen != 11 || pages != 2 {
				t.Errorf("got %d files in %d pages", seen, pages+1)
			}
			break
		}
		cursor = "&cursor=" + page["next"].(string)
	}
	for _, query := range []string{"?line=0", "?line=2", "?line=x", "?limit=0", "?y=1"} {
		c.call(400, "GET", path+query, "")
	}
	c.call(404, "GET", "/v1/invoices/none/files", "")
	half := i
	half.Lines[0].Price.End = time.Date(2026, 1, 11, 0, 0, 0, 0, time.UTC)
	if p := linePeriod(&half, 0); !p.Start.Equal(i.Periods[0].Start) || !p.End.Equal(half.Lines[0].Price.End) {
		t.Errorf("got %v to %v, want the price's part of the period", p.Start, p.End)
	}
}
