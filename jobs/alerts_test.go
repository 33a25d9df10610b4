package jobs

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// alertRig has a customer with a quota of 10 an hour, and a sender that writes
// mails to a folder.
type alertRig struct {
	t        *testing.T
	store    *store.Store
	mails    string
	cfg      AlertConfig
	customer store.Customer
	now      time.Time
}

func newAlertRig(t *testing.T) *alertRig {
	t.Helper()
	r := &alertRig{t: t, mails: filepath.Join(t.TempDir(), "mails"), now: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	if r.store, err = store.Open(t.Context(), storetest.URL(t), store.Options{Log: log, Now: func() time.Time { return r.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	if _, err := r.store.CreateRoute(t.Context(), "test", store.Route{API: "shop", Version: "v1"}); err != nil {
		t.Fatal(err)
	}
	q := &schemas.Quota{Limit: "10", Period: "hour", Thresholds: []int{80}}
	r.customer, _, err = r.store.CreateCustomer(t.Context(), "test", "the customer's key", store.Customer{Name: "Acme & Co", Email: "ann@acme.example", Timezone: "UTC", Currency: "USD"},
		[]store.Subscription{{API: "shop", Version: "v1", Quota: q}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := mail.Defaults()
	cfg.Providers = []mail.ProviderConfig{{Name: "log", Type: mail.TypeLog, URL: (&url.URL{Scheme: "file", Path: r.mails}).String()}}
	sender, err := mail.New(mail.Options{Store: r.store, Config: cfg, Now: func() time.Time { return r.now }, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.cfg = AlertConfig{Store: r.store, Mail: sender, Operators: "ops@example.net", Log: log}
	return r
}

// use counts n requests of the quota.
func (r *alertRig) use(n int64) {
	r.t.Helper()
	subs, err := r.store.Subscriptions(r.t.Context(), r.customer.ID, "", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	q, err := subs[0].Meter(&r.customer)
	if err != nil {
		r.t.Fatal(err)
	}
	pos, err := r.store.TakeOver(r.t.Context(), schemas.Partition{Topic: schemas.Usage}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	to := pos
	to.Next++
	results, err := r.store.Checkpoint(r.t.Context(), []*store.Checkpoint{{From: pos, To: to, ClosedAt: r.now,
		Ledger: store.Ledger{First: pos.Next, Next: to.Next, Records: 1, Counted: 1},
		Subscribed: &store.SubscribedUse{Subscriptions: []string{q.Subscription}, Uses: func(map[string]*schemas.QuotaMeter) []store.QuotaUse {
			return []store.QuotaUse{{Quota: q, Period: q.Periods.At(r.now), Used: schemas.DecimalFromInt(n)}}
		}}}})
	if err != nil || results[0].Outcome != store.Applied {
		r.t.Fatal(results, err)
	}
}

func (r *alertRig) deliver() {
	r.t.Helper()
	if err := Alerts(r.cfg).Run(r.t.Context(), r.now, func(string) {}); err != nil {
		r.t.Fatal(err)
	}
}

// headers are those of all mails with a name, sorted.
func (r *alertRig) headers(name string) (all []string) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.mails, "*.eml"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+": "); ok {
				all = append(all, strings.TrimSpace(value))
			}
		}
	}
	slices.Sort(all)
	return all
}

// hook is a webhook that answers with a status, and keeps what it was sent.
type hook struct {
	mu     sync.Mutex
	status int
	got    []*http.Request
	bodies []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got, h.bodies = append(h.got, r), append(h.bodies, string(body))
	w.WriteHeader(h.status)
}

func TestAlertsAreDeliveredOnce(t *testing.T) {
	r := newAlertRig(t)
	h := &hook{status: http.StatusInternalServerError}
	server := httptest.NewServer(h)
	defer server.Close()
	r.cfg.Webhook, r.cfg.WebhookSecret = server.URL, "a secret of the receiver"
	r.deliver()
	if got := r.headers("Subject"); len(got) != 0 {
		t.Fatalf("mails before anything happened: %q", got)
	}
	r.use(8)
	r.deliver()
	want := []string{"80 % of a quota are used", "80 % of a quota are used"} // to customer and operators
	if got := r.headers("Subject"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	r.deliver() // not before its time
	ids := r.headers("Message-ID")
	h.status = http.StatusNoContent
	for range 3 {
		r.now = r.now.Add(alertFirstWait)
		r.deliver()
	}
	if got := r.headers("Message-ID"); !slices.Equal(got, ids) || len(ids) != 2 {
		t.Errorf("Message-IDs: got %q, want %q", got, ids)
	}
	if len(h.got) != 2 || h.got[0].Header.Get("Tallybook-Id") != h.got[1].Header.Get("Tallybook-Id") {
		t.Fatalf("the webhook was called %d times, want 2, of one id", len(h.got))
	}
	at := h.got[1].Header.Get("Tallybook-Timestamp")
	if got, want := h.got[1].Header.Get("Tallybook-Signature"), "v1="+signature("a secret of the receiver", at, []byte(h.bodies[1])); got != want {
		t.Errorf("signature: got %s, want %s", got, want)
	}
	if !strings.Contains(h.bodies[1], `"kind":"quota_threshold"`) || !strings.Contains(h.bodies[1], `"percent":80`) {
		t.Errorf("body: got %s", h.bodies[1])
	}

	// A claim whose holder died, after its mails were sent.
	r.use(2)
	due, err := r.store.DueAlerts(t.Context(), r.now, 10)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	if err := r.cfg.mail(t.Context(), &due[0]); err != nil {
		t.Fatal(err)
	}
	ids = r.headers("Message-ID")
	r.deliver()
	if got := r.headers("Message-ID"); !slices.Equal(got, ids) || len(ids) != 4 {
		t.Errorf("Message-IDs: got %q, want %q", got, ids)
	}
}

func TestDigests(t *testing.T) {
	r := newAlertRig(t)
	hour := schemas.HourOf(r.now.UnixMicro())
	for range 3 {
		if _, err := r.store.CountUnknownKeys(t.Context(), hour, map[string]int64{"0a0b0c0d": 2}); err != nil {
			t.Fatal(err)
		}
		r.deliver()
	}
	if got := r.headers("Subject"); len(got) != 0 {
		t.Errorf("within the hour: got %q", got)
	}
	r.now = r.now.Add(time.Hour)
	r.deliver()
	if got := r.headers("To"); len(got) != 1 || !strings.Contains(got[0], "ops@example.net") {
		t.Errorf("to: got %q, want the operators", got)
	}
	if got := r.headers("Subject"); !slices.Equal(got, []string{"Requests with unknown keys"}) {
		t.Errorf("got %q", got)
	}
	// What comes late changes a count and sends nothing.
	if _, err := r.store.CountUnknownKeys(t.Context(), hour, map[string]int64{"0a0b0c0d": 2}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(24 * time.Hour)
	r.deliver()
	if got := r.headers("Subject"); len(got) != 1 {
		t.Errorf("got %q, want one mail", got)
	}
}

// A webhook that never answers well is given up.
func TestAlertIsGivenUp(t *testing.T) {
	r := newAlertRig(t)
	h := &hook{status: http.StatusForbidden}
	server := httptest.NewServer(h)
	defer server.Close()
	r.cfg.Webhook, r.cfg.WebhookSecret = server.URL, "a secret of the receiver"
	r.use(8)
	for range 2 * maxAlertTries {
		r.deliver()
		r.now = r.now.Add(alertLastWait)
	}
	if len(h.got) != maxAlertTries || len(r.headers("Subject")) != 2 {
		t.Errorf("got %d posts, %d mails, want %d, 2", len(h.got), len(r.headers("Subject")), maxAlertTries)
	}
}

func TestResetQuotas(t *testing.T) {
	r := newAlertRig(t)
	var told []string
	reset := func() {
		t.Helper()
		if err := ResetQuotas(t.Context(), r.store, r.now, func(text string) { told = append(told, text) }); err != nil {
			t.Fatal(err)
		}
	}
	reset()
	reset()
	r.now = r.now.Add(3 * time.Hour)
	reset()
	if want := []string{"1 periods of quotas opened", "3 periods of quotas opened"}; !slices.Equal(told, want) {
		t.Errorf("got %q, want %q", told, want)
	}
}
