package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallybook/schemas"
)

// ErrRevisionTaken is why a checkpoint is Refused of which another partition
// has meanwhile applied a correction of the same event and revision. Judged
// afresh, the correction is a repeat or follows the other one.
var ErrRevisionTaken = errors.New("another correction of the event has taken the revision")

// EventKey is an event's identity among those of its topic.
type EventKey struct{ Account, Source, ID string }

// Correction is a correction that a checkpoint applies.
type Correction struct {
	Event    EventKey // what it corrects, of the checkpoint's topic
	Revision int64    // the event's revision before, plus 1
	Rows     []byte   // the archive rows in force from now on, as a JSON array; nil: retracted
	Source   string   // the correction's own
	ID       string
	Reason   string
	LogTime  int64 // µs
}

// CorrectedEvent is the state of an event that was corrected.
type CorrectedEvent struct {
	EventKey
	Topic     schemas.Topic
	Revision  int64  // 1 or more
	Retracted bool   // then there are no Rows, and no correction applies any more
	Rows      []byte // the archive rows in force, as a JSON array of their images
}

const correctedColumns = `e.account, e.topic, e.source, e.id, e.revision, e.archive_rows`

func scanCorrected(row scanner) (CorrectedEvent, error) {
	var e CorrectedEvent
	var text *string
	err := row.Scan(&e.Account, &e.Topic, &e.Source, &e.ID, &e.Revision, &text)
	if e.Retracted = text == nil; !e.Retracted {
		e.Rows = []byte(*text)
	}
	return e, err
}

// CorrectedEvents are those of a topic's events that were ever corrected.
func (v *View) CorrectedEvents(topic schemas.Topic, keys []EventKey) (map[EventKey]CorrectedEvent, error) {
	found := map[EventKey]CorrectedEvent{}
	for chunk := range slices.Chunk(keys, namesPerQuery) {
		args := make([]any, 0, 3*len(chunk)+1)
		for _, k := range chunk {
			args = append(args, k.Account, k.Source, k.ID)
		}
		events, err := collect(v, scanCorrected, `WITH wanted (account, source, id) AS (VALUES `+
			strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(chunk)), ", ")+`)
			SELECT `+correctedColumns+` FROM wanted w CROSS JOIN corrected_events e
			WHERE e.account = w.account AND e.topic = ? AND e.source = w.source AND e.id = w.id`, append(args, string(topic))...)
		if err != nil {
			return nil, fmt.Errorf("look up corrected events: %w", err)
		}
		for _, e := range events {
			found[e.EventKey] = e
		}
	}
	return found, nil
}

// CorrectionState is the state of one event; ErrNotFound where no correction of
// it was ever applied: its revision is 0 then, if it exists at all.
func (s *Store) CorrectionState(ctx context.Context, topic schemas.Topic, key EventKey) (CorrectedEvent, error) {
	var e CorrectedEvent
	err := s.View(ctx, func(v *View) error {
		found, err := v.CorrectedEvents(topic, []EventKey{key})
		if err == nil && len(found) == 0 {
			err = ErrNotFound
		}
		e = found[key]
		return err
	})
	if err != nil {
		return CorrectedEvent{}, fmt.Errorf("corrections of event %s of %s: %w", key.ID, key.Account, err)
	}
	return e, nil
}

// AppliedCorrection is the revision that the correction of this identity, its
// own, gave its event; ErrNotFound where it was not applied, or not yet.
func (s *Store) AppliedCorrection(ctx context.Context, account, source, id string) (revision int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT revision FROM corrections WHERE account = ? AND by_source = ? AND by_id = ?
		ORDER BY revision DESC LIMIT 1`, account, source, id).Scan(&revision)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("correction %s of %s: %w", id, account, engineError(err))
	}
	return revision, nil
}

// newCorrectionStatements are the two of insertCorrections.
func newCorrectionStatements() (corrections, events *bulk) {
	event := []column{{"account", text}, {"topic", text}, {"source", text}, {"id", text}, {"revision", integer}}
	return newBulk("corrections", append(slices.Clone(event), column{"by_source", text}, column{"by_id", text}, column{"reason", text}, column{"log_time", integer}), ``),
		newBulk("corrected_events", append(slices.Clone(event), column{"archive_rows", nullText}),
			` ON CONFLICT (account, topic, source, id) DO UPDATE SET revision = excluded.revision, archive_rows = excluded.archive_rows`)
}

// insertCorrections writes the history of the corrected events, whose key
// refuses a revision that is taken, and then the state that it leaves behind.
func insertCorrections(ctx context.Context, w *writeTx, c *Checkpoint) error {
	all := c.Corrections
	if len(all) == 0 {
		return nil
	}
	order := make([]int, len(all)) // by key, so that transactions do not wait for each other crosswise
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &all[a].Event, &all[b].Event
		return cmp.Or(strings.Compare(x.Account, y.Account), strings.Compare(x.Source, y.Source), strings.Compare(x.ID, y.ID))
	})
	err := w.bulk.corrections.write(ctx, w, len(all), func(i int, args []driver.NamedValue) {
		f := &all[order[i]]
		bind(args, f.Event.Account, string(c.From.Topic), f.Event.Source, f.Event.ID, f.Revision, f.Source, f.ID, f.Reason, f.LogTime)
	})
	if err != nil {
		if isTaken(err) {
			err = fmt.Errorf("%w: %w", ErrRevisionTaken, err)
		}
		return err
	}
	last := make(map[EventKey]int, len(all)) // one row per event in a statement
	for i := range all {
		last[all[i].Event] = i
	}
	newest := make([]int, 0, len(last))
	for _, i := range order {
		if last[all[i].Event] == i {
			newest = append(newest, i)
		}
	}
	return w.bulk.corrected.write(ctx, w, len(newest), func(i int, args []driver.NamedValue) {
		f := &all[newest[i]]
		var rows any
		if f.Rows != nil {
			rows = string(f.Rows)
		}
		bind(args, f.Event.Account, string(c.From.Topic), f.Event.Source, f.Event.ID, f.Revision, rows)
	})
}

func bind(args []driver.NamedValue, values ...any) {
	for i, v := range values {
		args[i].Value = v
	}
}
