package query

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) errorEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/errors", Access: api.Account, Form: api.PlainForm, Handle: q.listErrors},
		{Method: "GET", Path: "/v1/errors/{id}", Access: api.Account, Form: api.PlainForm, Handle: q.getError},
		{Method: "PATCH", Path: "/v1/errors/{id}", Access: api.Account, Form: api.PlainForm, Handle: q.patchError},
	}
}

// errorView is an error row as the API shows it: the input as text where it is
// text, else in base64.
type errorView struct {
	ID          string            `json:"id"`
	Internal    bool              `json:"internal"`
	Time        time.Time         `json:"time"`
	Account     string            `json:"account"`
	Reason      schemas.Reason    `json:"reason"`
	Field       string            `json:"field,omitempty"`
	Message     string            `json:"message"`
	Input       *string           `json:"input,omitempty"`
	InputBase64 []byte            `json:"input_base64,omitempty"`
	InputBytes  int64             `json:"input_bytes"`
	InputSHA256 string            `json:"input_sha256"`
	Origin      any               `json:"origin"` // recordOrigin or endpointOrigin
	Records     int64             `json:"records"`
	Status      store.ErrorStatus `json:"status"`
	// CanRetry: all of the record was kept, and it was not sent again.
	CanRetry bool       `json:"can_retry"`
	ResendAt *time.Time `json:"resend_at,omitempty"` // when sending it again began
	ResentAt *time.Time `json:"resent_at,omitempty"` // when that was acknowledged
}

type recordOrigin struct {
	Topic     schemas.Topic `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
}

type endpointOrigin struct {
	Endpoint string `json:"endpoint"`
}

// ErrorView is how an error row is shown, by the API and on the command line.
func ErrorView(e *store.ErrorRow) any { return errorViewOf(e) }

func errorViewOf(e *store.ErrorRow) errorView {
	v := errorView{ID: e.ID, Internal: true, Time: time.UnixMicro(e.Time).UTC(), Account: e.Account, Reason: e.Reason,
		Field: e.Field, Message: e.Message, InputBytes: e.InputBytes,
		InputSHA256: hex.EncodeToString(e.InputSHA256[:]), Records: e.Records, Status: e.Status,
		Origin:   recordOrigin{e.Origin.Topic, e.Origin.ID, e.Offset},
		CanRetry: e.Whole && e.Records == 1 && e.Endpoint == "" && (e.Status == store.ErrorOpen || e.Status == store.ErrorResent && e.ResentAt == 0)}
	if e.Endpoint != "" {
		v.Origin = endpointOrigin{e.Endpoint}
	}
	if utf8.Valid(e.Input) {
		text := string(e.Input)
		v.Input = &text
	} else {
		v.InputBase64 = e.Input
	}
	v.ResendAt, v.ResentAt = optionalTime(e.ResendAt), optionalTime(e.ResentAt)
	return v
}

func optionalTime(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	at := time.UnixMicro(micros).UTC()
	return &at
}

// listErrors answers GET /v1/errors: with internal=true what could not be
// processed, else the error events of the caller's APIs.
func (q *Server) listErrors(w http.ResponseWriter, r *http.Request) error {
	internal := r.URL.Query().Get("internal")
	switch internal {
	case "true":
		return q.listInternalErrors(w, r)
	case "", "false":
		return q.listAPIErrors(w, r)
	}
	return api.Invalid("internal", "internal must be true or false")
}

// listInternalErrors lists error rows, newest first: an account's own, or all.
func (q *Server) listInternalErrors(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "internal", "limit", "cursor", "reason", "status", "account", "fromDate", "toDate")
	if err != nil {
		return err
	}
	filter, err := errorFilter(values, api.CallerOf(r.Context()))
	if err != nil {
		return err
	}
	limit := filter.Limit
	filter.Limit++
	var rows []store.ErrorRow
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		rows, err = v.Errors(filter)
		return err
	})
	if err != nil {
		return err
	}
	writePage(w, "errors", limit, rows, func(e *store.ErrorRow) string { return fmt.Sprintf("%d-%s", e.Time, e.ID) }, errorViewOf)
	return nil
}

func errorFilter(values url.Values, caller api.Caller) (f store.ErrorFilter, err error) {
	f.Account = caller.Account
	if named := values.Get("account"); named != "" && named != caller.Account {
		if !caller.IsAdmin() || caller.Account != "" {
			return f, &api.Failure{Status: http.StatusForbidden, Field: "account", Detail: "account must be the key's own"}
		}
		f.Account = named
	}
	f.Reason = schemas.Reason(values.Get("reason"))
	if f.Limit, err = limitOf(values, 100, 1000); err != nil {
		return f, err
	}
	if text := values.Get("status"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 2 {
			return f, api.Invalid("status", "status must be 0 (open), 1 (resolved) or 2 (resent)")
		}
		status := store.ErrorStatus(n)
		f.Status = &status
	}
	for _, at := range []struct {
		name string
		to   *int64
	}{{"fromDate", &f.First}, {"toDate", &f.Last}} {
		if text := values.Get(at.name); text != "" {
			if *at.to, err = usageDate(at.name, text); err != nil {
				return f, err
			}
		}
	}
	if text := values.Get("cursor"); text != "" {
		micros, id, ok := strings.Cut(text, "-")
		n, err := strconv.ParseInt(micros, 10, 64)
		if !ok || err != nil || id == "" {
			return f, api.Invalid("cursor", "cursor must be next of the page before")
		}
		f.After = &store.ErrorCursor{Time: n, ID: id}
	}
	return f, nil
}

func (q *Server) getError(w http.ResponseWriter, r *http.Request) error {
	id := mux.Vars(r)["id"]
	e, err := q.cfg.Store.Error(r.Context(), api.CallerOf(r.Context()).Account, id)
	if errors.Is(err, store.ErrNotFound) {
		return noError(id)
	}
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, errorViewOf(&e))
	return nil
}

func noError(id string) error {
	return api.NotFound("there is no internal error %q; GET /v1/errors?internal=true lists them", id)
}

// patchError marks an internal error as resolved, or as open again.
func (q *Server) patchError(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Status *int `json:"status"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	if body.Status == nil || *body.Status != 0 && *body.Status != 1 {
		return api.Invalid("status", "status must be 1 (resolved) or 0 (open); POST /v1/errors/{id}/retry sends it again")
	}
	caller, id := api.CallerOf(r.Context()), mux.Vars(r)["id"]
	e, err := q.cfg.Store.ResolveError(r.Context(), caller.Actor(), caller.Account, id, store.ErrorStatus(*body.Status))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noError(id)
	case errors.Is(err, store.ErrExists):
		return api.Conflict("status", "the record was sent again; that cannot be taken back")
	case err != nil:
		return err
	}
	api.WriteJSON(w, http.StatusOK, errorViewOf(&e))
	return nil
}
