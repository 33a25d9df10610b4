package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"
)

// LimitReached is the threshold, in percent, of which every quota tells.
const LimitReached = 100

// QuotaMeter is a subscription's quota, ready to be counted. It is not changed
// once it is made.
type QuotaMeter struct {
	ID           string // what its use is kept under; another period or route is another
	Subscription string
	Customer     string
	Account      string // whose requests it counts; those of others are none of the subscription's
	Route        string // an endpoint; "": all of the API version
	Hard         bool
	Limit        Decimal
	Periods      *QuotaPeriods
	thresholds   []quotaThreshold // rising
}

type quotaThreshold struct {
	percent int
	from    Decimal // the least use that reaches it
}

// NewQuotaMeter takes a quota that Check let pass.
func NewQuotaMeter(q *Quota, subscription string, zone *time.Location) (*QuotaMeter, error) {
	limit, err := ParseDecimal([]byte(q.Limit))
	if err != nil {
		return nil, fmt.Errorf("limit %q: %w", q.Limit, err)
	}
	periods, err := NewQuotaPeriods(q.Period, zone)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(q.Period + "\x00" + q.Route))
	m := &QuotaMeter{ID: subscription + "." + hex.EncodeToString(hash[:4]), Subscription: subscription, Route: q.Route,
		Hard: q.Hard == nil || *q.Hard, Limit: limit, Periods: periods}
	percents := append([]int{LimitReached}, q.Thresholds...)
	slices.Sort(percents)
	for _, percent := range slices.Compact(percents) {
		m.thresholds = append(m.thresholds, quotaThreshold{percent, share(limit, percent)})
	}
	return m, nil
}

// share is the least decimal that is no less than percent of limit, which is
// below 10^12, and above 0.
func share(limit Decimal, percent int) Decimal {
	nanos := nanosOf(limit)
	nanos.Mul(nanos, big.NewInt(int64(percent))).Add(nanos, big.NewInt(99)).Div(nanos, big.NewInt(100))
	if nanos.Sign() == 0 {
		nanos.SetInt64(1)
	}
	units, rest := new(big.Int).DivMod(nanos, big.NewInt(nanosPerUnit), new(big.Int))
	return Decimal{Units: units.Int64(), Nanos: int32(rest.Int64())}
}

// Reached are the thresholds above told, in percent, that a use has reached.
func (m *QuotaMeter) Reached(used Decimal, told int) []int {
	var reached []int
	for _, t := range m.thresholds {
		if t.percent > told && used.Cmp(t.from) >= 0 {
			reached = append(reached, t.percent)
		}
	}
	return reached
}

// Remaining is what may still be used; never below 0.
func (m *QuotaMeter) Remaining(used Decimal) Decimal {
	if used.Cmp(Decimal{}) <= 0 {
		return m.Limit
	}
	left, err := m.Limit.Add(used.Neg())
	if err != nil || left.Cmp(Decimal{}) < 0 {
		return Decimal{}
	}
	return left
}

// Percent is how much of the limit a use is, rounded down; of a limit of 0, 100.
func (m *QuotaMeter) Percent(used Decimal) int64 {
	limit, percent := nanosOf(m.Limit), nanosOf(used)
	if limit.Sign() == 0 {
		return LimitReached
	}
	percent.Mul(percent, big.NewInt(100)).Div(percent, limit)
	if !percent.IsInt64() {
		return math.MaxInt64
	}
	return percent.Int64()
}

func nanosOf(d Decimal) *big.Int {
	n := new(big.Int).Mul(big.NewInt(d.Units), big.NewInt(nanosPerUnit))
	return n.Add(n, big.NewInt(int64(d.Nanos)))
}
