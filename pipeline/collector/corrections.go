package collector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// correctionSource is the source of corrections that administrators make here.
const correctionSource = "/v1/events/corrections"

// correctionEndpoints are there where the state of events can be looked up.
func (c *Collector) correctionEndpoints() []api.Endpoint {
	if c.cfg.Store == nil {
		return nil
	}
	return []api.Endpoint{
		{Method: "POST", Path: "/v1/events/retract", Access: api.Admin, Form: api.PlainForm, Handle: c.postRetraction},
		{Method: "POST", Path: "/v1/events/amend", Access: api.Admin, Form: api.PlainForm, Handle: c.postAmendment},
	}
}

// Produce puts an event, which must be right, into the log under its account.
// It is durable when this returns nil; after an error it may be in the log.
func (c *Collector) Produce(ctx context.Context, topic schemas.Topic, account string, value []byte) error {
	return c.produce(ctx, []event{{topic: topic, key: []byte(account), value: value, received: receipt(c.cfg.Now())}})
}

// retraction is the body of POST /v1/events/retract.
type retraction struct {
	Source  string        `json:"source"`
	ID      string        `json:"id"`
	Account string        `json:"account"`
	Topic   schemas.Topic `json:"topic"`
	Reason  string        `json:"reason"`
}

// amendment is the body of POST /v1/events/amend.
type amendment struct {
	retraction
	After json.RawMessage `json:"after"`
}

// acceptedCorrection is the answer to a correction that is in the log.
type acceptedCorrection struct {
	ID       string `json:"id"`       // the correction's own
	Source   string `json:"source"`   // the correction's own
	Revision int64  `json:"revision"` // that the event gets by it
	Message  string `json:"message"`
}

func (c *Collector) postRetraction(w http.ResponseWriter, r *http.Request) error {
	var body retraction
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	return c.takeCorrection(w, r, &amendment{retraction: body}, false)
}

func (c *Collector) postAmendment(w http.ResponseWriter, r *http.Request) error {
	var body amendment
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	return c.takeCorrection(w, r, &body, true)
}

// takeCorrection answers 202 when the correction is durable in the log. The
// workers apply it; what they will surely refuse is refused here: a correction
// of an event that was retracted, new data that its type does not allow. Of two
// corrections at once the first in the log is applied; the other is a repeat.
func (c *Collector) takeCorrection(w http.ResponseWriter, r *http.Request, body *amendment, amends bool) error {
	named := api.CallerOf(r.Context()).Account
	if body.Account != "" && named != "" && body.Account != named {
		return api.Invalid("account", "account is %q, the header %s names %q", body.Account, accountHeader, named)
	}
	account := cmp.Or(body.Account, named)
	if account == "" {
		return api.Invalid("account", "account is required: in the body or in the header %s", accountHeader)
	}
	if body.Topic != "" && !slices.Contains(schemas.Topics, body.Topic) {
		return api.Invalid("topic", "topic must be one of %q", schemas.Topics)
	}
	key := store.EventKey{Account: account, Source: body.Source, ID: body.ID}
	state, err := c.correctionState(r.Context(), body.Topic, key)
	if err != nil {
		return err
	}
	if state.Retracted {
		return api.Conflict("id", "the event was retracted, by its revision %d", state.Revision)
	}
	received := receipt(c.cfg.Now())
	own := schemas.Identity{ID: timedUUID(received), Source: correctionSource, Account: account, Time: received}
	correction := schemas.Correction{Source: body.Source, ID: body.ID, Revision: state.Revision + 1, Reason: body.Reason}
	value := schemas.NewRetraction(own, correction)
	if amends {
		if correction.After = body.After; len(body.After) == 0 {
			return api.Invalid("after", "after is required: the event's new data, whole, an object")
		}
		if value, err = schemas.NewAmendment(own, correction); err != nil {
			return api.Invalid("after", "after must be an object")
		}
	}
	if err := c.checkCorrection(value, &state, &correction, account); err != nil {
		return err
	}
	if c.cfg.Behind() {
		return unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	if err := c.Produce(r.Context(), state.Topic, account, value); err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusAccepted, acceptedCorrection{ID: own.ID, Source: own.Source, Revision: correction.Revision,
		Message: "the correction is durable; it is applied when the workers have come to it, or becomes an internal error that says why not"})
	return nil
}

// correctionState is the state of an event: revision 0 for one that was never
// corrected, on the topic that was named, else on usage.
func (c *Collector) correctionState(ctx context.Context, topic schemas.Topic, key store.EventKey) (store.CorrectedEvent, error) {
	topics := schemas.Topics
	if topic != "" {
		topics = []schemas.Topic{topic}
	}
	var found []store.CorrectedEvent
	for _, t := range topics {
		switch e, err := c.cfg.Store.CorrectionState(ctx, t, key); {
		case err == nil:
			found = append(found, e)
		case !errors.Is(err, store.ErrNotFound):
			return e, err
		}
	}
	switch len(found) {
	case 0:
		return store.CorrectedEvent{EventKey: key, Topic: cmp.Or(topic, schemas.Usage)}, nil
	case 1:
		return found[0], nil
	}
	return found[0], api.Conflict("topic", "events of several topics have this source and id: name the topic")
}

// checkCorrection holds the correction against the rules as the workers will.
func (c *Collector) checkCorrection(value []byte, state *store.CorrectedEvent, correction *schemas.Correction, account string) error {
	if len(value) > c.cfg.MaxEventBytes {
		return &api.Failure{Status: http.StatusRequestEntityTooLarge, Detail: tooLarge("a correction", c.cfg.MaxEventBytes).Detail}
	}
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	why := d.decoder.Decode(state.Topic, value, &d.event)
	if why == nil {
		why = c.cfg.Rules.Validate(state.Topic, &d.event, receipt(c.cfg.Now()).UnixMicro())
	}
	if why == nil {
		_, why = schemas.Account(&d.event, nil)
	}
	var rows []struct {
		Type string `json:"type"`
	}
	if why == nil && correction.After != nil && json.Unmarshal(state.Rows, &rows) == nil && len(rows) == 1 {
		why = d.decoder.DecodeAfter(state.Topic, rows[0].Type, correction.After, &d.event)
	}
	if why == nil {
		return nil
	}
	field := strings.TrimPrefix(strings.TrimPrefix(why.Field, "data."), "event.")
	if field == "subject" {
		field = "account"
	}
	return api.Invalid(field, "%s", why.Message)
}
