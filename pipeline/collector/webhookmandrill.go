package collector

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tallybook/api"
	"tallybook/schemas"
)

// mandrillTestKey signs the empty list by which Mandrill tries a webhook before
// there is a key for it.
const mandrillTestKey = "test-webhook"

// mandrill takes a list of events, each of which becomes a record of its own. An
// event that is no good does not hold up the others: it becomes an error.
func (c *Collector) mandrill(w http.ResponseWriter, r *http.Request) error {
	l := c.webhookLoad()
	defer l.drop()
	text, err := c.webhookBody(w, r, l, c.cfg.MaxBodyBytes)
	if err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return refuse(http.StatusUnsupportedMediaType, "content type %q is not taken here; application/x-www-form-urlencoded is", r.Header.Get("Content-Type"))
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return api.Invalid("", "the body must be a form: %v", err)
	}
	h := c.newWebhook(r, schemas.TypeMandrill, "/webhooks/mandrill")
	key, err := h.secret(r.Context(), "mandrill", c.cfg.Webhooks.MandrillKey)
	if err != nil {
		return err
	}
	list := strings.TrimSpace(form.Get("mandrill_events"))
	urls, signature := c.mandrillURLs(r), r.Header.Get("X-Mandrill-Signature")
	switch {
	case list == "[]" && mandrillSigned(mandrillTestKey, signature, urls, form):
	case key == "":
		return refuse(http.StatusUnauthorized, "there is no Mandrill webhook key for the account, so that no signature can be good")
	case !mandrillSigned(key, signature, urls, form):
		return refuse(http.StatusUnauthorized, "X-Mandrill-Signature is not good; it is checked over %s", strings.Join(urls, " or "))
	}
	var events []json.RawMessage
	if err := json.Unmarshal([]byte(list), &events); err != nil || events == nil {
		return api.Invalid("mandrill_events", "mandrill_events must be a JSON list of events")
	}
	if len(events) > c.cfg.MaxEvents {
		return c.tooMany()
	}
	for i, one := range events {
		if schemas.MandrillSync(one) {
			h.result.Ignored++
			continue
		}
		if why := h.add(schemas.TrimMandrill(one)); why != nil {
			c.cfg.Log.Warn("event of a webhook refused", "endpoint", h.endpoint, "account", h.account, "event", i+1, "of", len(events), "why", why)
		}
	}
	if err := h.store(r.Context()); err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, &h.result)
	return nil
}

// mandrillURLs are what the signature may be over.
func (c *Collector) mandrillURLs(r *http.Request) []string {
	public := c.cfg.Webhooks.PublicURL
	switch {
	case strings.Contains(public, "/webhooks/mandrill"):
		return []string{public}
	case public != "":
		return []string{strings.TrimRight(public, "/") + r.URL.EscapedPath()}
	}
	at := r.Host + r.URL.RequestURI()
	return []string{"https://" + at, "http://" + at}
}

// mandrillSigned checks base64 HMAC-SHA1 of the URL and every field's name and
// value, sorted by name.
func mandrillSigned(key, signature string, urls []string, form url.Values) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(given) != sha1.Size {
		return false
	}
	good := false
	for _, at := range urls {
		mac := hmac.New(sha1.New, []byte(key))
		io.WriteString(mac, at) // a hash takes everything
		for _, name := range slices.Sorted(maps.Keys(form)) {
			for _, value := range form[name] {
				io.WriteString(mac, name+value)
			}
		}
		good = hmac.Equal(given, mac.Sum(nil)) || good
	}
	return good
}
