package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// Config of an Engine. Store is required.
type Config struct {
	Store   *store.Store
	Archive *archive.Archive // nil: what rollups cannot answer is refused

	MaxGroups   int   // 0: 250,000 groups in one answer, about 100 MB while it is made
	MaxScanRows int64 // 0: 200 million archive rows read for one question
	MaxValues   int   // 0: 5 million different values kept for one question
	MaxAll      int   // 0: four times MaxGroups: groups of all answers that are being made or sent
	Reads       int   // 0: 3 questions read rollups at a time; further ones wait
	Scans       int   // 0: 2 archive scans at a time; further ones wait
	ScanWorkers int   // 0: 2 files at a time in a scan
}

// Engine answers questions. Its methods may be called concurrently.
type Engine struct {
	cfg   Config
	reads chan struct{} // leaves the store's connections to others too, such as who checks keys
	scans chan struct{}
	room  atomic.Int64 // groups that further answers may have
}

// New starts nothing.
func New(cfg Config) *Engine {
	cfg.MaxGroups = orDefault(cfg.MaxGroups, 250_000)
	cfg.MaxScanRows = orDefault(cfg.MaxScanRows, 200_000_000)
	cfg.MaxValues = orDefault(cfg.MaxValues, 5_000_000)
	cfg.ScanWorkers = orDefault(cfg.ScanWorkers, 2)
	e := &Engine{cfg: cfg, reads: make(chan struct{}, orDefault(cfg.Reads, 3)), scans: make(chan struct{}, orDefault(cfg.Scans, 2))}
	e.room.Store(int64(orDefault(cfg.MaxAll, 4*cfg.MaxGroups)))
	return e
}

func orDefault[T int | int64](n, byDefault T) T {
	if n == 0 {
		return byDefault
	}
	return n
}

// Answers are the groups of each question, all of one state of the data.
type Answers struct {
	Groups    [][]*Group // by question; sorted by window, then names
	Positions []store.Position
	Source    string // rollups, archive or rollups+archive
	First     int64  // the first day that events of the questions' topics are of, in µs; 0: there are none
}

// SetHeaders says in X-Data-Through and X-Data-Source what the answers contain.
func (a *Answers) SetHeaders(h http.Header) {
	h.Set("X-Data-Through", Through(a.Positions))
	h.Set("X-Data-Source", a.Source)
}

// view waits for its turn before the time of the store's view runs.
func (e *Engine) view(ctx context.Context, read func(*store.View) error) error {
	select {
	case e.reads <- struct{}{}:
		defer func() { <-e.reads }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return e.cfg.Store.View(ctx, read)
}

// Ask answers questions from one snapshot of the store and the archive files
// that it names. What the caller asked for wrongly or too much of is an
// *api.Failure. The answers count against the memory of all until ctx ends.
func (e *Engine) Ask(ctx context.Context, questions ...*Question) (*Answers, error) {
	for _, q := range questions {
		if err := q.check(); err != nil {
			return nil, err
		}
	}
	held := make([]*store.Held, len(questions))
	for i := range held {
		held[i] = &store.Held{}
	}
	share := &share{engine: e}
	context.AfterFunc(ctx, share.end)
	var a *Answers
	err := Settled(ctx, func() (err error) {
		a, err = e.ask(ctx, share, questions, held)
		for errors.Is(err, store.ErrViewSpent) && ctx.Err() == nil { // the next view reads on
			a, err = e.ask(ctx, share, questions, held)
		}
		return err
	})
	if errors.Is(err, store.ErrTooManyRollups) {
		return nil, tooMuch("the question needs more rollups than fit into memory; ask for a shorter range, or for some accounts")
	}
	return a, err
}

func (e *Engine) ask(ctx context.Context, share *share, questions []*Question, held []*store.Held) (*Answers, error) {
	share.again() // what was made before is made again
	parts := make([]*part, len(questions))
	a := &Answers{}
	var topics []schemas.Topic
	for _, q := range questions {
		if !slices.Contains(topics, q.Family.Topic) {
			topics = append(topics, q.Family.Topic)
		}
	}
	err := e.view(ctx, func(v *store.View) (err error) {
		if a.Positions, err = v.Positions(topics...); err != nil {
			return err
		}
		for i, q := range questions {
			parts[i] = &part{q: q, table: newTable(q, e.cfg.MaxGroups, share), held: held[i]}
			if err := parts[i].read(v); err != nil {
				return err
			}
			if first := parts[i].first; first != 0 && (a.First == 0 || first < a.First) {
				a.First = first
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rollups: %w", err)
	}
	var rollups, scanned bool
	for _, p := range parts {
		if len(p.plan.archive)+len(p.plan.byMetadata) > 0 {
			scanned = true
			if err := e.scan(ctx, p); err != nil {
				return nil, err
			}
		}
		rollups = rollups || len(p.plan.rollups) > 0
		groups, err := p.table.groups()
		if err != nil {
			return nil, err
		}
		a.Groups = append(a.Groups, groups)
	}
	a.Source = "rollups"
	if scanned && rollups {
		a.Source = "rollups+archive"
	} else if scanned {
		a.Source = "archive"
	}
	return a, nil
}
