package query

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/query/table"
	"tallybook/schemas"
	"tallybook/store"
)

// mostAppRows bounds a page of events or errors: each may have 64 KiB of data.
const mostAppRows = 250

// listAppEvents answers GET /events/: newest event time first. In CSV and Arrow
// the header X-Next-Cursor has what next says in JSON.
func (q *Server) listAppEvents(w http.ResponseWriter, r *http.Request) error {
	filter, err := appEventFilter(r)
	if err != nil {
		return err
	}
	limit := filter.Limit
	filter.Limit++
	var events []store.AppEvent
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		events, err = v.AppEvents(filter)
		return err
	})
	if err != nil {
		return err
	}
	next := ""
	if len(events) > limit {
		events = events[:limit]
		next = cursorOf(events[limit-1].Time, strconv.FormatInt(events[limit-1].Seq, 10))
	}
	if table.FormatOf(r.Header.Get("Accept")) != table.JSON {
		if next != "" {
			w.Header().Set("X-Next-Cursor", next)
		}
		return sendAppEvents(w, r, events)
	}
	page := struct {
		Events []schemas.AppEventShown `json:"events"`
		Next   string                  `json:"next,omitempty"`
	}{make([]schemas.AppEventShown, len(events)), next}
	for i := range events {
		page.Events[i] = events[i].Shown()
	}
	api.WriteJSON(w, http.StatusOK, page)
	return nil
}

func sendAppEvents(w http.ResponseWriter, r *http.Request, events []store.AppEvent) error {
	t := table.Table{Columns: []table.Column{{Name: "id"}, {Name: "session"}, {Name: "category"}, {Name: "name"}, {Name: "data"},
		{Name: "timestamp", Type: table.Time}, {Name: "revision", Type: table.Int}, {Name: "account"}, {Name: "source"}}}
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for i := range events {
			e := &events[i]
			err := row(table.String(e.ID), table.String(e.Session), table.String(e.Category), table.String(e.Name), table.String(string(e.Data)),
				table.Micros(e.Time), table.Integer(e.Revision), table.String(e.Account), table.String(e.Source))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func appEventFilter(r *http.Request) (f store.AppEventFilter, err error) {
	values, err := parameters(r, "session", "category", "name", "timestamp__gte", "timestamp__lte", "limit", "cursor")
	if err != nil {
		return f, err
	}
	for _, name := range []string{"session", "category", "name"} {
		if values.Has(name) && values.Get(name) == "" {
			return f, api.Invalid(name, "%s must not be empty", name)
		}
	}
	f = store.AppEventFilter{Account: api.CallerOf(r.Context()).Account, Session: strings.ToLower(values.Get("session")),
		Category: values.Get("category"), Name: values.Get("name")}
	if f.From, f.To, err = appTimes(values); err != nil {
		return f, err
	}
	if f.Limit, err = limitOf(values, 100, mostAppRows); err != nil {
		return f, err
	}
	after, err := listCursor(values)
	if err != nil || after == nil {
		return f, err
	}
	seq, err := strconv.ParseInt(after.ID, 10, 64)
	if err != nil {
		return f, api.Invalid("cursor", "cursor must be next of the page before")
	}
	f.After = &store.AppCursor{Time: after.Time, Seq: seq}
	return f, nil
}

// appTimes reads the two filters of time, both included.
func appTimes(values url.Values) (from, to int64, err error) {
	from, to = math.MinInt64, math.MaxInt64
	for name, at := range map[string]*int64{"timestamp__gte": &from, "timestamp__lte": &to} {
		if !values.Has(name) {
			continue
		}
		// A plus that was not escaped arrives as a space.
		text := values.Get(name)
		if n := len(text); n > 6 && text[n-6] == ' ' && text[n-3] == ':' {
			text = text[:n-6] + "+" + text[n-5:]
		}
		micros, ok := schemas.ParseAppTime(text)
		if !ok {
			return 0, 0, api.Invalid(name, "%s must be %s", name, schemas.AppTimeForms)
		}
		*at = micros
	}
	return from, to, nil
}

// getAppEvent answers GET /events/{id}/; its ETag is the event's revision.
func (q *Server) getAppEvent(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "source")
	if err != nil {
		return err
	}
	id, account := mux.Vars(r)["id"], api.CallerOf(r.Context()).Account
	var e store.AppEvent
	var failed []store.ErrorRow
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		if e, err = v.AppEvent(account, values.Get("source"), id); errors.Is(err, store.ErrNotFound) && id != "" {
			failed, err = v.AppErrors(store.AppErrorFilter{Account: account, Event: id, From: math.MinInt64, To: math.MaxInt64, Limit: 1})
			if err == nil {
				err = store.ErrNotFound
			}
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrSeveral):
		return api.Conflict("source", "several events have this id: name the source, and as an administrator the account in X-Account-ID")
	case errors.Is(err, store.ErrNotFound) && len(failed) > 0:
		return api.NotFound("the event was not created: see /errors/%s/", failed[0].ID)
	case errors.Is(err, store.ErrNotFound):
		return api.NotFound("there is no event %q, or it was not processed yet", id)
	case err != nil:
		return err
	case e.RetractedAt != 0:
		return api.NotFound("the event was deleted")
	}
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(e.Revision, 10)))
	api.WriteJSON(w, http.StatusOK, e.Shown())
	return nil
}
