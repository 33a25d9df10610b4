package query

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) pipelineEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/pipeline", Access: api.Admin, Form: api.PlainForm, Handle: q.pipeline},
		{Method: "GET", Path: "/v1/pipeline/hours", Access: api.Admin, Form: api.PlainForm, Handle: q.pipelineHours},
		{Method: "GET", Path: "/v1/jobs", Access: api.Admin, Form: api.PlainForm, Handle: q.listJobs},
		{Method: "POST", Path: "/v1/jobs/{job}/run", Access: api.Admin, Form: api.PlainForm, Handle: q.runJob},
	}
}

// partitionView is where a partition stands. What this process cannot know is
// null: the log's end without Kafka, the dedupe window of another's worker.
type partitionView struct {
	Topic         schemas.Topic   `json:"topic"`
	Partition     int32           `json:"partition"`
	Epoch         int64           `json:"epoch"`
	Position      int64           `json:"position"`
	LogEnd        *int64          `json:"logEnd"`
	Lag           *int64          `json:"lag"`
	Clock         *time.Time      `json:"clock"` // null: no record yet
	DedupeSeconds *float64        `json:"dedupeSeconds"`
	DedupeIDs     *float64        `json:"dedupeIds"`
	Checkpoint    *checkpointView `json:"checkpoint"` // the latest
}

type checkpointView struct {
	At          time.Time `json:"at"`
	First       int64     `json:"firstOffset"`
	Next        int64     `json:"nextOffset"`
	countedView           // of its records
}

// countedView is what became of records.
type countedView struct {
	Records   int64 `json:"records"`
	Gaps      int64 `json:"gaps"` // offsets without a record
	Counted   int64 `json:"counted"`
	Duplicate int64 `json:"duplicate"`
	Rejected  int64 `json:"rejected"`
	OtherKey  int64 `json:"otherKey"`
	HandedOn  int64 `json:"handedOn"`
	ExtraRows int64 `json:"extraRows"`
}

func countedViewOf(l *store.Ledger) countedView {
	return countedView{l.Records, l.Gaps, l.Counted, l.Duplicate, l.Rejected, l.OtherKey, l.HandedOn, l.Extra}
}

type importView struct {
	Name       string           `json:"name"`
	Format     string           `json:"format"`
	Account    string           `json:"account"`
	Bytes      int64            `json:"bytes"`
	Read       int64            `json:"read"`
	Counts     map[string]int64 `json:"counts"`
	BegunAt    time.Time        `json:"begunAt"`
	FinishedAt *time.Time       `json:"finishedAt"`
}

// shownImports is how many imports are shown.
const shownImports = 20

func (q *Server) pipeline(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	var positions []store.Position
	var last map[schemas.Partition]store.LedgerRow
	err := q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		if positions, err = v.Positions(); err == nil {
			last, err = v.LastCheckpoints(positions)
		}
		return err
	})
	if err != nil {
		return err
	}
	imports, err := q.cfg.Store.Imports(r.Context(), shownImports)
	if err != nil {
		return err
	}
	ends, windows := q.logEnds(r.Context()), q.dedupeWindows()
	partitions := make([]partitionView, len(positions))
	for i := range positions {
		p := &positions[i]
		v := partitionView{Topic: p.Topic, Partition: p.ID, Epoch: p.Epoch, Position: p.Next}
		if end, ok := ends[p.Partition]; ok {
			lag := max(end-p.Next, 0)
			v.LogEnd, v.Lag = &end, &lag
		}
		if p.Clock > 0 {
			clock := time.UnixMicro(p.Clock).UTC()
			v.Clock = &clock
		}
		v.DedupeSeconds, v.DedupeIDs = windows[p.Partition].seconds, windows[p.Partition].ids
		if c, ok := last[p.Partition]; ok {
			v.Checkpoint = &checkpointView{c.At, c.First, c.Next, countedViewOf(&c.Ledger)}
		}
		partitions[i] = v
	}
	shown := make([]importView, len(imports))
	for i, m := range imports {
		shown[i] = importView{m.Name, m.Format, m.Account, m.Bytes, m.Offset, m.Counts, m.Begun, nil}
		if !m.Finished.IsZero() {
			shown[i].FinishedAt = &imports[i].Finished
		}
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"now": q.cfg.Now().UTC(), "partitions": partitions, "imports": shown})
	return nil
}

// logEndsTime is what Kafka may take; without an answer the ends are unknown.
const logEndsTime = 3 * time.Second

func (q *Server) logEnds(ctx context.Context) map[schemas.Partition]int64 {
	if q.cfg.LogEnds == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, logEndsTime)
	defer cancel()
	ends, err := q.cfg.LogEnds(ctx)
	if err != nil {
		q.cfg.Log.Warn("ends of the log", "err", err)
	}
	return ends
}

type dedupeWindow struct{ seconds, ids *float64 }

// dedupeWindows are those of this process's workers, as /metrics has them.
func (q *Server) dedupeWindows() map[schemas.Partition]dedupeWindow {
	found := map[schemas.Partition]dedupeWindow{}
	families, _ := q.cfg.Registry.Gather() // what could be gathered
	for _, family := range families {
		name := family.GetName()
		if name != "tallybook_dedupe_window_seconds" && name != "tallybook_dedupe_window_ids" {
			continue
		}
		for _, m := range family.GetMetric() {
			var tp schemas.Partition
			for _, label := range m.GetLabel() {
				switch label.GetName() {
				case "topic":
					tp.Topic = schemas.Topic(label.GetValue())
				case "partition":
					id, _ := strconv.ParseInt(label.GetValue(), 10, 32)
					tp.ID = int32(id)
				}
			}
			w, value := found[tp], m.GetGauge().GetValue()
			if strings.HasSuffix(name, "_ids") {
				w.ids = &value
			} else {
				w.seconds = &value
			}
			found[tp] = w
		}
	}
	return found
}

// maxPipelineHours bounds the hours of one answer: a row of the ledger a second
// and partition is what is read for it.
const maxPipelineHours = 48

type pipelineHour struct {
	Topic       schemas.Topic `json:"topic"`
	Start       time.Time     `json:"start"`
	Checkpoints int64         `json:"checkpoints"`
	countedView
}

// pipelineHours says what became of the records of each topic and hour, by when
// their checkpoints were closed.
func (q *Server) pipelineHours(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "hours")
	if err != nil {
		return err
	}
	n := 24
	if text := values.Get("hours"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxPipelineHours {
			return api.Invalid("hours", "hours must be a whole number from 1 to %d", maxPipelineHours)
		}
	}
	from := q.cfg.Now().UTC().Truncate(time.Hour).Add(-time.Duration(n-1) * time.Hour)
	sums, err := q.ledgerHours(r.Context(), from)
	if err != nil {
		return err
	}
	hours := make([]pipelineHour, len(sums))
	for i, h := range sums {
		hours[i] = pipelineHour{h.Topic, h.Start, h.Checkpoints, countedViewOf(&h.Ledger)}
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"from": from, "hours": hours})
	return nil
}

// ledgerHours adds up partitions, newest hours first.
func (q *Server) ledgerHours(ctx context.Context, from time.Time) ([]store.LedgerHour, error) {
	var all []store.LedgerHour
	err := q.cfg.Store.View(ctx, func(v *store.View) error {
		positions, err := v.Positions()
		for i := 0; err == nil && i < len(positions); i++ {
			var hours []store.LedgerHour
			hours, err = v.LedgerHours(&positions[i], from)
			for _, h := range hours {
				all = addHour(all, h)
			}
		}
		return err
	})
	slices.SortFunc(all, func(a, b store.LedgerHour) int {
		if c := b.Start.Compare(a.Start); c != 0 {
			return c
		}
		return strings.Compare(string(a.Topic), string(b.Topic))
	})
	return all, err
}

func addHour(all []store.LedgerHour, h store.LedgerHour) []store.LedgerHour {
	for i := range all {
		if t := &all[i]; t.Topic == h.Topic && t.Start.Equal(h.Start) {
			t.Checkpoints += h.Checkpoints
			t.Records, t.Gaps, t.Counted, t.Duplicate = t.Records+h.Records, t.Gaps+h.Gaps, t.Counted+h.Counted, t.Duplicate+h.Duplicate
			t.Rejected, t.OtherKey, t.HandedOn, t.Extra = t.Rejected+h.Rejected, t.OtherKey+h.OtherKey, t.HandedOn+h.HandedOn, t.Extra+h.Extra
			return all
		}
	}
	return append(all, h)
}
