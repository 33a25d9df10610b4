package query

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/mail"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) emailEndpoints() []api.Endpoint {
	// A round of all providers may take as long as its configuration says; the
	// server's own limit ends the answer, never the send.
	const sending = 3 * time.Minute
	return []api.Endpoint{
		{Method: "POST", Path: "/email", Access: api.Account, Form: api.PlainForm, Timeout: sending, Handle: q.sendEmail},
		{Method: "GET", Path: "/emails", Access: api.Account, Form: api.PlainForm, Handle: q.listEmails},
		{Method: "GET", Path: "/emails/{id}", Also: []string{"/email/{id}"}, Access: api.Account, Form: api.PlainForm, Handle: q.getEmail},
		{Method: "GET", Path: "/providers", Access: api.Admin, Form: api.PlainForm, Handle: q.listProviders},
		{Method: "GET", Path: "/alerts", Access: api.Admin, Form: api.PlainForm, Handle: q.listAlerts},
		{Method: "GET", Path: "/suppressions/{address}", Access: api.Admin, Form: api.PlainForm, Handle: q.getSuppression},
		{Method: "DELETE", Path: "/suppressions/{address}", Access: api.Admin, Form: api.PlainForm, Handle: q.deleteSuppression},
	}
}

// sendEmail takes a mail. 200, 202 and 422 have the mail's record; other
// refusals have none.
func (q *Server) sendEmail(w http.ResponseWriter, r *http.Request) error {
	if q.cfg.Mail == nil {
		return api.Unavailable(time.Second, "this process only reads; mails are sent where the pipeline or jobs run")
	}
	body, err := api.ReadBody(w, r, api.MaxBody)
	if err != nil {
		return err
	}
	req, err := mail.ParseRequest(body)
	if err != nil {
		return mailFailure(err)
	}
	caller := api.CallerOf(r.Context())
	if err := q.maySendAs(r, caller, req.From); err != nil {
		return err
	}
	answer, err := q.cfg.Mail.Send(r.Context(), mail.Order{Account: caller.Account, Key: r.Header.Get("Idempotency-Key"), Request: req})
	if err != nil {
		if errors.Is(err, mail.ErrStore) {
			q.cfg.Log.Error("mail", "err", err)
		}
		return mailFailure(err)
	}
	api.WriteJSON(w, answer.HTTPStatus, answer)
	return nil
}

// mailFailure is how the errors of a mail that left no record are answered.
func mailFailure(err error) error {
	var bad *mail.Invalid
	switch {
	case errors.As(err, &bad):
		return api.Invalid(bad.Field, "%s", bad.Detail)
	case errors.Is(err, mail.ErrKeyReused):
		return &api.Failure{Status: http.StatusUnprocessableEntity, Field: "Idempotency-Key", Detail: mail.ErrKeyReused.Error()}
	case errors.Is(err, mail.ErrStore):
		return api.Unavailable(time.Second, "the record of the mail cannot be written, so nothing was sent; try again")
	}
	return err
}

// maySendAs refuses a sender's domain that another account has registered.
func (q *Server) maySendAs(r *http.Request, caller api.Caller, from string) error {
	if caller.IsAdmin() {
		return nil
	}
	_, domain, _ := strings.Cut(from, "@")
	owner, err := q.cfg.Store.DomainOwner(r.Context(), schemas.MailDomain(domain))
	if errors.Is(err, store.ErrNotFound) || err == nil && owner == caller.Account {
		return nil
	}
	if err == nil {
		err = api.Forbidden("the domain of from is registered for another account")
	}
	return err
}

func (q *Server) getEmail(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	id := mux.Vars(r)["id"]
	record, err := mail.ReadRecord(r.Context(), q.cfg.Store, id)
	account := api.CallerOf(r.Context()).Account
	if errors.Is(err, store.ErrNotFound) || err == nil && account != "" && account != record.Account {
		return api.NotFound("there is no mail %q; GET /emails lists them", id)
	}
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, record)
	return nil
}

// listEmails lists mails, newest first; cursor is the id of the last one before.
func (q *Server) listEmails(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, get, err := paging(r, "status", "provider", "to", "from", "since", "before")
	if err != nil {
		return err
	}
	f := store.MailFilter{Account: api.CallerOf(r.Context()).Account, Status: store.MailStatus(get("status")), Provider: get("provider"),
		To: get("to"), From: get("from"), Limit: limit + 1}
	if f.Status != "" && !slices.Contains(store.MailStatuses, f.Status) {
		return api.Invalid("status", "status must be one of %q", store.MailStatuses)
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "before": &f.Before} {
		if get(name) == "" {
			continue
		}
		if *to, err = instant(name, get(name)); err != nil {
			return err
		}
	}
	if cursor != "" {
		last, err := q.cfg.Store.Mail(r.Context(), cursor)
		if errors.Is(err, store.ErrNotFound) {
			return api.Invalid("cursor", "cursor must be next of the page before")
		}
		if err != nil {
			return err
		}
		f.AfterTime, f.AfterID = last.CreatedAt, last.ID
	}
	list, err := q.cfg.Store.Mails(r.Context(), f)
	if err != nil {
		return err
	}
	writePage(w, "emails", limit, list, func(m *store.Mail) string { return m.ID }, mail.RecordOf)
	return nil
}

func (q *Server) listProviders(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	list := []mail.ProviderState{}
	if q.cfg.Mail != nil {
		list = q.cfg.Mail.Providers()
	}
	api.WriteJSON(w, http.StatusOK, list)
	return nil
}

type alertView struct {
	Kind    string    `json:"kind"`
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// listAlerts lists what operators should know, newest first.
func (q *Server) listAlerts(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, 1000, 10_000)
	if err != nil {
		return err
	}
	list, err := q.cfg.Store.Alerts(r.Context(), limit)
	if err != nil {
		return err
	}
	views := make([]alertView, 0, len(list))
	for _, a := range list {
		views = append(views, alertView{a.Kind, a.Key, a.At, a.Message})
	}
	api.WriteJSON(w, http.StatusOK, views)
	return nil
}

type suppressionView struct {
	Address  string    `json:"address"`
	Reason   string    `json:"reason"`
	Provider string    `json:"provider"`
	At       time.Time `json:"at"`
}

func (q *Server) getSuppression(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	p, err := q.cfg.Store.Suppression(r.Context(), mux.Vars(r)["address"])
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("%q is not suppressed", mux.Vars(r)["address"])
	}
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, suppressionView(p))
	return nil
}

func (q *Server) deleteSuppression(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	address := mux.Vars(r)["address"]
	err := q.cfg.Store.Unsuppress(r.Context(), api.CallerOf(r.Context()).Actor(), address)
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("%q is not suppressed", address)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
