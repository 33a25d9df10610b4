package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"tallybook/store"
)

// Guard checks credentials.
type Guard struct {
	Store  *store.Store
	Keys   *Keys // nil: its own, which nobody runs
	NoAuth bool  // every caller is an administrator
	Local  bool  // with NoAuth: the server is for this machine alone
	Now    func() time.Time
	Rate   float64 // requests a second and key, where the key has no rate of its own; 0: no limit

	ownKeys sync.Once
}

// admit finds the caller, or the failure that it is answered.
func (g *Guard) admit(ctx context.Context, r *http.Request, e *Endpoint) (Caller, error) {
	if e.Access == Public || e.Access == Signed {
		return Caller{}, nil
	}
	caller, err := g.identify(ctx, r, e)
	if err != nil {
		return Caller{}, err
	}
	switch {
	case e.Access == Admin && caller.Role != store.RoleAdmin:
		return Caller{}, Forbidden("only administrators may do this")
	case e.Access == Account && caller.Role == store.RoleIngest:
		return Caller{}, Forbidden("this key only writes events")
	}
	return applyAccount(caller, r, e.Scope)
}

// identify is who the credential belongs to.
func (g *Guard) identify(ctx context.Context, r *http.Request, e *Endpoint) (Caller, error) {
	text, err := credential(r)
	if err == nil && text == "" {
		text, err = sessionKey(r)
	}
	if err != nil {
		return Caller{}, err
	}
	if g.NoAuth {
		if err := g.notAPage(r); err != nil {
			return Caller{}, err
		}
		c := Caller{Role: store.RoleAdmin}
		if text != "" { // it still names the customer
			k, err := g.lookUp(ctx, text)
			if errors.Is(err, store.ErrNotFound) && e.Unknown != nil {
				return Caller{}, g.unknown(r, e, text)
			}
			if err == nil && k.Customer != "" {
				c.Customer, c.KeyID, c.Account = k.Customer, k.ID, k.Account
			}
		}
		return c, nil
	}
	if text == "" {
		return Caller{}, &Failure{Status: http.StatusUnauthorized,
			Detail: "a key is needed: Authorization: Bearer KEY, apiKey: KEY, X-Auth-Token: KEY, or Basic with the key as password"}
	}
	k, err := g.lookUp(ctx, text)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, g.unknown(r, e, text)
	}
	if err != nil {
		return Caller{}, err
	}
	if wait := k.wait(g.Rate, g.now()); wait > 0 {
		return Caller{}, &Failure{Status: http.StatusTooManyRequests, RetryAfter: wait,
			Detail: "too many requests with this key; see Retry-After"}
	}
	account := k.Account
	if account == store.AnyAccount {
		account = ""
	}
	return Caller{Role: k.Role, Account: account, KeyID: k.ID, Customer: k.Customer}, nil
}

// unknown is what a key that nobody has is answered.
func (g *Guard) unknown(r *http.Request, e *Endpoint, text string) error {
	if e.Unknown != nil {
		e.Unknown(r, g.Store.HashKey(text))
	}
	return &Failure{Status: http.StatusUnauthorized, Detail: "the key is unknown or revoked"}
}

// applyAccount is the rule of X-Account-ID.
func applyAccount(c Caller, r *http.Request, scope Scope) (Caller, error) {
	values := r.Header["X-Account-Id"]
	if len(values) > 1 {
		return Caller{}, Invalid("X-Account-ID", "X-Account-ID was given twice")
	}
	if len(values) == 0 || strings.TrimSpace(values[0]) == "" {
		return c, nil
	}
	named := strings.TrimSpace(values[0])
	switch {
	case c.Role == store.RoleAdmin, c.Account == "" && c.Role == store.RoleIngest:
		c.Account = named
	case named != c.Account && scope == Refuse:
		return Caller{}, &Failure{Status: http.StatusForbidden, Field: "X-Account-ID", Detail: "the key is of another account than X-Account-ID names"}
	}
	return c, nil
}

// credential is the key of a request, "" where it has none. Several forms may be
// used, but they must agree.
func credential(r *http.Request) (string, error) {
	var few [4]string
	found := append(append(few[:0], r.Header["Apikey"]...), r.Header["X-Auth-Token"]...) // as net/http spells apiKey
	for _, value := range r.Header["Authorization"] {
		if scheme, rest, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "bearer") {
			found = append(found, strings.TrimSpace(rest))
		} else if _, password, ok := r.BasicAuth(); ok {
			found = append(found, password)
		} else {
			return "", &Failure{Status: http.StatusUnauthorized, Field: "Authorization", Detail: "Authorization must be Bearer KEY, or Basic with the key as password"}
		}
	}
	key := ""
	for _, k := range found {
		if k == "" {
			continue
		}
		if key != "" && k != key {
			return "", &Failure{Status: http.StatusUnauthorized, Detail: "the request has several keys that differ"}
		}
		key = k
	}
	if len(key) > store.MaxKey {
		return "", &Failure{Status: http.StatusUnauthorized, Detail: "the key is unknown or revoked"}
	}
	return key, nil
}

func (g *Guard) lookUp(ctx context.Context, text string) (*knownKey, error) {
	g.ownKeys.Do(func() {
		if g.Keys == nil {
			g.Keys = NewKeys(g.Store, g.Now)
		}
	})
	return g.Keys.find(ctx, g.Store.HashKey(text))
}

func (g *Guard) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}
