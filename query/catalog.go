package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// maxName bounds names in the catalog, in bytes; they are dimensions of events.
const maxName = schemas.MaxString

// faults collects what is wrong with a body.
type faults []api.Field

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, api.Field{Field: field, Error: field + " " + fmt.Sprintf(format, args...)})
}

func (f *faults) addAll(problems []schemas.FieldProblem) {
	for _, p := range problems {
		*f = append(*f, api.Field{Field: p.Field, Error: p.Problem})
	}
}

// name holds a text against the rules of names.
func (f *faults) name(field, text string, required bool) {
	switch {
	case text == "" && required:
		f.add(field, "is required: a non-empty string")
	case len(text) > maxName:
		f.add(field, "may have up to %d bytes", maxName)
	case strings.ContainsFunc(text, isControl):
		f.add(field, "must not have control characters")
	}
}

func (f *faults) email(field, text string) {
	if text == "" {
		return
	}
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text || len(text) > 254 {
		f.add(field, "must be an e-mail address, such as billing@example.com")
	}
}

func (f *faults) timezone(field, text string) {
	if _, err := time.LoadLocation(text); err != nil || text == "" || text == "Local" {
		f.add(field, "must be an IANA time zone, such as Europe/Berlin")
	}
}

func (f *faults) currency(field, text string) {
	ok := len(text) == 3
	for _, c := range []byte(text) {
		ok = ok && c >= 'A' && c <= 'Z'
	}
	if !ok {
		f.add(field, "must be an ISO 4217 code of three capital letters, such as EUR")
	}
}

// time reads an optional time.
func (f *faults) time(field string, text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	micros, ok := schemas.ParseTime([]byte(*text))
	if !ok || micros < 0 {
		f.add(field, "must be of RFC 3339, such as 2026-01-31T00:00:00Z, from 1970 on")
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

func (f *faults) quota(field string, q *schemas.Quota) *schemas.Quota {
	if q != nil {
		f.addAll(q.Check(field + "."))
	}
	return q
}

// quotaTypes are what the members of a quota are.
var quotaTypes = map[string]string{"limit": "a number of 0 or more", "period": "hour, day, month or a cron expression of five fields",
	"route": "the name of an endpoint", "hard": "true or false", "thresholds": "a list of rising percentages"}

// quotaOf reads a quota that may be left out (set is false) or null: no limit.
func (f *faults) quotaOf(field string, text json.RawMessage) (set bool, q *schemas.Quota) {
	if len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return len(text) > 0, nil
	}
	q = new(schemas.Quota)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(q)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		f.add(field+"."+wrong.Field, "must be %s", quotaTypes[wrong.Field])
		return true, nil
	}
	if err != nil {
		f.add(field, "must be an object of limit, period, route, hard and thresholds")
		return true, nil
	}
	return true, f.quota(field, q)
}

// account holds a name of an account against the rules.
func (f *faults) account(field, account string) {
	if err := CheckAccount(field, account); err != nil || account == "" || account == store.AnyAccount || account == schemas.UnknownAccount {
		f.add(field, "must be an account's name: 1 to %d bytes, no control characters", schemas.MaxAccount)
	}
}

func (f *faults) apiKey(field, key string) {
	if key == "" || len(key) > store.MaxKey || !printable(key) {
		f.add(field, "must have 1 to %d printable ASCII characters without spaces; one is made where it is left out", store.MaxKey)
	}
}

// catalogError is how the store's refusals of a change are answered.
func catalogError(err error, exists func() error, missing string) error {
	var at *store.FieldError
	switch {
	case errors.As(err, &at):
		return api.Invalid(at.Field, "%s", at.Problem)
	case errors.Is(err, store.ErrExists):
		return exists()
	case errors.Is(err, store.ErrNotFound):
		return api.NotFound("%s", missing)
	}
	return err
}

// writePage answers a list: at most limit of what was read with limit+1.
func writePage[T, V any](w http.ResponseWriter, name string, limit int, list []T, id func(*T) string, view func(*T) V) {
	page, next := make([]V, 0, min(limit, len(list))), ""
	for i := range list {
		if i == limit {
			next = id(&list[i-1])
			break
		}
		page = append(page, view(&list[i]))
	}
	body := map[string]any{name: page}
	if next != "" {
		body["next"] = next
	}
	api.WriteJSON(w, http.StatusOK, body)
}

// paging reads limit and cursor, and more parameters.
func paging(r *http.Request, more ...string) (limit int, cursor string, get func(string) string, err error) {
	values, err := parameters(r, append([]string{"limit", "cursor"}, more...)...)
	if err != nil {
		return 0, "", nil, err
	}
	limit, err = limitOf(values, 100, 1000)
	return limit, values.Get("cursor"), values.Get, err
}
