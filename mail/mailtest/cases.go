package mailtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CaseFile is the file of cases, with root the root of the repository: the one
// that lies in a folder shared/ beside the checkout where there is one, else our copy.
func CaseFile(root string) string {
	shared := filepath.Join(root, "../shared/cases/email-failover.json")
	if _, err := os.Stat(shared); err == nil {
		return shared
	}
	return filepath.Join(root, "testdata/cases/email-failover.json")
}

type caseFile struct {
	Settings map[string]any `json:"settings"`
	Cases    []*Case        `json:"cases"`
}

// Case is one of the file.
type Case struct {
	Name      string         `json:"name"`
	Why       string         `json:"why"`
	Given     string         `json:"given"` // in prose: has a test of its own
	Providers []caseProvider `json:"providers"`
	Sequence  []step         `json:"sequence"`
	Request   *request       `json:"request"`
	Expected  *expected      `json:"expected"`
	settings  map[string]any
}

type caseProvider struct {
	Name       string      `json:"name"`
	Type       string      `json:"type"`
	Auth       bool        `json:"auth"`
	Behaviours []Behaviour `json:"behaviours"`
}

type step struct {
	Request  *request        `json:"request"`
	Expected *expected       `json:"expected"`
	Repeat   int             `json:"repeat"`
	Wait     json.RawMessage `json:"wait_ms_before"`
}

type request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	JSON    json.RawMessage   `json:"json"`
	Raw     string            `json:"raw"`
}

type expected struct {
	Status       int     `json:"status"`
	ProviderUsed *string `json:"provider_used"`
	Attempts     []struct {
		Provider string `json:"provider"`
		Class    string `json:"class"`
	} `json:"attempts"`
	RecordedStatus     *string           `json:"recorded_status"`
	Breaker            map[string]string `json:"breaker"`
	BreakerState       map[string]string `json:"breaker_state"`
	PossibleDuplicate  bool              `json:"possible_duplicate"`
	DuplicateConfirmed bool              `json:"duplicate_confirmed"`
	AlertOperator      bool              `json:"alert_operator"`
	ErrorContains      string            `json:"error_contains"`
	NextAttemptMinS    float64           `json:"next_attempt_min_s"`
	Hold               map[string]struct {
		Kind string  `json:"kind"`
		MinS float64 `json:"min_s"`
	} `json:"hold"`
}

// Service is what the cases are run against.
type Service struct {
	// Do makes an HTTP request.
	Do func(method, path string, headers map[string]string, body []byte) (status int, answer []byte)
	// Tick does what the service does later: deferred mails.
	Tick func()
}

// firstRetry of the cases; they name none.
const firstRetry = 60 * time.Second

// ReadCases reads the file; what a case has and this does not know is an error.
func ReadCases(t testing.TB, path string) []*Case {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	part, err := json.Marshal(map[string]json.RawMessage{"settings": all["settings"], "cases": all["cases"]})
	if err != nil {
		t.Fatal(err)
	}
	var f caseFile
	d := json.NewDecoder(bytes.NewReader(part))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, c := range f.Cases {
		c.settings = f.Settings
	}
	return f.Cases
}

// Run runs one case against a service that start makes of a configuration.
func (c *Case) Run(t *testing.T, start func(t *testing.T, config []byte, clock *Clock) *Service) {
	r := &run{t: t, clock: NewClock(), settings: c.settings, providers: map[string]*Provider{}}
	config := map[string]any{}
	for key, value := range c.settings {
		config[key] = value
	}
	c.slowDown(config)
	var providers []map[string]string
	for _, p := range c.Providers {
		fake := Start(t, &Provider{Type: p.Type, Auth: p.Auth, Now: r.clock.Now}, p.Behaviours...)
		r.providers[p.Name] = fake
		entry := map[string]string{"name": p.Name, "type": p.Type, "url": fake.URL}
		if p.Type != "smtp" {
			entry["api_key"] = "key-of-a-test"
		}
		providers = append(providers, entry)
	}
	config["providers"], config["default"] = providers, c.Providers[0].Name
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	r.service = start(t, text, r.clock)
	if len(c.Sequence) == 0 {
		c.Sequence = []step{{Request: c.Request, Expected: c.Expected}}
	}
	for i := range c.Sequence {
		s := &c.Sequence[i]
		for n := range max(s.Repeat, 1) {
			r.what = fmt.Sprintf("step %d.%d", i+1, n+1)
			r.step(s)
		}
	}
}

// slowDown stretches the times of a case in which an answer comes late but in
// time, so that a busy machine does not make it too late.
func (c *Case) slowDown(config map[string]any) {
	const times = 4
	timeout, _ := config["attempt_timeout_ms"].(float64)
	delayed := false
	for i := range c.Providers {
		for j := range c.Providers[i].Behaviours {
			b := &c.Providers[i].Behaviours[j]
			delayed = delayed || b.DelayMS > 0
			b.DelayMS *= times
		}
	}
	if delayed {
		config["attempt_timeout_ms"] = timeout * times
	}
}

// run is a case under way.
type run struct {
	t         *testing.T
	clock     *Clock
	settings  map[string]any
	service   *Service
	providers map[string]*Provider
	ids       []string // of the mails of each step
	what      string
}

func (r *run) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s: %s", r.what, fmt.Sprintf(format, args...))
}

func (r *run) get(path string, to any) (status int) {
	r.t.Helper()
	status, answer := r.service.Do("GET", path, nil, nil)
	if err := json.Unmarshal(answer, to); err != nil {
		r.t.Fatalf("%s: GET %s: %v in %s", r.what, path, err, answer)
	}
	return status
}

// snapshot is all that a step may change.
type snapshot struct {
	providers map[string]providerState
	alerts    int
	calls     int
	mails     int
}

type providerState struct {
	Name       string     `json:"name"`
	Breaker    string     `json:"breaker"`
	Failures   int        `json:"consecutive_failures"`
	HeldUntil  *time.Time `json:"held_until"`
	HoldReason *string    `json:"hold_reason"`
}

func (r *run) snapshot() snapshot {
	r.t.Helper()
	s := snapshot{providers: map[string]providerState{}}
	var list []providerState
	r.get("/providers", &list)
	for _, p := range list {
		s.providers[p.Name] = p
	}
	var alerts []json.RawMessage
	r.get("/alerts", &alerts)
	s.alerts = len(alerts)
	var page struct{ Emails []json.RawMessage }
	r.get("/emails", &page)
	s.mails = len(page.Emails)
	for _, p := range r.providers {
		s.calls += len(p.Calls())
	}
	return s
}

type mailRecord struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Provider *string
	Attempts []struct {
		Provider string `json:"provider"`
		Class    string `json:"class"`
	}
	PossibleDuplicate  bool       `json:"possible_duplicate"`
	DuplicateConfirmed bool       `json:"duplicate_confirmed"`
	NextAttemptAt      *time.Time `json:"next_attempt_at"`
	HeaderID           string     `json:"header_message_id"`
}

func (r *run) step(s *step) {
	t, want := r.t, s.Expected
	t.Helper()
	before := r.snapshot()
	if s.Wait != nil {
		r.clock.Advance(r.waitOf(s.Wait))
		r.service.Tick()
	}
	path := s.Request.Path
	if rest, found := strings.CutPrefix(path, "/email/{id of step "); found {
		n, err := strconv.Atoi(strings.TrimSuffix(rest, "}"))
		if err != nil || n > len(r.ids) {
			t.Fatalf("%s: path %q", r.what, path)
		}
		path = "/email/" + r.ids[n-1]
	}
	body := []byte(s.Request.JSON)
	if s.Request.Raw != "" {
		body = []byte(s.Request.Raw)
	}
	status, answer := r.service.Do(s.Request.Method, path, s.Request.Headers, body)
	if status != want.Status {
		r.errorf("status %d, want %d: %s", status, want.Status, answer)
	}
	if !strings.Contains(string(answer), want.ErrorContains) {
		r.errorf("answer %s, want %q in it", answer, want.ErrorContains)
	}
	var said mailRecord
	if err := json.Unmarshal(answer, &said); err != nil {
		t.Fatalf("%s: answer %s: %v", r.what, answer, err)
	}
	r.ids = append(r.ids, said.ID)
	after := r.snapshot()
	r.checkMail(want, said, before, after)
	r.checkProviders(want, before, after)
	if alerted := after.alerts > before.alerts; alerted != want.AlertOperator {
		r.errorf("alert %v, want %v", alerted, want.AlertOperator)
	}
}

func (r *run) checkMail(want *expected, said mailRecord, before, after snapshot) {
	r.t.Helper()
	if want.RecordedStatus == nil {
		if after.mails != before.mails || said.ID != "" || after.calls != before.calls {
			r.errorf("%d records and %d calls were made, want none", after.mails-before.mails, after.calls-before.calls)
		}
		return
	}
	var got mailRecord
	r.get("/emails/"+said.ID, &got)
	if said.Status != got.Status || got.Status != *want.RecordedStatus {
		r.errorf("answered %s, recorded %s, want %s", said.Status, got.Status, *want.RecordedStatus)
	}
	for _, provider := range []*string{said.Provider, got.Provider} {
		if (provider == nil) != (want.ProviderUsed == nil) || provider != nil && *provider != *want.ProviderUsed {
			r.errorf("provider %v, want %v", show(provider), show(want.ProviderUsed))
		}
	}
	if g, w := fmt.Sprint(got.Attempts), fmt.Sprint(want.Attempts); g != w {
		r.errorf("attempts %s, want %s", g, w)
	}
	if got.PossibleDuplicate != want.PossibleDuplicate || got.DuplicateConfirmed != want.DuplicateConfirmed {
		r.errorf("possible, confirmed duplicate %v %v, want %v %v", got.PossibleDuplicate, got.DuplicateConfirmed,
			want.PossibleDuplicate, want.DuplicateConfirmed)
	}
	earliest := r.clock.Now().Add(time.Duration(want.NextAttemptMinS * float64(time.Second)))
	if deferred := got.Status == "deferred"; deferred != (got.NextAttemptAt != nil) || deferred && got.NextAttemptAt.Before(earliest) {
		r.errorf("%s, next attempt at %v, want not before %v", got.Status, got.NextAttemptAt, earliest)
	}
	for name, p := range r.providers { // who was called at all got the same id
		for _, c := range p.Calls() {
			if c.OutboxID == got.ID && c.HeaderID != got.HeaderID {
				r.errorf("%s got Message-ID %q, the record has %q", name, c.HeaderID, got.HeaderID)
			}
		}
	}
}

func show(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (r *run) checkProviders(want *expected, before, after snapshot) {
	r.t.Helper()
	for name, change := range want.Breaker {
		was, is := before.providers[name], after.providers[name]
		good := map[string]bool{
			"success":    is.Failures == 0 && is.Breaker == "closed",
			"unchanged":  is.Failures == was.Failures && (is.Breaker == was.Breaker || was.Breaker == "open" && is.Breaker == "half-open"),
			"+1 failure": is.Failures == was.Failures+1 && is.Breaker == "closed",
			"opened":     was.Breaker == "closed" && is.Breaker == "open",
			"closed":     was.Breaker != "closed" && is.Breaker == "closed" && is.Failures == 0,
		}
		if ok, known := good[change]; !known || !ok {
			r.errorf("breaker of %s: from %v to %v, want %q", name, was, is, change)
		}
	}
	for name, state := range want.BreakerState {
		if got := after.providers[name].Breaker; got != state {
			r.errorf("breaker of %s is %s, want %s", name, got, state)
		}
	}
	for name, hold := range want.Hold {
		p := after.providers[name]
		if p.HeldUntil == nil || p.HoldReason == nil || *p.HoldReason != hold.Kind ||
			p.HeldUntil.Before(r.clock.Now().Add(time.Duration(hold.MinS*float64(time.Second)))) {
			r.errorf("%s held until %v for %v, want at least %v s for %s", name, p.HeldUntil, show(p.HoldReason), hold.MinS, hold.Kind)
		}
	}
}

// waitOf reads 2200, "open_ms+100" or "first_retry_ms+500".
func (r *run) waitOf(raw json.RawMessage) time.Duration {
	r.t.Helper()
	var ms int64
	if json.Unmarshal(raw, &ms) == nil {
		return time.Duration(ms) * time.Millisecond
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		r.t.Fatal(err)
	}
	name, plus, _ := strings.Cut(text, "+")
	more, err := strconv.Atoi(plus)
	open, _ := r.settings["breaker"].(map[string]any)["open_ms"].(float64)
	base, known := map[string]time.Duration{"open_ms": time.Duration(open) * time.Millisecond, "first_retry_ms": firstRetry}[name]
	if err != nil || !known {
		r.t.Fatalf("wait_ms_before %q", text)
	}
	return base + time.Duration(more)*time.Millisecond
}
