package query

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// appEndpoints answer for sessions, application events and their failed
// creations (events.md); package collector has what writes them.
func (q *Server) appEndpoints() []api.Endpoint {
	get := func(path string, handle api.Handler) api.Endpoint {
		return api.Endpoint{Method: "GET", Path: path + "/", Also: []string{path}, Access: api.Account, Form: api.PlainForm, Handle: handle}
	}
	return []api.Endpoint{
		get("/sessions", q.listSessions),
		get("/events", q.listAppEvents),
		get("/events/{id}", q.getAppEvent),
		get("/errors", q.listAppErrors),
		get("/errors/{id}", q.getAppError),
		{Method: "GET", Path: "/api/v1/events", Access: api.Account, Form: api.ProblemForm, Handle: q.listEvents},
	}
}

type sessionView struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Account   string `json:"account"`
}

// listSessions answers GET /sessions/: newest first.
func (q *Server) listSessions(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, 100, 1000)
	if err != nil {
		return err
	}
	after, err := listCursor(values)
	if err != nil {
		return err
	}
	var sessions []store.Session
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		sessions, err = v.Sessions(api.CallerOf(r.Context()).Account, after, limit+1)
		return err
	})
	if err != nil {
		return err
	}
	writePage(w, "sessions", limit, sessions, func(s *store.Session) string { return cursorOf(s.CreatedAt.UnixMicro(), s.ID) },
		func(s *store.Session) sessionView {
			return sessionView{s.ID, schemas.FormatTime(s.CreatedAt.UnixMicro()), s.Account}
		})
	return nil
}

func cursorOf(micros int64, id string) string { return strconv.FormatInt(micros, 10) + "_" + id }

// listCursor reads the parameter cursor; nil: the list's beginning.
func listCursor(values url.Values) (*store.ListCursor, error) {
	text := values.Get("cursor")
	if text == "" {
		return nil, nil
	}
	micros, id, ok := strings.Cut(text, "_")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil || id == "" || len(id) > schemas.MaxID {
		return nil, api.Invalid("cursor", "cursor must be next of the page before")
	}
	return &store.ListCursor{Time: n, ID: id}, nil
}
