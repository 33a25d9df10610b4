package query

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) auditEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/audit", Access: api.Admin, Form: api.PlainForm, Handle: q.listAudit},
		{Method: "GET", Path: "/v1/accounts", Access: api.Admin, Form: api.PlainForm, Handle: q.listAccounts},
		{Method: "GET", Path: "/v1/accounts/{account}", Access: api.Admin, Form: api.PlainForm, Handle: q.getAccount},
		{Method: "PUT", Path: "/v1/accounts/{account}", Access: api.Admin, Form: api.PlainForm, Handle: q.putAccount},
	}
}

type auditView struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Noun    string    `json:"noun"`
	Subject string    `json:"subject"`
	Account string    `json:"account"`
	Before  any       `json:"before"`
	After   any       `json:"after"`
}

// listAudit lists changes, newest first.
func (q *Server) listAudit(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, _, err := paging(r)
	if err != nil {
		return err
	}
	var before int64
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return api.Invalid("cursor", "cursor must be next of the page before")
		}
	}
	list, err := q.cfg.Store.AuditLog(r.Context(), api.CallerOf(r.Context()).Account, before, limit+1)
	if err != nil {
		return err
	}
	writePage(w, "audit", limit, list, func(a *store.Audit) string { return fmt.Sprint(a.ID) }, func(a *store.Audit) auditView {
		return auditView{a.ID, a.At, a.Actor, a.Action, a.Noun, a.Subject, a.Account, a.Before, a.After}
	})
	return nil
}

// listAccounts lists the accounts that something was said of.
func (q *Server) listAccounts(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, _, err := paging(r)
	if err != nil {
		return err
	}
	var list []store.Account
	if account := api.CallerOf(r.Context()).Account; account == "" {
		list, err = q.cfg.Store.Accounts(r.Context(), cursor, limit+1)
	} else if a, missing := q.cfg.Store.Account(r.Context(), account); missing == nil {
		list = append(list, a)
	} else if !errors.Is(missing, store.ErrNotFound) {
		err = missing
	}
	if err != nil {
		return err
	}
	writePage(w, "accounts", limit, list, func(a *store.Account) string { return a.ID }, func(a *store.Account) store.Account { return *a })
	return nil
}

// getAccount answers with one; another than X-Account-ID names is not there.
func (q *Server) getAccount(w http.ResponseWriter, r *http.Request) error {
	id, caller := mux.Vars(r)["account"], api.CallerOf(r.Context())
	a, err := q.cfg.Store.Account(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) || err == nil && caller.Account != "" && caller.Account != id {
		return api.NotFound("nothing was ever said of account %q; GET /v1/accounts lists those that are known", id)
	}
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, a)
	return nil
}

// putAccount makes an account, or gives it another name.
func (q *Server) putAccount(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name string `json:"name"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	account, caller := mux.Vars(r)["account"], api.CallerOf(r.Context())
	var bad faults
	bad.name("name", body.Name, false)
	if err := CheckAccount("account", account); err != nil || account == store.AnyAccount || account == schemas.UnknownAccount {
		bad.add("account", "must be an account's name: up to %d bytes, no control characters, not %s or %s",
			schemas.MaxAccount, store.AnyAccount, schemas.UnknownAccount)
	}
	if caller.Account != "" && caller.Account != account {
		bad.add("account", "must be that of X-Account-ID")
	}
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	a, err := q.cfg.Store.PutAccount(r.Context(), caller.Actor(), account, body.Name)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, a)
	return nil
}
