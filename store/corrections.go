package store

import (
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

// EventKey is an event's identity.
type EventKey struct{ Account, Source, ID string }

// Correction is a correction that a checkpoint applies.
type Correction struct {
	Event    EventKey // what it corrects
	Topic    schemas.Topic
	Revision int64  // the event's revision before, plus 1
	Row      []byte // the archive row in force from now on, as JSON; nil: retracted
	Source   string // the correction's own
	ID       string
	Reason   string
	LogTime  int64 // µs
}

// CorrectedEvent is the state of an event that was corrected.
type CorrectedEvent struct {
	EventKey
	Topic     schemas.Topic
	Revision  int64  // 1 or more
	Retracted bool   // then there is no Row, and no correction applies any more
	Row       []byte // the archive row in force, as JSON
}

const correctedColumns = `e.account, e.source, e.id, e.topic, e.revision, e.row`

func scanCorrected(row scanner) (CorrectedEvent, error) {
	var e CorrectedEvent
	var text *string
	err := row.Scan(&e.Account, &e.Source, &e.ID, &e.Topic, &e.Revision, &text)
	if e.Retracted = text == nil; !e.Retracted {
		e.Row = []byte(*text)
	}
	return e, err
}

// CorrectedEvents are those of the events that were ever corrected.
func (v *View) CorrectedEvents(keys []EventKey) (map[EventKey]CorrectedEvent, error) {
	found := map[EventKey]CorrectedEvent{}
	for chunk := range slices.Chunk(keys, namesPerQuery) {
		args := make([]any, 0, 3*len(chunk))
		for _, k := range chunk {
			args = append(args, k.Account, k.Source, k.ID)
		}
		events, err := collect(v, scanCorrected, `WITH wanted (account, source, id) AS (VALUES `+
			strings.TrimSuffix(strings.Repeat("(?, ?, ?), ", len(chunk)), ", ")+`)
			SELECT `+correctedColumns+` FROM wanted w CROSS JOIN corrected_events e
			WHERE e.account = w.account AND e.source = w.source AND e.id = w.id`, args...)
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
func (s *Store) CorrectionState(ctx context.Context, account, source, id string) (CorrectedEvent, error) {
	key := EventKey{account, source, id}
	var e CorrectedEvent
	err := s.View(ctx, func(v *View) error {
		found, err := v.CorrectedEvents([]EventKey{key})
		if err == nil && len(found) == 0 {
			err = ErrNotFound
		}
		e = found[key]
		return err
	})
	if err != nil {
		return CorrectedEvent{}, fmt.Errorf("corrections of event %s of %s: %w", id, account, err)
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
	return newBulk(8, `INSERT INTO corrections (account, source, id, revision, by_source, by_id, reason, log_time) VALUES `, ``),
		newBulk(6, `INSERT INTO corrected_events (account, source, id, topic, revision, row) VALUES `,
			` ON CONFLICT (account, source, id) DO UPDATE SET revision = excluded.revision, row = excluded.row`)
}

// insertCorrections writes the history of the corrected events, whose key
// refuses a revision that is taken, and then the state that it leaves behind.
func insertCorrections(ctx context.Context, w *writeTx, c *Checkpoint) error {
	all := c.Corrections
	if len(all) == 0 {
		return nil
	}
	err := w.bulk.corrections.write(ctx, w, len(all), func(i int, args []driver.NamedValue) {
		f := &all[i]
		bind(args, f.Event.Account, f.Event.Source, f.Event.ID, f.Revision, f.Source, f.ID, f.Reason, f.LogTime)
	})
	if err != nil {
		if isDataError(err) {
			err = fmt.Errorf("%w: %w", ErrRevisionTaken, err)
		}
		return err
	}
	last := make(map[EventKey]int, len(all)) // one row per event in a statement
	for i := range all {
		last[all[i].Event] = i
	}
	newest := make([]int, 0, len(last))
	for i := range all {
		if last[all[i].Event] == i {
			newest = append(newest, i)
		}
	}
	return w.bulk.corrected.write(ctx, w, len(newest), func(i int, args []driver.NamedValue) {
		f := &all[newest[i]]
		var row any
		if f.Row != nil {
			row = string(f.Row)
		}
		bind(args, f.Event.Account, f.Event.Source, f.Event.ID, string(f.Topic), f.Revision, row)
	})
}

func bind(args []driver.NamedValue, values ...any) {
	for i, v := range values {
		args[i].Value = v
	}
}
