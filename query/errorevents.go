package query

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

// errorEvent is an error event of an API, in the words of POST /v1/usage.
type errorEvent struct {
	ID          string           `json:"id"`
	Time        time.Time        `json:"time"`
	Account     string           `json:"account"`
	Customer    string           `json:"customer,omitempty"`
	API         string           `json:"apiName"`
	Version     string           `json:"apiversion"`
	Endpoint    string           `json:"endPointName"`
	Method      string           `json:"method,omitempty"`
	ClientIP    string           `json:"clientIPAdress"`
	Status      int32            `json:"httpStatusCode"`
	TookMS      *schemas.Decimal `json:"timeTakenInMilliSeconds"`
	Code        string           `json:"errorCode"`
	Description string           `json:"errorDescription"`

	place eventPlace
}

// eventList reads a page of error events from the archive, newest first, a date
// at a time. Corrected events are shown as they are now, retracted ones not.
type eventList struct {
	params *usageParams
	limit  int
	after  *eventPlace // nil: the first page

	corrected map[correctedKey]*correctedEvent
	page      eventHeap
}

// correctedKey names a corrected event: corrections have its account, id and time.
type correctedKey struct {
	account, id string
	time        int64
}

type correctedEvent struct {
	rows   int64      // sum of signs, without the original
	latest eventPlace // of the rows with sign +1
}

// maxCorrected bounds the corrected events of one date that a page may meet.
const maxCorrected = 1_000_000

var errTooManyCorrected = api.Unavailable(0, "a date of the range has more than %d corrected events; ask for a shorter range", maxCorrected)

func (l *eventList) read(ctx context.Context, cfg *Config) (events []errorEvent, next string, err error) {
	placed := false // what was not found at its place may be staged: look for each
	err = engine.Settled(ctx, func() (err error) {
		events, next, err = l.try(ctx, cfg, placed)
		placed = true
		return err
	})
	return events, next, err
}

func (l *eventList) try(ctx context.Context, cfg *Config, placed bool) (events []errorEvent, next string, err error) {
	to := l.params.to.UnixMicro()
	if l.after != nil {
		to = min(to, l.after.time+1)
	}
	byDay := map[schemas.Day][]*store.ArchiveFile{}
	err = cfg.Store.View(ctx, func(v *store.View) error {
		files, err := v.Files(store.FileFilter{Dataset: schemas.Errors, From: l.params.from.UnixMicro(), To: to})
		for i := range files {
			byDay[files[i].Day] = append(byDay[files[i].Day], &files[i])
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	days := make([]schemas.Day, 0, len(byDay))
	for day := range byDay {
		days = append(days, day)
	}
	slices.Sort(days)
	slices.Reverse(days)
	l.page = nil
	scan := archive.ScanQuery{From: l.params.from.UnixMicro(), To: to, Accounts: l.params.accounts, Workers: 2}
	for _, day := range days {
		if len(l.page) > l.limit {
			break
		}
		names, err := namesOf(ctx, cfg.Archive, byDay[day], placed)
		if err == nil {
			err = l.day(ctx, cfg.Archive, names, scan)
		}
		if err != nil {
			return nil, "", err
		}
	}
	events = make([]errorEvent, 0, len(l.page))
	for len(l.page) > 0 {
		events = append(events, heap.Pop(&l.page).(errorEvent))
	}
	slices.Reverse(events)
	if len(events) > l.limit {
		events = events[:l.limit]
		next = events[l.limit-1].place.String()
	}
	return events, next, nil
}

// namesOf are the names to read files under; placed: each is looked for at its
// place, and is staged where it is not there.
func namesOf(ctx context.Context, a *archive.Archive, files []*store.ArchiveFile, placed bool) (names []string, err error) {
	for _, f := range files {
		name, there := f.Name, true
		if placed {
			if there, err = a.Exists(ctx, f.Name); err != nil {
				return nil, err
			}
		}
		if !there {
			name = f.Staged
		}
		names = append(names, name)
	}
	return names, nil
}

// day adds the events of one date to the page: first what corrections say of
// the date's events, then the events.
func (l *eventList) day(ctx context.Context, a *archive.Archive, names []string, scan archive.ScanQuery) error {
	l.corrected = map[correctedKey]*correctedEvent{}
	var one sync.Mutex
	fold := func(each func(*archive.Rows, int) error) func(int, string, *archive.Rows) error {
		return func(_ int, _ string, rows *archive.Rows) error {
			one.Lock()
			defer one.Unlock()
			for i := range rows.Len() {
				if err := each(rows, i); err != nil {
					return err
				}
			}
			return nil
		}
	}
	scan.Columns = []string{"account", "time", "topic_partition", "topic_offset", "row", "sign", "target_id"}
	if err := a.ScanFiles(ctx, names, scan, fold(l.correction)); err != nil {
		return err
	}
	scan.Columns = slices.Concat(scan.Columns, []string{"id", "type", "status", "latency_ms"},
		columnNames(schemas.API, schemas.Version, schemas.Endpoint, schemas.Method, schemas.ClientIP, schemas.Customer,
			schemas.ErrorCode, schemas.ErrorDescription))
	return a.ScanFiles(ctx, names, scan, fold(l.event))
}

func columnNames(fields ...schemas.Field) (names []string) {
	for _, f := range fields {
		names = append(names, schemas.FieldNames[f])
	}
	return names
}

func placeOf(r *archive.Rows, i int) eventPlace {
	p := eventPlace{time: r.Time[i], partition: r.Partition, offset: r.Offset[i]}
	if i < len(r.Row) {
		p.row = r.Row[i]
	}
	return p
}

func signOf(r *archive.Rows, i int) int64 {
	if i < len(r.Sign) {
		return int64(r.Sign[i])
	}
	return 1
}

// correction notes a row that corrects another.
func (l *eventList) correction(r *archive.Rows, i int) error {
	target := textOf(r, r.TargetID, i)
	if target == "" {
		return nil
	}
	key := correctedKey{textOf(r, r.Account, i), target, r.Time[i]}
	c := l.corrected[key]
	if c == nil {
		if len(l.corrected) == maxCorrected {
			return errTooManyCorrected
		}
		c = &correctedEvent{}
		l.corrected[key] = c
	}
	sign, place := signOf(r, i), placeOf(r, i)
	if c.rows += sign; sign > 0 && c.latest.before(&place) {
		c.latest = place
	}
	return nil
}

func textOf(r *archive.Rows, column []archive.Code, i int) string {
	if i < len(column) {
		return r.String(column[i])
	}
	return ""
}

// event adds a row to the page, if it is an event that is wanted.
func (l *eventList) event(r *archive.Rows, i int) error {
	place := placeOf(r, i)
	switch {
	case signOf(r, i) < 0 || textOf(r, r.Type, i) != schemas.TypeAPIError,
		l.after != nil && !place.before(l.after),
		len(l.page) > l.limit && place.before(&l.page[0].place),
		!l.passes(r, i, "version", schemas.Version) || !l.passes(r, i, "endpoint", schemas.Endpoint) ||
			!l.passes(r, i, "error_code", schemas.ErrorCode):
		return nil
	}
	account, id := textOf(r, r.Account, i), string(r.ID.At(i))
	target := textOf(r, r.TargetID, i)
	if target != "" {
		id = target
	}
	if c := l.corrected[correctedKey{account, id, place.time}]; c != nil && (c.rows < 0 || target == "" || c.latest != place) {
		return nil // retracted, or shown by a later row
	}
	heap.Push(&l.page, l.view(r, i, id, place))
	if len(l.page) > l.limit+1 {
		heap.Pop(&l.page)
	}
	return nil
}

func (l *eventList) passes(r *archive.Rows, i int, filter string, f schemas.Field) bool {
	allowed, ok := l.params.filters[filter]
	return !ok || slices.Contains(allowed, textOf(r, r.Strings[f], i))
}

func (l *eventList) view(r *archive.Rows, i int, id string, place eventPlace) errorEvent {
	text := func(f schemas.Field) string { return textOf(r, r.Strings[f], i) }
	e := errorEvent{ID: id, Time: time.UnixMicro(place.time).UTC(), Account: textOf(r, r.Account, i), Customer: text(schemas.Customer),
		API: text(schemas.API), Version: text(schemas.Version), Endpoint: text(schemas.Endpoint), Method: text(schemas.Method),
		ClientIP: text(schemas.ClientIP), Code: text(schemas.ErrorCode), Description: text(schemas.ErrorDescription), place: place}
	if i < len(r.Status) && r.Status[i] != archive.NullInt32 {
		e.Status = r.Status[i]
	}
	if i < len(r.LatencyMS) && !math.IsNaN(r.LatencyMS[i]) {
		if d, err := schemas.DecimalOf(r.LatencyMS[i]); err == nil {
			e.TookMS = &d
		}
	}
	return e
}

// eventHeap has the oldest event of the page on top.
type eventHeap []errorEvent

func (h eventHeap) Len() int           { return len(h) }
func (h eventHeap) Less(i, j int) bool { return h[i].place.before(&h[j].place) }
func (h eventHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)        { *h = append(*h, x.(errorEvent)) }
func (h *eventHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
