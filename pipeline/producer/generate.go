package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Shape of the load; performance.md's figures name theirs.
type Shape string

const (
	// Dense is live traffic: all times within one hour from Start, few accounts,
	// routes and statuses, the low numbers most of the time.
	Dense Shape = "dense"
	// Wide is backfill: 30 days from Start, accounts, routes and statuses alike
	// and independent. Days ascend in the order of the log, times within a day do
	// not, so that a batch spans few dates and hardly any series twice.
	Wide Shape = "wide"
	// Live is Dense with the time of record i = Start + i/Rate: with Start = now
	// an event's time is when it is sent.
	Live Shape = "live"
)

const (
	wideDays     = 30
	wideOpenDay  = 100_000 // records a day where their number has no limit
	duplicateLag = 100_000 // a duplicate repeats one of so many records before it
	maxAccounts  = 1_000_000
	maxRoutes    = 100_000
	maxShare     = 0.9 // of duplicates and malformed records together
)

// ErrGenerate: a GenerateConfig that makes no sense.
var ErrGenerate = errors.New("generate options")

// GenerateConfig is the load. What decides the records is all but Now, From and
// BatchRecords; for Wide also Events, for Live also Rate.
type GenerateConfig struct {
	Seed    uint64
	From    int64   // first record
	Events  int64   // behind the last record; 0: until ctx is cancelled
	Rate    float64 // records a second; 0: as fast as they are taken
	Shape   Shape   // default Dense
	Start   time.Time
	Account string // name before the number, default "acct-"

	Accounts int // default 100
	Routes   int // default 40; Wide 60

	ErrorShare     float64 // of good events: api.error on topic errors
	EmailShare     float64 // of good events: email.… on topic emails; the others are api.request on usage
	LateShare      float64 // of good events: their time 1 to 72 h earlier
	DuplicateShare float64 // of records
	MalformedShare float64 // of records; on topic usage, with the account as key

	BatchRecords int // default 5000
	Now          func() time.Time
}

func (c *GenerateConfig) setDefaults() error {
	if c.Shape == "" {
		c.Shape = Dense
	}
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if c.Account == "" {
		c.Account = "acct-"
	}
	if c.Accounts == 0 {
		c.Accounts = 100
	}
	if c.Routes == 0 {
		if c.Routes = 40; c.Shape == Wide {
			c.Routes = 60
		}
	}
	if c.BatchRecords == 0 {
		c.BatchRecords = 5000
	}
	return c.check()
}

func (c *GenerateConfig) check() error {
	for name, share := range map[string]float64{"errors": c.ErrorShare + c.EmailShare, "late": c.LateShare} {
		if !(share >= 0 && share <= 1) || c.ErrorShare < 0 || c.EmailShare < 0 {
			return fmt.Errorf("%w: share of %s is %v, must be from 0 to 1", ErrGenerate, name, share)
		}
	}
	if share := c.DuplicateShare + c.MalformedShare; !(c.DuplicateShare >= 0 && c.MalformedShare >= 0 && share <= maxShare) {
		return fmt.Errorf("%w: shares of duplicates (%v) and malformed records (%v) must not be below 0 nor sum to over %v",
			ErrGenerate, c.DuplicateShare, c.MalformedShare, maxShare)
	}
	switch {
	case c.Shape != Dense && c.Shape != Wide && c.Shape != Live:
		return fmt.Errorf("%w: shape %q, must be %s, %s or %s", ErrGenerate, c.Shape, Dense, Wide, Live)
	case c.Shape == Live && !(c.Rate > 0):
		return fmt.Errorf("%w: shape %s needs a rate", ErrGenerate, Live)
	case !(c.Rate >= 0):
		return fmt.Errorf("%w: rate is %v, must be 0 (no limit) or more", ErrGenerate, c.Rate)
	case c.Accounts < 1 || c.Accounts > maxAccounts || c.Routes < 1 || c.Routes > maxRoutes:
		return fmt.Errorf("%w: %d accounts and %d routes, must be 1 to %d and 1 to %d", ErrGenerate, c.Accounts, c.Routes, maxAccounts, maxRoutes)
	case c.From < 0 || c.Events < 0 || c.Events > 0 && c.From > c.Events:
		return fmt.Errorf("%w: records %d to %d", ErrGenerate, c.From, c.Events)
	case c.BatchRecords < 1 || c.BatchRecords > 1_000_000:
		return fmt.Errorf("%w: batches of %d records, must be 1 to 1000000", ErrGenerate, c.BatchRecords)
	}
	return nil
}

// Generate makes records [From, Events) and hands them to send, batch after
// batch. Their memory is send's until it returns nil, and reused then; a
// func(r []kafka.Message) error { return Send(ctx, w, r) } does. The totals are
// of the batches that send returned nil for, also beside an error; a run that
// goes on has their Next as From. Cancelling ctx is the end of a load without
// one, and an error else.
func Generate(ctx context.Context, cfg GenerateConfig, send func([]kafka.Message) error) (*Expected, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	g, total := newSynth(&cfg), newTally(&cfg)
	size := int64(cfg.BatchRecords)
	if cfg.Rate > 0 {
		size = min(size, max(1, int64(cfg.Rate/50)))
	}
	began := cfg.Now()
	var arena []byte
	var batch []kafka.Message
	for next := cfg.From; cfg.Events == 0 || next < cfg.Events; {
		end := next + size
		if cfg.Events > 0 {
			end = min(end, cfg.Events)
		}
		if err := pace(ctx, &cfg, began, end-cfg.From); err != nil {
			if cfg.Events == 0 {
				err = nil
			}
			return total.expected(), err
		}
		arena, batch = arena[:0], batch[:0]
		now := cfg.Now()
		for i := next; i < end; i++ {
			var m kafka.Message
			arena, m = g.record(arena, i)
			m.Time = now
			batch = append(batch, m)
		}
		if err := send(batch); err != nil {
			return total.expected(), fmt.Errorf("generate records %d to %d: %w", next, end, err)
		}
		for ; next < end; next++ {
			total.add(g, next)
		}
	}
	return total.expected(), nil
}

// pace waits until the first n records of this run are due.
func pace(ctx context.Context, cfg *GenerateConfig, began time.Time, n int64) error {
	if cfg.Rate > 0 {
		due := began.Add(time.Duration(float64(n) / cfg.Rate * float64(time.Second)))
		if d := due.Sub(cfg.Now()); d > 0 {
			return wait(ctx, d)
		}
	}
	return ctx.Err()
}

// Expect is what Generate of the same configuration would return, without
// sending; Events must be set.
func Expect(cfg GenerateConfig) (*Expected, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if cfg.Events == 0 {
		return nil, fmt.Errorf("%w: the totals of a load without end", ErrGenerate)
	}
	g, total := newSynth(&cfg), newTally(&cfg)
	for i := cfg.From; i < cfg.Events; i++ {
		total.add(g, i)
	}
	return total.expected(), nil
}
