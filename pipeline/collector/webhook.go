package collector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// Webhooks are the keys that providers sign their webhooks with. An account that
// has a key of its own in the store is signed to with that one.
type Webhooks struct {
	MailgunKey  string // "": only accounts with a key of their own
	MandrillKey string
	// PublicURL is what the outside calls us by: Mandrill signs it with the path
	// of the webhook behind it. One that has a path of /webhooks/mandrill… is
	// taken as a whole. "": what the request's Host header says.
	PublicURL string
	// Report, where it is set, hears of each event that is durable and was signed
	// with the installation's key, as the provider wrote it. Where it fails, the
	// provider sends the event again, and it is heard again.
	Report func(ctx context.Context, provider string, event []byte) error
}

const (
	mailgunPath  = "/webhooks/mailgun/{account}"
	mandrillPath = "/webhooks/mandrill/{account}"
)

// webhookEndpoints check signatures instead of keys: --no-auth changes nothing.
func (c *Collector) webhookEndpoints() []api.Endpoint {
	if c.cfg.Store == nil {
		return nil
	}
	return []api.Endpoint{
		{Method: "POST", Path: mailgunPath, Access: api.Signed, Form: api.MessageForm, Timeout: -1, Handle: c.mailgun},
		{Method: "POST", Path: mandrillPath, Access: api.Signed, Form: api.MessageForm, Timeout: -1, Handle: c.mandrill},
		{Method: "HEAD", Path: mandrillPath, Access: api.Signed, Form: api.MessageForm, Handle: func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusOK) // Mandrill asks before it takes a webhook
			return nil
		}},
	}
}

// webhookResult is what a webhook is answered with 200.
type webhookResult struct {
	Accepted int `json:"accepted"` // events that are durable, repeats among them
	Ignored  int `json:"ignored"`  // what reports no e-mail event
	Refused  int `json:"refused"`  // events that are no good: they are in the list of errors
}

// webhook takes the events of one request.
type webhook struct {
	c        *Collector
	kind     string // of the events
	endpoint string // as errors name it
	account  string
	received time.Time
	events   []event
	result   webhookResult
	ours     bool     // signed with the installation's key
	taken    [][]byte // events as they came, for Report
}

func (c *Collector) newWebhook(r *http.Request, kind, endpoint string) *webhook {
	return &webhook{c: c, kind: kind, endpoint: endpoint, account: mux.Vars(r)["account"], received: c.cfg.Now().Truncate(time.Millisecond)}
}

// webhookLoad is the memory of a webhook's body. It is read before its signature
// can be checked, so that anybody may fill it: it is kept apart from that of
// callers with keys.
func (c *Collector) webhookLoad() *load {
	l := &load{budget: &c.unsigned}
	l.users.Store(1)
	return l
}

// webhookBody reads what was posted, within the memory that l charges.
func (c *Collector) webhookBody(w http.ResponseWriter, r *http.Request, l *load, limit int) ([]byte, error) {
	if c.cfg.Behind() {
		return nil, unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	body, p := readUpTo(w, r, l, limit)
	if p != nil {
		return nil, p
	}
	return body, nil
}

// secret is the key of the account with a provider, or the installation's.
func (h *webhook) secret(ctx context.Context, provider, installation string) (string, error) {
	own, err := h.c.cfg.Store.WebhookSecret(ctx, h.account, provider)
	if err != nil {
		h.c.cfg.Log.Warn("webhook", "error", err)
		return "", unavailable(time.Second, "the store does not answer; send again")
	}
	h.ours = own == ""
	return cmp.Or(own, installation), nil
}

// add makes an event of a payload. One that the worker would refuse is kept as
// an error instead; why is then not nil.
func (h *webhook) add(payload []byte) (why *schemas.Rejection) {
	sum := sha256.Sum256(payload)
	own := schemas.Identity{ID: hex.EncodeToString(sum[:16]), Source: h.endpoint, Account: h.account, Time: h.received}
	value := marshal(schemas.NewCloudEvent(own, h.kind, json.RawMessage(payload)))
	d := h.c.decoders.Get().(*decoder)
	defer h.c.decoders.Put(d)
	e := h.c.check(d, value, api.Caller{Role: store.RoleIngest, Account: h.account}, h.received)
	if e.rejected == nil {
		h.events = append(h.events, e)
		h.taken = append(h.taken, payload)
		h.result.Accepted++
		return nil
	}
	h.refuse(e.rejected, payload)
	return e.rejected
}

// refuse keeps what a signed request brought and cannot be counted: providers do
// not send it again.
func (h *webhook) refuse(why *schemas.Rejection, input []byte) {
	h.c.metrics.rejected(why.Reason)
	if len(input) > maxRefused {
		input = input[:maxRefused]
	}
	refusal := schemas.Refusal{Endpoint: h.endpoint, Reason: why.Reason, Field: why.Field, Message: why.Message}
	account := h.account
	if _, bad := schemas.Account(&schemas.Event{Subject: []byte(account)}, nil); bad != nil {
		account = schemas.UnknownAccount
	}
	h.events = append(h.events, event{topic: schemas.Usage, key: []byte(account), value: input,
		headers: []kafka.Header{{Key: schemas.RefusalHeader, Value: refusal.Text()}}})
	h.result.Refused++
}

// store makes everything durable and reports it; else the provider sends it all
// again, which is recognised.
func (h *webhook) store(ctx context.Context) error {
	if len(h.events) == 0 {
		return nil
	}
	if err := h.c.produce(ctx, h.events); err != nil {
		return err
	}
	report := h.c.cfg.Webhooks.Report
	if report == nil || !h.ours {
		return nil
	}
	for _, event := range h.taken {
		if err := report(ctx, strings.TrimSuffix(h.kind, ".webhook"), event); err != nil {
			h.c.cfg.Log.Warn("report of a webhook", "endpoint", h.endpoint, "error", err)
			return unavailable(time.Second, "the store does not answer; send again")
		}
	}
	return nil
}

// tokenLocks let one request at a time use a one-time token.
type tokenLocks [256]sync.Mutex

func (l *tokenLocks) of(token [sha256.Size]byte) *sync.Mutex { return &l[token[0]] }
