package api

import (
	"net/http"
	"time"

	"tallybook/store"
)

// Access says which callers an endpoint answers.
type Access int

const (
	// Public: anybody, no credential is looked at: probes, documentation.
	Public Access = iota
	// Signed: the handler checks a signature of its own, as webhooks do.
	Signed
	// Ingest: every key may call it, also one that only writes.
	Ingest
	// Account: keys that may read: an account's own, and administrators.
	Account
	// Admin: administrators alone.
	Admin
)

// String is the name in documentation and tests.
func (a Access) String() string {
	return [...]string{"public", "signed", "ingest", "account", "admin"}[a]
}

// Scope says what X-Account-ID does that names another account than the key's.
type Scope int

const (
	// Refuse: 403.
	Refuse Scope = iota
	// Replace: the caller's own account is used instead (summary-v2.md).
	Replace
)

// Handler answers a request, or returns an error that Mount answers in the
// endpoint's form. An error that comes when the answer has begun cuts the
// connection, so that no reader takes a part for the whole.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Endpoint is one method of one path.
type Endpoint struct {
	Method  string
	Path    string   // in mux's form: /v1/customers/{id}
	Also    []string // other spellings of the path that answer the same
	Access  Access
	Scope   Scope
	Form    ErrorForm
	Timeout time.Duration // 0: Options.Timeout; negative: none but the server's own
	// Unknown, where it is set, hears of each key that nobody has, before that
	// is answered 401; with it, an unknown key is a 401 under Guard.NoAuth too.
	Unknown func(r *http.Request, hash store.KeyHash)
	Handle  Handler
}
