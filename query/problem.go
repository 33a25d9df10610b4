package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tallybook/schemas"
	"tallybook/store"
)

// failure is an error that the caller is told about, in the words of detail.
type failure struct {
	status int
	field  string // the parameter at fault, if one is
	detail string
}

func (f *failure) Error() string { return f.detail }

// invalid is a 400 that names the parameter.
func invalid(field, format string, args ...any) error {
	return &failure{status: http.StatusBadRequest, field: field, detail: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &failure{status: http.StatusNotFound, detail: fmt.Sprintf(format, args...)}
}

// failureOf is the one table from errors to statuses. known is false for an
// error that belongs in the log and not in the answer.
func failureOf(err error) (f *failure, known bool) {
	switch {
	case errors.As(err, &f):
		return f, true
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{status: http.StatusServiceUnavailable, detail: "the answer took longer than a request may take; ask for less"}, true
	case errors.Is(err, context.Canceled):
		return &failure{status: http.StatusServiceUnavailable, detail: "the request was cancelled"}, true
	case errors.Is(err, store.ErrBusy):
		return &failure{status: http.StatusServiceUnavailable, detail: "the store is busy; try again"}, true
	case errors.Is(err, schemas.ErrOverflow):
		return &failure{status: http.StatusUnprocessableEntity, detail: "a sum exceeds 64 bits; ask for a shorter range"}, true
	}
	return &failure{status: http.StatusInternalServerError, detail: "internal error; the server's log has it"}, false
}

// errorForm writes a failure in the shape of one API.
type errorForm func(w http.ResponseWriter, f *failure)

// problemForm is RFC 9457, for the meters API.
func problemForm(w http.ResponseWriter, f *failure) {
	writeJSON(w, f.status, "application/problem+json", struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Field  string `json:"field,omitempty"`
	}{"about:blank", http.StatusText(f.status), f.status, f.detail, f.field})
}

// messageForm is CloudKitty's.
func messageForm(w http.ResponseWriter, f *failure) {
	writeJSON(w, f.status, "application/json", struct {
		Message string `json:"message"`
	}{f.detail})
}

// plainForm is that of the other APIs.
func plainForm(w http.ResponseWriter, f *failure) {
	writeJSON(w, f.status, "application/json", struct {
		Error string `json:"error"`
		Field string `json:"field,omitempty"`
	}{f.detail, f.field})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own structs always marshal
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // a reader that is gone is no error of ours
}
