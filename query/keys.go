package query

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) keyEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/keys", Access: api.Admin, Form: api.PlainForm, Handle: q.listKeys},
		{Method: "POST", Path: "/v1/keys", Access: api.Admin, Form: api.PlainForm, Handle: q.createKey},
		{Method: "DELETE", Path: "/v1/keys/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.revokeKey},
		{Method: "GET", Path: "/v1/whoami", Access: api.Ingest, Form: api.PlainForm, Handle: q.whoami},
	}
}

// keyView is a key as the API shows it; Key only in the answer that makes it.
type keyView struct {
	ID        string     `json:"id"`
	Key       string     `json:"key,omitempty"`
	Role      store.Role `json:"role"`
	Account   string     `json:"account"`
	Customer  string     `json:"customer,omitempty"`
	Name      string     `json:"name"`
	Rate      float64    `json:"rate"`
	CreatedAt time.Time  `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt"`
}

func keyViewOf(k *store.Key) keyView {
	v := keyView{ID: k.ID, Role: k.Role, Account: k.Account, Customer: k.Customer, Name: k.Name, Rate: k.Rate, CreatedAt: k.CreatedAt}
	if !k.RevokedAt.IsZero() {
		v.RevokedAt = &k.RevokedAt
	}
	return v
}

func (q *Server) listKeys(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, 100, 1000)
	if err != nil {
		return err
	}
	cursor := values.Get("cursor")
	keys, err := q.cfg.Store.Keys(r.Context(), api.CallerOf(r.Context()).Account, cursor, limit+1)
	if err != nil {
		return err
	}
	if cursor != "" && len(keys) == 0 { // no key is ever deleted: the page before had one more
		return api.Invalid("cursor", "cursor must be the next of the page before")
	}
	writePage(w, "keys", limit, keys, func(k *store.Key) string { return k.ID }, keyViewOf)
	return nil
}

// createKey makes a key and shows it, this once.
func (q *Server) createKey(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Role    store.Role `json:"role"`
		Account string     `json:"account"`
		Name    string     `json:"name"`
		Rate    float64    `json:"rate"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	caller := api.CallerOf(r.Context())
	if body.Account == "" && body.Role != store.RoleAdmin {
		body.Account = caller.Account
	}
	k := store.Key{Role: body.Role, Account: body.Account, Name: body.Name, Rate: body.Rate}
	if err := CheckKey(k); err != nil {
		return err
	}
	text := store.NewKeyText()
	k, err := q.cfg.Store.CreateKey(r.Context(), caller.Actor(), text, k)
	if err != nil {
		return err
	}
	v := keyViewOf(&k)
	v.Key = text
	w.Header().Set("Cache-Control", "no-store")
	api.WriteJSON(w, http.StatusCreated, v)
	return nil
}

// CheckKey holds a key that is to be made against the rules.
func CheckKey(k store.Key) error {
	switch {
	case !slices.Contains(store.Roles, k.Role):
		return api.Invalid("role", "role must be admin, account or ingest")
	case k.Role == store.RoleAdmin && k.Account != "":
		return api.Invalid("account", "an administrator's key is of no account")
	case k.Role == store.RoleAccount && (k.Account == "" || k.Account == store.AnyAccount):
		return api.Invalid("account", "account must name the account that the key reads and writes")
	case k.Role == store.RoleIngest && k.Account == "":
		return api.Invalid("account", "account must name the account that the key writes for, or * for any")
	case !(k.Rate >= 0 && k.Rate <= 1e6): // NaN is neither
		return api.Invalid("rate", "rate must be from 0 (the installation's) to 1000000 requests a second")
	case len(k.Name) > schemas.MaxAccount || strings.ContainsFunc(k.Name, isControl):
		return api.Invalid("name", "name may have up to %d bytes and no control characters", schemas.MaxAccount)
	}
	return CheckAccount("account", k.Account)
}

// CheckAccount holds an account's name against the rule of events' subjects, and
// it must not be blank; "" passes.
func CheckAccount(field, account string) error {
	if account == "" {
		return nil
	}
	if _, rejection := schemas.Account(&schemas.Event{Subject: []byte(account)}, nil); rejection != nil {
		return api.Invalid(field, "%s: %s", field, rejection.Message)
	}
	if strings.TrimSpace(account) == "" {
		return api.Invalid(field, "%s must not be blank: a blank X-Account-ID names no account", field)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (q *Server) revokeKey(w http.ResponseWriter, r *http.Request) error {
	caller, id := api.CallerOf(r.Context()), mux.Vars(r)["id"]
	err := q.cfg.Store.RevokeKey(r.Context(), caller.Actor(), caller.Account, id)
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("there is no key %q; GET /v1/keys lists them by id", id)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// whoami says what the caller's key is good for.
func (q *Server) whoami(w http.ResponseWriter, r *http.Request) error {
	c := api.CallerOf(r.Context())
	api.WriteJSON(w, http.StatusOK, struct {
		Role     store.Role `json:"role"`
		Account  string     `json:"account"`
		Customer string     `json:"customer,omitempty"`
		Key      string     `json:"keyId,omitempty"`
	}{c.Role, c.Account, c.Customer, c.KeyID})
	return nil
}

// parameters are the query parameters; one that is not known, or given twice, is
// a 400 that names it.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.Invalid("", "the query string does not parse: %v", err)
	}
	for name, list := range values {
		if !slices.Contains(known, name) {
			return nil, api.Invalid(name, "unknown parameter %q; allowed are %s", name, strings.Join(known, ", "))
		}
		if len(list) > 1 {
			return nil, api.Invalid(name, "%s was given %d times", name, len(list))
		}
	}
	return values, nil
}

// limitOf reads the parameter limit.
func limitOf(values url.Values, normal, most int) (int, error) {
	text := values.Get("limit")
	if text == "" {
		return normal, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, api.Invalid("limit", "limit must be a whole number from 1 to %d", most)
	}
	return n, nil
}
