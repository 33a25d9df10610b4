package query

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/query/engine"
	"tallybook/query/table"
	"tallybook/schemas"
	"tallybook/store"
)

// maxListFiles bounds the archive files that one list of events reads, and
// listTime how long it goes on opening them: a filter that hardly an event
// matches would else read all of the archive.
const (
	maxListFiles = 1000
	listTime     = 5 * time.Second
	mostEvents   = 100
)

// searchedHeader says how far back a list is complete: events before it were
// not looked at.
const searchedHeader = "X-Events-From"

// listedEvent is an event as it was sent, as far as the archive has it; in the
// form that open-source metering gives it.
type listedEvent struct {
	Event           json.RawMessage `json:"event"`
	ValidationError string          `json:"validationError,omitempty"`
	IngestedAt      time.Time       `json:"ingestedAt"` // log clock
	StoredAt        time.Time       `json:"storedAt"`   // the same: one checkpoint stores what it reads

	time int64
	id   string
	row  cloudEvent
}

// listEvents answers GET /api/v1/events: the latest events of any type, newest
// first, those that could not be processed among them.
func (q *Server) listEvents(w http.ResponseWriter, r *http.Request) error {
	list, err := newLatestEvents(r, q.cfg.Now())
	if err != nil {
		return err
	}
	err = engine.Settled(r.Context(), func() error { return q.fill(r.Context(), list) })
	if err != nil {
		return err
	}
	w.Header().Set("X-Data-Through", engine.Through(list.positions))
	w.Header().Set("X-Data-Source", "archive")
	if list.searched != math.MinInt64 {
		w.Header().Set(searchedHeader, schemas.FormatTime(list.searched))
	}
	if table.FormatOf(r.Header.Get("Accept")) != table.JSON {
		return list.send(w, r)
	}
	api.WriteJSON(w, http.StatusOK, list.events)
	return nil
}

// latestEvents is a list of the latest events while it is made.
type latestEvents struct {
	accounts  []string // nil: all
	kind      string   // type; "": any
	from, to  int64
	limit     int
	positions []store.Position
	meters    []listMeter
	events    []listedEvent // newest first, up to limit
	searched  int64         // math.MinInt64: back to from
}

func newLatestEvents(r *http.Request, now time.Time) (*latestEvents, error) {
	values, err := parameters(r, "subject", "type", "from", "to", "limit", "clientId")
	if err != nil {
		return nil, err
	}
	list := &latestEvents{kind: values.Get("type"), from: oldestEvent, to: math.MaxInt64}
	if list.limit, err = limitOf(values, mostEvents, mostEvents); err != nil {
		return nil, err
	}
	caller := api.CallerOf(r.Context())
	list.accounts = caller.Accounts()
	if subject := values.Get("subject"); subject != "" {
		if list.accounts != nil && subject != caller.Account {
			return nil, api.Forbidden("subject may only be the account that the key or X-Account-ID names")
		}
		list.accounts = []string{subject}
	}
	for _, edge := range []struct {
		name string
		at   *int64
	}{{"from", &list.from}, {"to", &list.to}} {
		if !values.Has(edge.name) {
			continue
		}
		micros, ok := schemas.ParseTime([]byte(strings.Replace(values.Get(edge.name), " ", "+", 1)))
		if !ok {
			return nil, api.Invalid(edge.name, "%s must be a time of RFC 3339, such as %s", edge.name, now.UTC().Format(time.RFC3339))
		}
		*edge.at = micros
	}
	if list.from >= list.to {
		return nil, api.Invalid("from", "from must be before to")
	}
	return list, nil
}

// fill reads files from the newest on until no older one can have an event that
// is new enough for the list.
func (q *Server) fill(ctx context.Context, list *latestEvents) error {
	list.events, list.searched = []listedEvent{}, math.MinInt64
	var files []store.ArchiveFile
	err := q.cfg.Store.View(ctx, func(v *store.View) (err error) {
		if list.positions, err = v.Positions(); err != nil {
			return err
		}
		meters, err := v.Meters()
		if err != nil {
			return err
		}
		list.meters = listMetersOf(meters)
		for _, dataset := range schemas.Topics {
			found, err := v.NewestFiles(dataset, list.from, list.to, q.listFiles+1)
			if err != nil {
				return err
			}
			files = append(files, found...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(files, func(a, b store.ArchiveFile) int { return cmp.Compare(b.MaxTime, a.MaxTime) })
	until := q.cfg.Now().Add(listTime)
	for i := range files {
		f := &files[i]
		if list.full() && f.MaxTime < list.oldest() {
			break
		}
		if i == q.listFiles || q.cfg.Now().After(until) {
			list.searched = f.MaxTime + 1
			break
		}
		if err := list.read(ctx, q.cfg.Archive, f); err != nil {
			return err
		}
	}
	list.events = slices.DeleteFunc(list.events, func(e listedEvent) bool { return e.time < list.searched })
	for i := range list.events {
		list.events[i].Event = list.events[i].row.appendJSON(nil)
	}
	return nil
}

func (l *latestEvents) full() bool    { return len(l.events) == l.limit }
func (l *latestEvents) oldest() int64 { return l.events[len(l.events)-1].time }

// read takes a file's events into the list: where it is or, when its checkpoint
// is not yet published, where it was staged.
func (l *latestEvents) read(ctx context.Context, a *archive.Archive, f *store.ArchiveFile) error {
	return archive.AnyPlace(f.Name, f.Staged, func(name string) error { return l.readAt(ctx, a, name, f) })
}

// readAt reads the file under a name. Only times and what decides about a row are
// read of a large file at first: mostly few of its events are wanted.
func (l *latestEvents) readAt(ctx context.Context, a *archive.Archive, name string, f *store.ArchiveFile) error {
	from := l.from
	if l.full() {
		from = max(from, l.oldest())
	}
	const large = 4096 // rows
	if f.Rows > large {
		newest, err := l.newest(ctx, a, name, from)
		if err != nil {
			return err
		}
		from = max(from, newest)
	}
	return a.Scan(ctx, name, archive.ScanQuery{Columns: archive.Columns(f.Dataset), From: from, To: l.to, Accounts: l.accounts},
		func(rows *archive.Rows) error {
			for i := range rows.Len() {
				if l.wants(rows, i) && (!l.full() || rows.Time[i] > l.oldest()) {
					l.insert(l.eventOf(rows, i))
				}
			}
			return nil
		})
}

// newest is the time of the last of the file's events that can be in the list.
func (l *latestEvents) newest(ctx context.Context, a *archive.Archive, name string, from int64) (int64, error) {
	var times []int64
	columns := []string{"time", "type", "sign", "target_id"}
	err := a.Scan(ctx, name, archive.ScanQuery{Columns: columns, From: from, To: l.to, Accounts: l.accounts}, func(rows *archive.Rows) error {
		for i := range rows.Len() {
			if l.wants(rows, i) {
				times = append(times, rows.Time[i])
			}
		}
		return nil
	})
	if err != nil || len(times) < l.limit {
		return from, err
	}
	slices.Sort(times)
	return times[len(times)-l.limit], nil
}

// wants leaves out the rows of corrections: the list has events as they were sent.
func (l *latestEvents) wants(rows *archive.Rows, i int) bool {
	if len(rows.Sign) > 0 && rows.Sign[i] < 0 || len(rows.TargetID) > 0 && rows.TargetID[i] != 0 {
		return false
	}
	return l.kind == "" || rows.String(rows.Type[i]) == l.kind
}

func (l *latestEvents) insert(e listedEvent) {
	at, _ := slices.BinarySearchFunc(l.events, e, func(a, b listedEvent) int {
		return cmp.Or(cmp.Compare(b.time, a.time), strings.Compare(a.id, b.id))
	})
	if l.full() {
		l.events = l.events[:len(l.events)-1]
	}
	l.events = slices.Insert(l.events, min(at, len(l.events)), e)
}

// send is the list as CSV or Arrow.
func (l *latestEvents) send(w http.ResponseWriter, r *http.Request) error {
	t := table.Table{Columns: []table.Column{{Name: "id"}, {Name: "source"}, {Name: "type"}, {Name: "subject"},
		{Name: "time", Type: table.Time}, {Name: "data"}, {Name: "validation_error"}, {Name: "ingested_at", Type: table.Time}}}
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for i := range l.events {
			e := &l.events[i]
			why := table.Null
			if e.ValidationError != "" {
				why = table.String(e.ValidationError)
			}
			err := row(table.String(e.row.id), table.String(e.row.source), table.String(e.row.kind), table.String(e.row.subject),
				table.Micros(e.time), table.String(string(e.row.data)), why, table.Micros(e.IngestedAt.UnixMicro()))
			if err != nil {
				return err
			}
		}
		return nil
	})
}
