package query

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// appErrorView is the failed creation of an application event.
type appErrorView struct {
	ID        string         `json:"id"`
	Timestamp time.Time      `json:"timestamp"` // of the failure, in log clock
	Reason    schemas.Reason `json:"reason"`
	Field     string         `json:"field,omitempty"`
	Message   string         `json:"message"`
	// Payload is what was sent: the JSON of a body, or a record of the topic; text
	// where that is no JSON, base64 where it is no text.
	Payload       json.RawMessage   `json:"payload,omitempty"`
	PayloadText   *string           `json:"payload_text,omitempty"`
	PayloadBase64 []byte            `json:"payload_base64,omitempty"`
	PayloadBytes  int64             `json:"payload_bytes"` // of which up to 64 KiB are kept
	Records       int64             `json:"records"`       // that the entry stands for
	Status        store.ErrorStatus `json:"status"`
	Account       string            `json:"account"`
}

func appErrorViewOf(e *store.ErrorRow) appErrorView {
	v := appErrorView{ID: e.ID, Timestamp: time.UnixMicro(e.Time).UTC(), Reason: e.Reason, Field: e.Field, Message: e.Message,
		PayloadBytes: e.InputBytes, Records: e.Records, Status: e.Status, Account: e.Account}
	body, ours := schemas.AppBody(e.Input)
	switch {
	case ours:
		why := (&schemas.Rejection{Reason: e.Reason, Field: e.Field, Message: e.Message}).OfAppBody()
		v.Field, v.Message, v.Payload, v.PayloadBytes = why.Field, why.Message, body, int64(len(body))
	case json.Valid(e.Input) && utf8.Valid(e.Input):
		v.Payload = e.Input
	case utf8.Valid(e.Input):
		text := string(e.Input)
		v.PayloadText = &text
	default:
		v.PayloadBase64 = e.Input
	}
	return v
}

// listAppErrors answers GET /errors/: newest first.
func (q *Server) listAppErrors(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "timestamp__gte", "timestamp__lte", "limit", "cursor")
	if err != nil {
		return err
	}
	filter := store.AppErrorFilter{Account: api.CallerOf(r.Context()).Account}
	if filter.From, filter.To, err = appTimes(values); err != nil {
		return err
	}
	if filter.After, err = listCursor(values); err != nil {
		return err
	}
	limit, err := limitOf(values, 100, mostAppRows)
	if err != nil {
		return err
	}
	filter.Limit = limit + 1
	var rows []store.ErrorRow
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		rows, err = v.AppErrors(filter)
		return err
	})
	if err != nil {
		return err
	}
	writePage(w, "errors", limit, rows, func(e *store.ErrorRow) string { return cursorOf(e.Time, e.ID) }, appErrorViewOf)
	return nil
}

// getAppError answers GET /errors/{id}/.
func (q *Server) getAppError(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	id := mux.Vars(r)["id"]
	var e store.ErrorRow
	err := q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		e, err = v.AppError(api.CallerOf(r.Context()).Account, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("there is no error %q; GET /errors/ lists them", id)
	}
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, appErrorViewOf(&e))
	return nil
}
