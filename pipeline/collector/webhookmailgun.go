package collector

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	mailgunStale = 24 * time.Hour  // how old a signature may be
	mailgunAhead = 5 * time.Minute // and how far ahead of our clock
	maxToken     = 256             // bytes of a signature's fields
)

// mailgunBody is what Mailgun posts.
type mailgunBody struct {
	Signature struct {
		Timestamp json.RawMessage `json:"timestamp"` // a string, or a number
		Token     string          `json:"token"`
		Signature string          `json:"signature"`
	} `json:"signature"`
	EventData json.RawMessage `json:"event-data"`
}

// notAcceptable is a 406: Mailgun does not send again what was answered so.
func notAcceptable(format string, args ...any) error {
	return refuse(http.StatusNotAcceptable, format, args...)
}

// mailgun takes one event. The signature covers timestamp and token alone, so
// that a token is good for one body: it is remembered once that is durable.
func (c *Collector) mailgun(w http.ResponseWriter, r *http.Request) error {
	l := c.webhookLoad()
	defer l.drop()
	text, err := c.webhookBody(w, r, l, c.cfg.MaxEventBytes)
	if err != nil {
		return err
	}
	var body mailgunBody
	if err := json.Unmarshal(text, &body); err != nil {
		return notAcceptable("the body must be JSON with signature and event-data: %v", err)
	}
	h := c.newWebhook(r, schemas.TypeMailgunWebhook, "/webhooks/mailgun")
	key, err := h.secret(r.Context(), "mailgun", c.cfg.Webhooks.MailgunKey)
	if err != nil {
		return err
	}
	signed, err := body.verify(key, h.received)
	if err != nil {
		return err
	}
	token := h.token(body.Signature.Token, text)
	token.ExpiresAt = signed.Add(mailgunStale + time.Hour)
	lock := c.webhookLocks.of(token.Token)
	lock.Lock()
	defer lock.Unlock()
	known, err := h.known(r.Context(), &token)
	if err != nil {
		return err
	}
	if known {
		h.result.Accepted++
		api.WriteJSON(w, http.StatusOK, &h.result)
		return nil
	}
	why := h.add(withoutSignature(body.EventData))
	if err := h.store(r.Context()); err != nil {
		return err
	}
	if why != nil {
		return notAcceptable("%s", why.Message)
	}
	// If we die here the event is durable and the token is not known: the body
	// comes again, and its event is a repeat.
	if err := c.cfg.Store.RememberWebhookToken(r.Context(), token); err != nil {
		c.cfg.Log.Warn("webhook", "error", err)
		return unavailable(time.Second, "the store does not answer; send again")
	}
	api.WriteJSON(w, http.StatusOK, &h.result)
	return nil
}

// token is good for one body of one account: the signature says nothing of
// either. An account's own key has tokens of its own, so that nobody spends those
// of the installation's.
func (h *webhook) token(text string, body []byte) store.WebhookToken {
	whose := h.account
	if h.ours {
		whose = ""
	}
	return store.WebhookToken{Token: sha256.Sum256([]byte(whose + "\x00" + text)), Body: bodyHash(h.account, body)}
}

// withoutSignature is what is kept of a body: its event.
func withoutSignature(eventData json.RawMessage) []byte {
	return append(append([]byte(`{"event-data":`), bytes.TrimSpace(eventData)...), '}')
}

// verify holds the signature, hex HMAC-SHA256 of timestamp and token, against
// the key, and its timestamp against the clock.
func (b *mailgunBody) verify(key string, now time.Time) (signed time.Time, err error) {
	stamp := string(bytes.Trim(b.Signature.Timestamp, `" `))
	switch {
	case key == "":
		return signed, notAcceptable("there is no Mailgun signing key for the account, so that no signature can be good")
	case len(b.EventData) == 0:
		return signed, notAcceptable("event-data is missing")
	case b.Signature.Token == "" || len(b.Signature.Token) > maxToken || len(stamp) > maxToken:
		return signed, notAcceptable("signature must have timestamp, token and signature")
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp + b.Signature.Token))
	given, err := hex.DecodeString(b.Signature.Signature)
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return signed, notAcceptable("the signature is not good")
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return signed, notAcceptable("signature.timestamp must be whole seconds since 1970")
	}
	signed = time.Unix(seconds, 0)
	if now.Sub(signed) > mailgunStale || signed.Sub(now) > mailgunAhead {
		return signed, notAcceptable("the signature is of %s: it is good for %v", signed.UTC().Format(time.RFC3339), mailgunStale)
	}
	return signed, nil
}

// known says whether the token has come before with this body; with another one
// it is refused.
func (h *webhook) known(ctx context.Context, token *store.WebhookToken) (bool, error) {
	body, err := h.c.cfg.Store.FindWebhookToken(ctx, token.Token)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		h.c.cfg.Log.Warn("webhook", "error", err)
		return false, unavailable(time.Second, "the store does not answer; send again")
	case body != token.Body:
		return false, notAcceptable("the token has come before with another body, or to another account")
	}
	return true, nil
}

// bodyHash does not depend on white space.
func bodyHash(account string, text []byte) [sha256.Size]byte {
	var compact bytes.Buffer
	if json.Compact(&compact, text) == nil {
		text = compact.Bytes()
	}
	return sha256.Sum256(append([]byte(account+"\x00"), text...))
}
