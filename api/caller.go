package api

import (
	"context"

	"tallybook/store"
)

// Caller is who made a request, after X-Account-ID was applied.
type Caller struct {
	Role store.Role
	// Account is the only account that the answer may show or the request may
	// write for. "": none was named, which for an administrator means every
	// account; an ingest key for any account leaves it to the events' subjects.
	Account  string
	KeyID    string // "" without a key
	Customer string // id of the customer whose apiKey it is; "" else
}

type callerKey struct{}

// CallerOf is the caller of a request that Mount admitted; the zero Caller
// (nobody) outside of one.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// WithCaller is for tests of handlers without Mount.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// IsAdmin reports whether the caller administers the installation.
func (c Caller) IsAdmin() bool { return c.Role == store.RoleAdmin }

// Actor is the caller in the audit log.
func (c Caller) Actor() string {
	if c.KeyID == "" {
		return string(c.Role) // --no-auth
	}
	return "key " + c.KeyID
}

// RequireAccount is the account that the request is about: 400 where neither key nor header names one.
func (c Caller) RequireAccount() (string, error) {
	if c.Account == "" {
		return "", Invalid("X-Account-ID", "name the account in the header X-Account-ID, or use a key of the account")
	}
	return c.Account, nil
}

// Accounts are the accounts that a question may be asked of: nil means every one.
func (c Caller) Accounts() []string {
	if c.Account == "" && c.IsAdmin() {
		return nil
	}
	return []string{c.Account}
}

// MayWrite checks the account that an event names: "" takes the caller's own.
func (c Caller) MayWrite(subject string) (string, error) {
	switch {
	case subject == "" && c.Account == "":
		return "", Invalid("subject", "an event must name its account in subject; else the header X-Account-ID or the key names it")
	case subject == "":
		return c.Account, nil
	case c.Account != "" && c.Account != subject && !c.IsAdmin():
		return "", &Failure{Status: 403, Field: "subject", Detail: "the key is of another account than subject names"}
	}
	return subject, nil
}
