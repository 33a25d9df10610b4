package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// Failure is an error that the caller is told about, in the words of Detail.
type Failure struct {
	Status     int
	Field      string  // the parameter or field at fault, if one is
	Fields     []Field // every field at fault, where there are several
	Detail     string
	RetryAfter time.Duration // 0: no Retry-After, but for 429 and 503: a second
}

// Field is one of the fields at fault.
type Field struct {
	Field string `json:"field"`
	Error string `json:"error"`
}

func (f *Failure) Error() string { return f.Detail }

func failure(status int, field, format string, args ...any) error {
	return &Failure{Status: status, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Invalid is a 400 that names the parameter.
func Invalid(field, format string, args ...any) error {
	return failure(http.StatusBadRequest, field, format, args...)
}

// InvalidFields is a 400 that names each field at fault; nil where there is none.
func InvalidFields(fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	f := &Failure{Status: http.StatusBadRequest, Field: fields[0].Field, Fields: fields}
	for i, at := range fields {
		if i > 0 {
			f.Detail += "; "
		}
		f.Detail += at.Error
	}
	return f
}

// Forbidden is a 403.
func Forbidden(format string, args ...any) error {
	return failure(http.StatusForbidden, "", format, args...)
}

// NotFound is a 404.
func NotFound(format string, args ...any) error {
	return failure(http.StatusNotFound, "", format, args...)
}

// Conflict is a 409.
func Conflict(field, format string, args ...any) error {
	return failure(http.StatusConflict, field, format, args...)
}

// Unavailable is a 503 with Retry-After.
func Unavailable(retry time.Duration, format string, args ...any) error {
	return &Failure{Status: http.StatusServiceUnavailable, Detail: fmt.Sprintf(format, args...), RetryAfter: retry}
}

// failureOf is the one table from errors to statuses. known is false for an
// error that belongs in the log and not in the answer.
func failureOf(err error) (f *Failure, known bool) {
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f, true
	case errors.As(err, &big):
		return &Failure{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("the body may have up to %d bytes", big.Limit)}, true
	case errors.Is(err, context.DeadlineExceeded):
		return &Failure{Status: http.StatusServiceUnavailable, Detail: "the answer took longer than a request may take; ask for less"}, true
	case errors.Is(err, context.Canceled):
		return &Failure{Status: http.StatusServiceUnavailable, Detail: "the request was cancelled"}, true
	case errors.Is(err, store.ErrBusy):
		return &Failure{Status: http.StatusServiceUnavailable, Detail: "the store is busy; try again"}, true
	case errors.Is(err, store.ErrAway):
		return &Failure{Status: http.StatusServiceUnavailable, Detail: "the store does not answer; try again"}, true
	case errors.Is(err, store.ErrReadOnly):
		return &Failure{Status: http.StatusServiceUnavailable, Detail: "this process only reads; changes are made where the pipeline or jobs run"}, true
	case errors.Is(err, store.ErrNotFound):
		return &Failure{Status: http.StatusNotFound, Detail: "not found"}, true
	case errors.Is(err, schemas.ErrOverflow):
		return &Failure{Status: http.StatusUnprocessableEntity, Detail: "a sum exceeds 64 bits; ask for a shorter range"}, true
	}
	return &Failure{Status: http.StatusInternalServerError, Detail: "internal error; the server's log has it"}, false
}

// ErrorForm is the shape in which one API tells of failures.
type ErrorForm int

const (
	// PlainForm is {"error", "field"}.
	PlainForm ErrorForm = iota
	// MessageForm is {"message"}, Mailgun's and CloudKitty's.
	MessageForm
	// ProblemForm is RFC 9457, for the meters API.
	ProblemForm
)

// schema is the form's name in the OpenAPI document, and its content type.
func (form ErrorForm) schema() (name, contentType string) {
	switch form {
	case MessageForm:
		return "Message", "application/json"
	case ProblemForm:
		return "Problem", "application/problem+json"
	}
	return "Error", "application/json"
}

func (form ErrorForm) write(w http.ResponseWriter, f *Failure) {
	_, contentType := form.schema()
	switch form {
	case MessageForm:
		writeFailure(w, f, contentType, struct {
			Message string `json:"message"`
		}{f.Detail})
	case ProblemForm:
		writeFailure(w, f, contentType, struct {
			Type   string  `json:"type"`
			Title  string  `json:"title"`
			Status int     `json:"status"`
			Detail string  `json:"detail"`
			Field  string  `json:"field,omitempty"`
			Fields []Field `json:"fields,omitempty"`
		}{"about:blank", http.StatusText(f.Status), f.Status, f.Detail, f.Field, f.Fields})
	default:
		writeFailure(w, f, contentType, struct {
			Error  string  `json:"error"`
			Field  string  `json:"field,omitempty"`
			Fields []Field `json:"fields,omitempty"`
		}{f.Detail, f.Field, f.Fields})
	}
}

func writeFailure(w http.ResponseWriter, f *Failure, contentType string, body any) {
	retry := f.RetryAfter
	if retry == 0 && (f.Status == http.StatusServiceUnavailable || f.Status == http.StatusTooManyRequests) {
		retry = time.Second
	}
	if retry > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int64((retry+time.Second-1)/time.Second)))
	}
	writeJSON(w, f.Status, contentType, body)
}

// WriteJSON answers with a body of our own types, which always marshal.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	writeJSON(w, status, "application/json", body)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	writeBody(w, status, contentType, append(b, '\n'))
}

// WriteRawJSON answers with a JSON text.
func WriteRawJSON(w http.ResponseWriter, body []byte) {
	writeBody(w, http.StatusOK, "application/json", body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body))) // else a long answer goes in chunks
	w.WriteHeader(status)
	w.Write(body) // a reader that is gone is no error of ours
}
