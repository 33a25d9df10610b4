package collector

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"

	"tallybook/api"
	"tallybook/schemas"
)

// envelopeBytes is more than a record of an application event has besides its
// body: an account, an id and names.
const envelopeBytes = 2 << 10

// appEndpoints are there where sessions and events can be looked up.
func (c *Collector) appEndpoints() []api.Endpoint {
	if c.cfg.Store == nil {
		return nil
	}
	one, also := "/events/{id}/", []string{"/events/{id}"}
	return []api.Endpoint{
		{Method: "POST", Path: "/sessions/", Also: []string{"/sessions"}, Access: api.Ingest, Form: api.PlainForm, Handle: c.postSession},
		{Method: "POST", Path: "/events/", Also: []string{"/events"}, Access: api.Ingest, Form: api.PlainForm, Timeout: -1, Handle: c.postAppEvent},
		{Method: "PUT", Path: one, Also: also, Access: api.Account, Form: api.PlainForm, Handle: c.putAppEvent},
		{Method: "PATCH", Path: one, Also: also, Access: api.Account, Form: api.PlainForm, Handle: c.patchAppEvent},
		{Method: "DELETE", Path: one, Also: also, Access: api.Account, Form: api.PlainForm, Handle: c.deleteAppEvent},
	}
}

// accountOf is the account that a caller writes for.
func accountOf(r *http.Request) (string, error) {
	account, err := api.CallerOf(r.Context()).RequireAccount()
	if err != nil {
		return "", err
	}
	if _, why := schemas.Account(&schemas.Event{Subject: []byte(account)}, nil); why != nil {
		return "", api.Invalid(accountHeader, "%s", why.Message)
	}
	return account, nil
}

// postSession answers POST /sessions/: the session is durable before the answer.
func (c *Collector) postSession(w http.ResponseWriter, r *http.Request) error {
	account, err := accountOf(r)
	if err != nil {
		return err
	}
	body, err := api.ReadBody(w, r, api.MaxBody)
	if err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); len(body) > 0 && string(body) != "{}" {
		return api.Invalid("", "a session has no properties: the body must be empty, or {}")
	}
	session, err := c.cfg.Store.CreateSession(r.Context(), randomUUID(), account)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusCreated, struct {
		ID        string `json:"id"`
		Timestamp string `json:"timestamp"`
		Account   string `json:"account"`
	}{session.ID, schemas.FormatTime(session.CreatedAt.UnixMicro()), session.Account})
	return nil
}

// postAppEvent answers POST /events/: 202 when the event is durable in the log.
// The workers judge it; here only what is no JSON object is refused, and an
// error entry made of it.
func (c *Collector) postAppEvent(w http.ResponseWriter, r *http.Request) error {
	account, err := accountOf(r)
	if err != nil {
		return err
	}
	if c.cfg.Behind() {
		return unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	l := c.newLoad()
	defer l.drop()
	body, p := c.read(w, r, l)
	if p == nil && len(body) > c.cfg.MaxEventBytes-envelopeBytes {
		p = tooLarge("an event", c.cfg.MaxEventBytes-envelopeBytes)
	}
	if p != nil {
		return refused(w, p)
	}
	received := receipt(c.cfg.Now())
	id := timedUUID(received)
	record, err := schemas.NewAppRecord(id, account, body)
	if err != nil {
		refusal := schemas.Refusal{Endpoint: schemas.AppSource, Reason: schemas.InvalidJSON, Message: "the body must be a JSON object: " + shortened(err.Error())}
		if err := c.Refuse(r.Context(), refusal, account, body); err != nil {
			return err
		}
		c.metrics.rejected(refusal.Reason)
		return api.Invalid("", "%s", refusal.Message)
	}
	e := event{id: id, topic: schemas.Usage, key: []byte(account), value: record, received: received}
	if err := c.produce(r.Context(), []event{e}); err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusAccepted, accepted202{ID: id,
		Message: "the event will be created after validation: see /events/" + id + "/, or /errors/ if it is invalid"})
	return nil
}

// accepted202 is the answer to what is in the log and not yet in the store.
type accepted202 struct {
	ID         string `json:"id"`
	Message    string `json:"message"`
	Correction string `json:"correction,omitempty"` // id of the correction that is on its way
}

// shortened keeps a message within what a header of a record may be.
func shortened(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// receipt is the moment of receipt as it stands on a record: whole milliseconds,
// rounded up, so that what happened before the receipt never seems to lie after it.
func receipt(now time.Time) time.Time {
	return now.Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// randomUUID is a UUID of version 4 (RFC 9562).
func randomUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return uuid(b, 4)
}

// timedUUID is a UUID of version 7: it says when it was made.
func timedUUID(at time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	ms := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	copy(b[:6], ms[2:])
	return uuid(b, 7)
}

func uuid(b [16]byte, version byte) string {
	b[6], b[8] = b[6]&0x0f|version<<4, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// timeOfUUID is when timedUUID made an id; ok is false for any other id.
func timeOfUUID(id string) (at time.Time, ok bool) {
	const shape = "00000000-0000-7000-8000-000000000000"
	if len(id) != len(shape) {
		return time.Time{}, false
	}
	for i := range id {
		if (id[i] == '-') != (shape[i] == '-') {
			return time.Time{}, false
		}
	}
	b, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18])
	if err != nil || id[14] != '7' {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...)))), true
}
