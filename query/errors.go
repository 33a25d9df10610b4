package query

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// errorView is an error row as the list shows it: the input as text where it
// is text, else in base64.
type errorView struct {
	ID          string         `json:"id"`
	Time        time.Time      `json:"time"`
	Account     string         `json:"account"`
	Reason      schemas.Reason `json:"reason"`
	Field       string         `json:"field,omitempty"`
	Message     string         `json:"message"`
	Input       *string        `json:"input,omitempty"`
	InputBase64 []byte         `json:"input_base64,omitempty"`
	InputBytes  int64          `json:"input_bytes"`
	InputSHA256 string         `json:"input_sha256"`
	Origin      originView     `json:"origin"`
	Records     int64          `json:"records"`
	Status      int            `json:"status"`
}

type originView struct {
	Topic     schemas.Topic `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
}

// listErrors answers /v1/errors?internal=true&limit=: records that could not be
// processed, newest first. The API errors of customers come with usage-v1.
func (q *Server) listErrors(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	for name := range values {
		if name != "internal" && name != "limit" && name != "account" && name != "reason" {
			return api.Invalid(name, "unknown parameter %q; allowed are internal, limit, account and reason", name)
		}
	}
	if values.Get("internal") != "true" {
		return api.Invalid("internal", "internal must be true in this version")
	}
	limit := 100
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return api.Invalid("limit", "limit must be a whole number from 1 to 1000")
		}
		limit = n
	}
	filter := store.ErrorFilter{Account: values.Get("account"), Reason: schemas.Reason(values.Get("reason")), Limit: limit}
	views := []errorView{}
	err := q.cfg.Store.View(r.Context(), func(v *store.View) error {
		rows, err := v.Errors(filter)
		for i := range rows {
			views = append(views, errorViewOf(&rows[i]))
		}
		return err
	})
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"errors": views})
	return nil
}

func errorViewOf(e *store.ErrorRow) errorView {
	v := errorView{ID: e.ID, Time: time.UnixMicro(e.Time).UTC(), Account: e.Account, Reason: e.Reason,
		Field: e.Field, Message: e.Message, InputBytes: e.InputBytes,
		InputSHA256: hex.EncodeToString(e.InputSHA256[:]), Records: e.Records, Status: e.Status,
		Origin: originView{e.Origin.Topic, e.Origin.ID, e.Offset}}
	if utf8.Valid(e.Input) {
		text := string(e.Input)
		v.Input = &text
	} else {
		v.InputBase64 = e.Input
	}
	return v
}
