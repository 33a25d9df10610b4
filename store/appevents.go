package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"tallybook/schemas"
)

// AppEvent is an application event as it is now, or, in a checkpoint, what
// becomes of one: Revision 0 is a new event, a greater one a correction of it,
// of which RetractedAt says that it is gone.
type AppEvent struct {
	EventKey
	Session, Category, Name string
	Time                    int64 // µs
	Revision                int64 // 0 until it is corrected
	Partition               int32 // address of the original on the topic usage
	Offset                  int64
	Data                    []byte // a JSON object or array
	RetractedAt             int64  // log clock, µs; 0: it was not

	Seq int64 // in the store; breaks ties of time
}

// AppError says that an error row of a checkpoint is the failed creation of an
// application event.
type AppError struct {
	Error, Account string // the row's
	Time           int64
	Event          string // id that the event would have had, "" where it had none
}

// Shown is the event as answers show it.
func (e *AppEvent) Shown() schemas.AppEventShown {
	return schemas.AppEventShown{ID: e.ID, Session: schemas.AppSessionShown{ID: e.Session}, Category: e.Category, Name: e.Name,
		Data: e.Data, Timestamp: schemas.FormatTime(e.Time), Revision: e.Revision, Account: e.Account, Source: e.Source}
}

const appColumns = `account, source, id, session, category, name, time, revision, topic_partition, topic_offset, data`

// newAppStatement inserts new events. An id that was forgotten by the dedupe
// window and comes again has its row already, which stays what it is.
func newAppStatement() *bulk {
	return newBulk("app_events", []column{{"account", text}, {"source", text}, {"id", text}, {"session", text}, {"category", text}, {"name", text},
		{"time", integer}, {"revision", integer}, {"topic_partition", integer}, {"topic_offset", integer}, {"data", text}},
		` ON CONFLICT (id, account, source) DO NOTHING`)
}

// writeAppEvents writes new events first: a correction comes behind its event.
func writeAppEvents(ctx context.Context, w *writeTx, c *Checkpoint) error {
	var fresh, changed []*AppEvent
	for i := range c.AppEvents {
		if e := &c.AppEvents[i]; e.Revision == 0 {
			fresh = append(fresh, e)
		} else {
			changed = append(changed, e)
		}
	}
	// By key, so that transactions do not wait for each other crosswise. Those
	// that are fresh stay as they came, since seq breaks ties of time.
	slices.SortStableFunc(changed, func(a, b *AppEvent) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Account, b.Account), strings.Compare(a.Source, b.Source))
	})
	err := w.bulk.appEvents.write(ctx, w, len(fresh), func(i int, args []driver.NamedValue) {
		e := fresh[i]
		bind(args, e.Account, e.Source, e.ID, e.Session, e.Category, e.Name, e.Time, e.Revision, int64(e.Partition), e.Offset, string(e.Data))
	})
	if err != nil {
		return err
	}
	for _, e := range changed {
		if err := changeAppEvent(ctx, w, e); err != nil {
			return err
		}
	}
	for i := range c.AppErrors {
		e := &c.AppErrors[i]
		err := w.exec(ctx, `INSERT INTO app_errors (error, account, time, event) VALUES (?, ?, ?, ?)`, e.Error, e.Account, e.Time, e.Event)
		if err != nil {
			return err
		}
	}
	return nil
}

// changeAppEvent follows a correction. The revision was won by the step of the
// corrections; this only keeps an older one from following a newer one.
func changeAppEvent(ctx context.Context, w *writeTx, e *AppEvent) error {
	if e.RetractedAt != 0 {
		return w.exec(ctx, `UPDATE app_events SET revision = ?, retracted_at = ?
			WHERE account = ? AND id = ? AND source = ? AND revision < ?`,
			e.Revision, e.RetractedAt, e.Account, e.ID, e.Source, e.Revision)
	}
	return w.exec(ctx, `UPDATE app_events SET revision = ?, session = ?, category = ?, name = ?, data = ?
		WHERE account = ? AND id = ? AND source = ? AND revision < ?`,
		e.Revision, e.Session, e.Category, e.Name, string(e.Data), e.Account, e.ID, e.Source, e.Revision)
}

func scanAppEvent(row scanner) (AppEvent, error) {
	var e AppEvent
	var data string
	var retracted sql.NullInt64
	err := row.Scan(&e.Account, &e.Source, &e.ID, &e.Session, &e.Category, &e.Name, &e.Time, &e.Revision,
		&e.Partition, &e.Offset, &data, &retracted, &e.Seq)
	e.Data, e.RetractedAt = []byte(data), retracted.Int64
	return e, err
}

// AppEventFilter narrows AppEvents; zero fields do not, but for From and To.
type AppEventFilter struct {
	Account, Session, Category, Name string
	From, To                         int64 // event time in µs, both included
	After                            *AppCursor
	Limit                            int
}

// AppCursor is the event behind which a list goes on.
type AppCursor struct{ Time, Seq int64 }

// AppEvents are the events that were not retracted, newest event time first.
func (v *View) AppEvents(f AppEventFilter) ([]AppEvent, error) {
	where := filter{}
	where.add(`retracted_at IS NULL`)
	for _, is := range [][2]string{{`account = ?`, f.Account}, {`session = ?`, f.Session}, {`category = ?`, f.Category}, {`name = ?`, f.Name}} {
		if is[1] != "" {
			where.add(is[0], is[1])
		}
	}
	if f.From != math.MinInt64 {
		where.add(`time >= ?`, f.From)
	}
	if f.After != nil {
		// The first condition is what an index is entered by.
		where.add(`time <= ? AND (time < ? OR seq < ?)`, f.After.Time, f.After.Time, f.After.Seq)
	} else if f.To != math.MaxInt64 {
		where.add(`time <= ?`, f.To)
	}
	query := `SELECT ` + appColumns + `, retracted_at, seq FROM app_events` + where.sql() + ` ORDER BY time DESC, seq DESC` + where.limit(f.Limit)
	return collect(v, scanAppEvent, query, where.args...)
}

// ErrSeveral: more than one event has the id.
var ErrSeveral = errors.New("several events have the id")

// AppEvent is the event of an id, also where it was retracted. Accounts and
// sources choose ids as they like; account and source "": any. Of several, that
// of POST /events/ is meant; ErrSeveral where that does not tell either.
func (v *View) AppEvent(account, source, id string) (AppEvent, error) {
	found, err := v.appEventsByID(account, source, id)
	if err != nil || len(found) == 1 {
		return append(found, AppEvent{})[0], err
	}
	if len(found) == 0 {
		return AppEvent{}, ErrNotFound
	}
	own := slices.DeleteFunc(found, func(e AppEvent) bool { return e.Source != schemas.AppSource })
	if len(own) != 1 {
		return AppEvent{}, ErrSeveral
	}
	return own[0], nil
}

func (v *View) appEventsByID(account, source, id string) ([]AppEvent, error) {
	const most = 100 // that many accounts or sources with one id are several in any case
	where := filter{}
	where.add(`id = ?`, id)
	if account != "" {
		where.add(`account = ?`, account)
	}
	if source != "" {
		where.add(`source = ?`, source)
	}
	return collect(v, scanAppEvent, `SELECT `+appColumns+`, retracted_at, seq FROM app_events`+where.sql()+
		` ORDER BY account, source`+where.limit(most), where.args...)
}

// AppErrorFilter narrows AppErrors; zero fields do not, but for From and To.
type AppErrorFilter struct {
	Account  string
	Event    string // id that the event would have had
	From, To int64  // log clock in µs, both included
	After    *ListCursor
	Limit    int
}

// AppErrors are the errors that are failed creations of application events,
// newest first.
func (v *View) AppErrors(f AppErrorFilter) ([]ErrorRow, error) {
	where := filter{}
	if f.Account != "" {
		where.add(`a.account = ?`, f.Account)
	}
	if f.Event != "" {
		where.add(`a.event = ?`, f.Event)
	}
	if f.From != math.MinInt64 {
		where.add(`a.time >= ?`, f.From)
	}
	if f.To != math.MaxInt64 {
		where.add(`a.time <= ?`, f.To)
	}
	where.behind(f.After, `a.time`, `a.error`)
	ids, err := collect(v, scanOne[string], `SELECT a.error FROM app_errors a`+where.sql()+
		` ORDER BY a.time DESC, a.error DESC`+where.limit(f.Limit), where.args...)
	if err != nil {
		return nil, fmt.Errorf("list failed creations: %w", err)
	}
	return v.appErrors(ids)
}

func (v *View) appErrors(ids []string) ([]ErrorRow, error) {
	rows := make([]ErrorRow, 0, len(ids))
	for _, id := range ids {
		found, err := collect(v, scanError, `SELECT `+errorColumns+` FROM errors WHERE id = ?`, id)
		if err != nil {
			return nil, fmt.Errorf("error %s: %w", id, err)
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

// AppError is one failed creation; ErrNotFound also where it is not the
// account's ("": any).
func (v *View) AppError(account, id string) (ErrorRow, error) {
	ids, err := collect(v, scanOne[string], `SELECT error FROM app_errors WHERE error = ? AND (? = '' OR account = ?)`, id, account, account)
	if err != nil {
		return ErrorRow{}, err
	}
	rows, err := v.appErrors(ids)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return ErrorRow{}, fmt.Errorf("failed creation %s: %w", id, err)
	}
	return rows[0], nil
}

// NewestFiles are the live files of a dataset with events of [from, to), in µs,
// those with the newest events first.
func (v *View) NewestFiles(dataset schemas.Topic, from, to int64, limit int) ([]ArchiveFile, error) {
	return collect(v, scanFile, `SELECT `+fileColumns+` FROM archive_files
		WHERE retired_at IS NULL AND dataset = ? AND max_time >= ? AND min_time < ? ORDER BY max_time DESC, name DESC LIMIT ?`,
		string(dataset), from, to, limit)
}
