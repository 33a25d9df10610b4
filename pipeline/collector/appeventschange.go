package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// A change of an application event is a correction, carried by the topic. It is
// answered when a worker has applied it: then its effect is visible everywhere,
// and it is known whether another writer came first.
//
// A correction applies when its revision follows the event's. Of two writers
// that saw the same revision, the one whose correction comes first in the log is
// applied and the other's is not: with If-Match it gets 412, without it the
// change is made again on what the first left behind.

// newData gives the data that an event shall have; nil: it shall be gone.
type newData func(now *store.AppEvent) (after []byte, err error)

func (c *Collector) putAppEvent(w http.ResponseWriter, r *http.Request) error {
	body, err := changeBody(w, r, "application/json")
	if err != nil {
		return err
	}
	return c.changeAppEvent(w, r, func(now *store.AppEvent) ([]byte, error) { return c.appData(r.Context(), now, body) })
}

// patchAppEvent merges as RFC 7396 says, into the event as GET shows it.
func (c *Collector) patchAppEvent(w http.ResponseWriter, r *http.Request) error {
	body, err := changeBody(w, r, "application/json", "application/merge-patch+json")
	if err != nil {
		return err
	}
	patch, err := jsonObject(body)
	if err != nil {
		return err
	}
	return c.changeAppEvent(w, r, func(now *store.AppEvent) ([]byte, error) {
		shown, err := json.Marshal(now.Shown())
		if err != nil {
			return nil, err
		}
		is, err := jsonObject(shown)
		if err != nil {
			return nil, err
		}
		merged, err := json.Marshal(mergePatch(is, patch))
		if err != nil {
			return nil, err
		}
		return c.appData(r.Context(), now, merged)
	})
}

func (c *Collector) deleteAppEvent(w http.ResponseWriter, r *http.Request) error {
	return c.changeAppEvent(w, r, func(*store.AppEvent) ([]byte, error) { return nil, nil })
}

func changeBody(w http.ResponseWriter, r *http.Request, types ...string) ([]byte, error) {
	if text := r.Header.Get("Content-Type"); text != "" {
		kind, _, err := mime.ParseMediaType(text)
		if err != nil || !slices.Contains(types, kind) {
			return nil, refuse(http.StatusUnsupportedMediaType, "content type %q is not taken here; %s is", text, strings.Join(types, " or "))
		}
	}
	return api.ReadBody(w, r, api.MaxBody)
}

// jsonObject keeps numbers as they are written.
func jsonObject(text []byte) (map[string]any, error) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if value := jsontext.Value(text); !value.IsValid() || value.Kind() != '{' || d.Decode(&object) != nil {
		return nil, api.Invalid("", "the body must be a JSON object, without a name that stands twice")
	}
	return object, nil
}

// mergePatch is RFC 7396.
func mergePatch(to any, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := to.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = mergePatch(object[name], value)
		}
	}
	return object
}

// appData is the new data of an event, from a body as POST /events/ takes it and
// by the same rules. Only the timestamp must be what it was: a correction moves
// no event to another time.
func (c *Collector) appData(ctx context.Context, now *store.AppEvent, body []byte) ([]byte, error) {
	record, err := schemas.NewAppRecord(now.ID, now.Account, body)
	if err != nil {
		return nil, api.Invalid("", "the body must be a JSON object: %v", err)
	}
	var decoder schemas.Decoder
	var ev schemas.Event
	why := decoder.Decode(schemas.Usage, record, &ev)
	if why == nil {
		why = c.cfg.Rules.Validate(schemas.Usage, &ev, ev.Time)
	}
	if why != nil {
		why = why.OfAppBody()
		return nil, api.Invalid(why.Field, "%s", why.Message)
	}
	if ev.Time != now.Time {
		return nil, api.Invalid("timestamp", "timestamp must stay what it is, %s: delete the event and create another", schemas.FormatTime(now.Time))
	}
	session := strings.ToLower(string(ev.Strings[schemas.Session]))
	owner, err := c.cfg.Store.SessionAccount(ctx, session)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if owner != now.Account {
		return nil, api.Invalid("session.id", "session.id: the account has no session %q; POST /sessions/ makes one", session)
	}
	var whole struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(record, &whole); err != nil {
		return nil, err
	}
	return whole.Data, nil
}

// changeAppEvent makes a correction and waits until it has been applied.
func (c *Collector) changeAppEvent(w http.ResponseWriter, r *http.Request, change newData) error {
	match, err := ifMatch(r)
	if err != nil {
		return err
	}
	if c.cfg.Behind() {
		return unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	ctx, cancel := context.WithTimeout(r.Context(), c.cfg.ApplyTimeout)
	defer cancel()
	for {
		now, err := c.findAppEvent(ctx, r)
		if err != nil {
			return err
		}
		if !match.allows(now.Revision) {
			return refuse(http.StatusPreconditionFailed, "the event has revision %d by now, not what If-Match names", now.Revision)
		}
		after, err := change(&now)
		if err != nil {
			return err
		}
		id, err := c.correct(ctx, r, &now, after)
		if err != nil {
			return err
		}
		switch outcome, err := c.await(ctx, &now, id); {
		case err != nil:
			return err
		case outcome == applied:
			return c.answerChanged(w, r, &now)
		case outcome == open:
			api.WriteJSON(w, http.StatusAccepted, accepted202{ID: now.ID, Correction: id,
				Message: "the change is durable and not yet applied; it will be, unless another change of the event was first: see its revision"})
			return nil
		}
	}
}

func (c *Collector) answerChanged(w http.ResponseWriter, r *http.Request, was *store.AppEvent) error {
	var now store.AppEvent
	err := c.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		now, err = v.AppEvent(was.Account, was.Source, was.ID)
		return err
	})
	if err != nil {
		return err
	}
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if now.RetractedAt != 0 { // right behind our change
		return api.NotFound("the event was deleted")
	}
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(now.Revision, 10)))
	api.WriteJSON(w, http.StatusOK, now.Shown())
	return nil
}
