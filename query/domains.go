package query

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) domainEndpoints() []api.Endpoint {
	const domains, webhooks = "/v1/accounts/{account}/domains", "/v1/accounts/{account}/webhooks"
	return []api.Endpoint{
		{Method: "GET", Path: domains, Access: api.Account, Form: api.PlainForm, Handle: q.listDomains},
		{Method: "PUT", Path: domains + "/{domain}", Access: api.Admin, Form: api.PlainForm, Handle: q.putDomain},
		{Method: "DELETE", Path: domains + "/{domain}", Access: api.Admin, Form: api.PlainForm, Handle: q.deleteDomain},
		{Method: "GET", Path: webhooks, Access: api.Admin, Form: api.PlainForm, Handle: q.listWebhookKeys},
		{Method: "PUT", Path: webhooks + "/{provider}", Access: api.Admin, Form: api.PlainForm, Handle: q.putWebhookKey},
		{Method: "DELETE", Path: webhooks + "/{provider}", Access: api.Admin, Form: api.PlainForm, Handle: q.deleteWebhookKey},
	}
}

// pathAccount is the account of the path, which the caller must be allowed to see.
func pathAccount(r *http.Request) (string, error) {
	if _, err := parameters(r); err != nil {
		return "", err
	}
	account, caller := mux.Vars(r)["account"], api.CallerOf(r.Context())
	if !caller.IsAdmin() && caller.Account != account {
		return "", api.Forbidden("the key is of another account than the path names")
	}
	if account == store.AnyAccount {
		return "", api.Invalid("account", "account must be one account")
	}
	return account, CheckAccount("account", account)
}

func (q *Server) listDomains(w http.ResponseWriter, r *http.Request) error {
	account, err := pathAccount(r)
	if err != nil {
		return err
	}
	list, err := q.cfg.Store.Domains(r.Context(), account, "", 0)
	if err != nil {
		return err
	}
	if list == nil {
		list = []store.Domain{}
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"domains": list})
	return nil
}

func (q *Server) putDomain(w http.ResponseWriter, r *http.Request) error {
	account, domain, err := pathDomain(r)
	if err != nil {
		return err
	}
	d, _, err := q.cfg.Store.PutDomain(r.Context(), api.CallerOf(r.Context()).Actor(), account, domain)
	switch {
	case errors.Is(err, store.ErrExists):
		return api.Conflict("domain", "domain %s is another account's", domain)
	case errors.Is(err, store.ErrTooMany):
		return api.Conflict("domain", "an account may have up to %d domains", store.MaxDomains)
	case err != nil:
		return err
	}
	api.WriteJSON(w, http.StatusOK, d)
	return nil
}

func (q *Server) deleteDomain(w http.ResponseWriter, r *http.Request) error {
	account, domain, err := pathDomain(r)
	if err != nil {
		return err
	}
	err = q.cfg.Store.DeleteDomain(r.Context(), api.CallerOf(r.Context()).Actor(), account, domain)
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("account %q has no domain %s", account, domain)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func pathDomain(r *http.Request) (account, domain string, err error) {
	if account, err = pathAccount(r); err != nil {
		return "", "", err
	}
	domain = schemas.MailDomain(mux.Vars(r)["domain"])
	return account, domain, checkDomain(domain)
}

// checkDomain holds a name, in lower case, against the rules of host names; an
// underscore is let through, as names of sending domains may have it.
func checkDomain(domain string) error {
	wrong := api.Invalid("domain", "domain must be a host name in ASCII (others as xn--…): labels of 1 to 63 letters, digits, - and _ with dots between, up to 253 in all")
	if len(domain) > 253 {
		return wrong
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return wrong
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return wrong
			}
		}
	}
	return nil
}

func (q *Server) listWebhookKeys(w http.ResponseWriter, r *http.Request) error {
	account, err := pathAccount(r)
	if err != nil {
		return err
	}
	list, err := q.cfg.Store.WebhookKeys(r.Context(), account)
	if err != nil {
		return err
	}
	if list == nil {
		list = []store.WebhookKey{}
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"webhooks": list})
	return nil
}

func pathProvider(r *http.Request) (string, error) {
	switch provider := mux.Vars(r)["provider"]; provider {
	case "mailgun", "mandrill":
		return provider, nil
	default:
		return "", api.NotFound("webhooks have the providers mailgun and mandrill, not %.100q", provider)
	}
}

// maxWebhookKey bounds a provider's key, in bytes.
const maxWebhookKey = 256

func (q *Server) putWebhookKey(w http.ResponseWriter, r *http.Request) error {
	account, err := pathAccount(r)
	if err != nil {
		return err
	}
	var body struct {
		Key string `json:"key"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	if body.Key == "" || len(body.Key) > maxWebhookKey || strings.ContainsFunc(body.Key, isControl) {
		return api.Invalid("key", "key is required: the provider's key for signatures, 1 to %d bytes without control characters", maxWebhookKey)
	}
	provider, err := pathProvider(r)
	if err != nil {
		return err
	}
	if err := q.cfg.Store.PutWebhookKey(r.Context(), api.CallerOf(r.Context()).Actor(), account, provider, body.Key); err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, store.WebhookKey{Provider: provider, ChangedAt: q.cfg.Now().UTC().Truncate(time.Microsecond)})
	return nil
}

func (q *Server) deleteWebhookKey(w http.ResponseWriter, r *http.Request) error {
	account, err := pathAccount(r)
	if err != nil {
		return err
	}
	provider, err := pathProvider(r)
	if err != nil {
		return err
	}
	err = q.cfg.Store.DeleteWebhookKey(r.Context(), api.CallerOf(r.Context()).Actor(), account, provider)
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("account %q has no %s webhook key of its own", account, provider)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
