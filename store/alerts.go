package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallybook/schemas"
)

// Kinds of alerts.
const (
	AlertUnknownKey   = "unknown_key"          // one an hour
	AlertSubscription = "invalid_subscription" // one for each customer, reason and hour
	AlertThreshold    = "quota_threshold"      // one for each quota, period and threshold
	AlertLimit        = "quota_limit"          // the threshold of 100 percent

	AlertInvoiceFinal   = "invoice.finalized"     // one for each invoice
	AlertCreditFinal    = "credit_note.finalized" // one for each credit note
	AlertInvoicePaid    = "invoice.paid"          // one for each time that it is set
	AlertInvoiceOverdue = "invoice.overdue"       // likewise
	AlertInvoiceVoid    = "invoice.voided"
)

// Reasons why a request is of no subscription.
const (
	InactiveSubscription = "inactive_subscription" // there is one, which does not hold at that time
	NoSubscription       = "no_subscription"
	UnknownRoute         = "unknown_route"
)

// digestGrace is how long after its hour a digest waits for what is under way.
const digestGrace = 2 * time.Minute

// DueAlert is a row of the outbox.
type DueAlert struct {
	ID        string // the same for all time: 32 hex digits from kind and key
	Kind, Key string
	Account   string // "": of none
	Customer  string
	Details   json.RawMessage // QuotaAlert, InvoiceAlert, or an object with hour and reason
	Count     int64           // requests, of the two digests
	CreatedAt time.Time
	DueAt     time.Time
	Tries     int
	Mailed    bool
	Posted    bool // to the webhook
}

// QuotaAlert is the details of a threshold or limit.
type QuotaAlert struct {
	Subscription string      `json:"subscription"`
	Route        string      `json:"route,omitempty"` // "": all of the API version
	Percent      int         `json:"percent"`
	Limit        json.Number `json:"limit"`
	Used         json.Number `json:"used"` // when it was reached
	Hard         bool        `json:"hard"`
	PeriodStart  time.Time   `json:"periodStart"`
	PeriodEnd    time.Time   `json:"periodEnd,omitzero"`
}

// DigestAlert is the details of a digest of an hour.
type DigestAlert struct {
	Hour   time.Time `json:"hour"`
	Reason string    `json:"reason,omitempty"`
}

func tellQuota(ctx context.Context, w *writeTx, u *QuotaUse, used schemas.Decimal, percent int, at time.Time) error {
	q := u.Quota
	a := DueAlert{Kind: AlertThreshold, Account: q.Account, Customer: q.Customer, Count: 1, CreatedAt: at, DueAt: at,
		Key: q.ID + "/" + strconv.FormatInt(u.Period.Start.UnixMicro(), 10) + "/" + strconv.Itoa(percent)}
	if percent == schemas.LimitReached {
		a.Kind = AlertLimit
	}
	return putAlert(ctx, w, &a, QuotaAlert{Subscription: q.Subscription, Route: q.Route, Percent: percent,
		Limit: json.Number(q.Limit.String()), Used: json.Number(used.String()), Hard: q.Hard, PeriodStart: u.Period.Start, PeriodEnd: u.Period.End})
}

// InvoiceAlert is the details of what became of a document.
type InvoiceAlert struct {
	ID        string              `json:"id"`
	Kind      schemas.InvoiceKind `json:"kind"`
	Number    string              `json:"number"`
	Month     string              `json:"month"`
	Currency  string              `json:"currency"`
	Total     string              `json:"total"`
	Status    string              `json:"status"`
	Payment   string              `json:"payment,omitempty"`
	CreditFor string              `json:"creditFor,omitempty"`
}

// tellInvoice puts what became of a document into the outbox, with what makes it
// so. again tells one time from the next; "": there is but one.
func (s *Store) tellInvoice(ctx context.Context, w *writeTx, kind string, i *Invoice, again string) error {
	now := s.now()
	a := DueAlert{Kind: kind, Key: i.ID + again, Account: i.Customer.Account, Customer: i.Customer.ID, Count: 1, CreatedAt: now, DueAt: now}
	return putAlert(ctx, w, &a, InvoiceAlert{ID: i.ID, Kind: i.Kind, Number: i.Number, Month: i.Month, Currency: i.Currency, Total: i.Total,
		Status: i.Status, Payment: i.Payment, CreditFor: i.CreditFor})
}

// tellDigest adds to the digest of the hour of at.
func tellDigest(ctx context.Context, w *writeTx, a DueAlert, reason string, at time.Time) error {
	hour := schemas.HourOf(at.UnixMicro())
	a.Key += hour.Time().Format(time.RFC3339)
	a.CreatedAt, a.DueAt = at, (hour + 1).Time().Add(digestGrace)
	return putAlert(ctx, w, &a, DigestAlert{Hour: hour.Time(), Reason: reason})
}

// putAlert adds a row, or its count to that which is there.
func putAlert(ctx context.Context, w *writeTx, a *DueAlert, details any) error {
	text, err := json.Marshal(details)
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(a.Kind + "\x00" + a.Key))
	return w.exec(ctx, `INSERT INTO alerts (id, kind, key, account, customer, details, count, created_at, due_at) VALUES (`+placeholders(9)+`)
		ON CONFLICT (kind, key) DO UPDATE SET count = alerts.count + excluded.count`,
		hex.EncodeToString(hash[:16]), a.Kind, a.Key, a.Account, a.Customer, string(text), a.Count, a.CreatedAt.UnixMicro(), a.DueAt.UnixMicro())
}

// problemsOf are the reasons why requests are of no subscription. The caller
// holds the cache.
func (s *Store) problemsOf(ctx context.Context, w *writeTx, uses []UnsubscribedUse) ([]string, error) {
	reasons := make([]string, len(uses))
	for i, u := range uses {
		u.Requests = 0
		reason, known := s.quotas.problems[u]
		if !known {
			var err error
			if reason, err = subscriptionProblem(ctx, w, u); err != nil {
				return nil, err
			}
			if s.quotas.problems == nil || len(s.quotas.problems) >= maxProblems {
				s.quotas.problems = map[UnsubscribedUse]string{}
			}
			s.quotas.problems[u] = reason
		}
		reasons[i] = reason
	}
	return reasons, nil
}

// tellUnsubscribed counts requests of customers that were of no subscription, in
// the order of the alerts' keys.
func tellUnsubscribed(ctx context.Context, w *writeTx, c *Checkpoint, reasons []string) error {
	due, reasonOf := []DueAlert{}, map[string]string{}
	for i, u := range c.Subscribed.Unsubscribed {
		if reasons[i] == "" {
			continue
		}
		a := DueAlert{Kind: AlertSubscription, Key: u.Customer + "/" + reasons[i] + "/", Account: u.Account, Customer: u.Customer, Count: u.Requests}
		due, reasonOf[a.Key] = append(due, a), reasons[i]
	}
	slices.SortStableFunc(due, func(a, b DueAlert) int { return strings.Compare(a.Key, b.Key) })
	for _, a := range due {
		if err := tellDigest(ctx, w, a, reasonOf[a.Key], c.ClosedAt); err != nil {
			return err
		}
	}
	return nil
}

// subscriptionProblem is why a request is of no subscription; "": it names a
// customer that is not the account's.
func subscriptionProblem(ctx context.Context, w *writeTx, u UnsubscribedUse) (string, error) {
	var customers, routes, subscribed int
	err := w.conn.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM customers WHERE id = ? AND account = ?), COUNT(*),
		COUNT(CASE WHEN EXISTS (SELECT 1 FROM subscriptions s WHERE s.customer = ? AND s.api = r.api AND s.version = r.version) THEN 1 END)
		FROM routes r WHERE r.version = ? AND r.endpoint IN (?, '') AND (? = '' OR r.api = ?)`,
		u.Customer, u.Account, u.Customer, u.Version, u.Endpoint, u.API, u.API).Scan(&customers, &routes, &subscribed)
	switch {
	case err != nil:
		return "", engineError(err)
	case customers == 0:
		return "", nil
	case routes == 0:
		return UnknownRoute, nil
	case subscribed > 0:
		return InactiveSubscription, nil
	}
	return NoSubscription, nil
}

const alertColumns = `id, kind, key, account, customer, details, count, created_at, due_at, tries, mailed_at IS NOT NULL, posted_at IS NOT NULL`

func scanAlert(row scanner) (DueAlert, error) {
	var a DueAlert
	var details string
	var created, due int64
	err := row.Scan(&a.ID, &a.Kind, &a.Key, &a.Account, &a.Customer, &details, &a.Count, &created, &due, &a.Tries, &a.Mailed, &a.Posted)
	a.Details = json.RawMessage(details)
	a.CreatedAt, a.DueAt = time.UnixMicro(created).UTC(), time.UnixMicro(due).UTC()
	return a, err
}

// DueAlerts are alerts of the outbox that are due, the longest due first.
func (s *Store) DueAlerts(ctx context.Context, now time.Time, limit int) ([]DueAlert, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+alertColumns+` FROM alerts WHERE done = 0 AND due_at <= ? ORDER BY due_at LIMIT ?`, now.UnixMicro(), limit)
	list, err := scanAll(rows, err, scanAlert)
	if err != nil {
		return nil, fmt.Errorf("list due alerts: %w", err)
	}
	return list, nil
}

// ClaimAlert takes an attempt at a due alert; the next one is due at next. Of
// several that try at once, one gets it.
func (s *Store) ClaimAlert(ctx context.Context, a *DueAlert, next time.Time) (mine bool, err error) {
	err = s.transactBeside(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, `UPDATE alerts SET due_at = ?, tries = tries + 1 WHERE id = ? AND due_at = ? AND done = 0`,
			next.UnixMicro(), a.ID, a.DueAt.UnixMicro())
		mine = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim alert %s: %w", a.ID, err)
	}
	return mine, nil
}

// AlertStep is what became of an attempt.
type AlertStep struct {
	ID             string
	Mailed, Posted bool // now
	Error          string
	Done           bool // nothing is tried any more
}

// StepAlert writes what became of an attempt.
func (s *Store) StepAlert(ctx context.Context, step AlertStep, now time.Time) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		at := now.UnixMicro()
		return w.exec(ctx, `UPDATE alerts SET mailed_at = CASE WHEN ? THEN COALESCE(mailed_at, CAST(? AS BIGINT)) ELSE mailed_at END,
			posted_at = CASE WHEN ? THEN COALESCE(posted_at, CAST(? AS BIGINT)) ELSE posted_at END, error = ?, done = ? WHERE id = ?`,
			step.Mailed, at, step.Posted, at, step.Error, boolInt(step.Done), step.ID)
	})
	if err != nil {
		return fmt.Errorf("record what became of alert %s: %w", step.ID, err)
	}
	return nil
}
