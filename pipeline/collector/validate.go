package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/store"
)

const (
	maxChecks    = 1000
	maxCheckBody = 4 << 20
	verdictBytes = 256  // of an answer, about
	maxCheckText = 1024 // bytes of apiName, apiversion and endPointName, as events allow
)

// validateEndpoints are there where the catalog is.
func (c *Collector) validateEndpoints() []api.Endpoint {
	if c.cfg.Store == nil {
		return nil
	}
	return []api.Endpoint{{Method: "POST", Path: "/v1/validateRequest", Access: api.Ingest, Form: api.PlainForm, Timeout: -1, // from memory; what is read of the store is limited there
		Unknown: c.unknown.note, Handle: c.validateRequest}}
}

// check asks whether a key may call an endpoint now.
type check struct {
	APIKey   *string `json:"apiKey"` // of a batch; a single check is about the caller's
	APIName  string  `json:"apiName"`
	Version  string  `json:"apiversion"`
	Endpoint string  `json:"endPointName"`
}

// good reports whether there are no faults, without looking for their names.
func (k *check) good(batch bool) bool {
	hasKey := k.APIKey != nil && *k.APIKey != ""
	return (batch && hasKey || !batch && k.APIKey == nil) && k.Version != "" && k.Endpoint != "" &&
		max(len(k.APIName), len(k.Version), len(k.Endpoint)) <= maxCheckText
}

// faults are the fields at fault, of a batch with the check's place before their names.
func (k *check) faults(place int, batch bool) (faults []api.Field) {
	if k.good(batch) {
		return nil
	}
	at := ""
	if batch {
		at = fmt.Sprintf("[%d].", place)
	}
	fault := func(field, problem string) {
		faults = append(faults, api.Field{Field: at + field, Error: at + field + " " + problem})
	}
	switch {
	case batch && (k.APIKey == nil || *k.APIKey == ""):
		fault("apiKey", "is required in a batch: the key that wants to call")
	case !batch && k.APIKey != nil:
		fault("apiKey", "belongs in the header of a single check")
	}
	for _, f := range []struct {
		name, value string
		required    bool
	}{{"apiName", k.APIName, false}, {"apiversion", k.Version, true}, {"endPointName", k.Endpoint, true}} {
		switch {
		case f.required && f.value == "":
			fault(f.name, "is required")
		case len(f.value) > maxCheckText:
			fault(f.name, fmt.Sprintf("may have up to %d bytes", maxCheckText))
		}
	}
	return faults
}

// validateRequest answers one check about the caller's own key, or an array of
// checks, in their order, each with a key of its own.
func (c *Collector) validateRequest(w http.ResponseWriter, r *http.Request) error {
	raw, err := api.ReadBody(w, r, maxCheckBody)
	if err != nil {
		return err
	}
	body := strings.TrimLeft(string(raw), " \t\r\n")
	caller := api.CallerOf(r.Context())
	if strings.HasPrefix(body, "[") {
		return c.validateBatch(w, r, caller, body)
	}
	var k check
	if !parseCheck(body, &k) {
		k = check{}
		if err := decodeChecks(body, &k); err != nil {
			return err
		}
	}
	if err := api.InvalidFields(k.faults(0, false)); err != nil {
		return err
	}
	if _, err := caller.RequireAccount(); err != nil {
		return err
	}
	v, err := c.checks.decide(r.Context(), caller, &k, c.cfg.Now())
	if err != nil {
		return c.cannotCheck(err)
	}
	api.WriteRawJSON(w, append(v.append(make([]byte, 0, verdictBytes)), '\n'))
	return nil
}

func (c *Collector) validateBatch(w http.ResponseWriter, r *http.Request, caller api.Caller, body string) error {
	if !caller.IsAdmin() && caller.Role != store.RoleIngest {
		return api.Forbidden("a batch of checks is for administrators and gateways: an admin or an ingest key")
	}
	checks, ok := parseChecks(body)
	if !ok {
		if err := decodeChecks(body, &checks); err != nil {
			return err
		}
	}
	if len(checks) > maxChecks {
		return refuse(http.StatusRequestEntityTooLarge, "a request may have up to %d checks", maxChecks)
	}
	var faults []api.Field
	for i := range checks {
		if faults = append(faults, checks[i].faults(i, true)...); len(faults) > 100 {
			break
		}
	}
	if err := api.InvalidFields(faults); err != nil {
		return err
	}
	now := c.cfg.Now()
	answer := append(make([]byte, 0, len(checks)*verdictBytes+3), '[')
	for i := range checks {
		v, err := c.checks.decideKey(r.Context(), caller.Account, &checks[i], now)
		if err != nil {
			return c.cannotCheck(err)
		}
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = v.append(answer)
	}
	api.WriteRawJSON(w, append(answer, ']', '\n'))
	return nil
}

func (c *Collector) cannotCheck(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	c.cfg.Log.Warn("check a request", "error", err)
	return unavailable(time.Second, "the catalog does not answer; ask again")
}

// decodeChecks is strict: a name that is misspelt must not be taken for nothing.
func decodeChecks(body string, to any) error {
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return api.Invalid(kind.Field, "%s must be a string, not a %s", kind.Field, kind.Value)
		}
		return api.Invalid("", "the body must be {apiName, apiversion, endPointName}, or an array of such objects with apiKey: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return api.Invalid("", "the body must be one JSON value and nothing behind it")
	}
	return nil
}
