package collector

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// correct puts a correction of the event into the log, where it is durable when
// this returns nil.
func (c *Collector) correct(ctx context.Context, r *http.Request, now *store.AppEvent, after []byte) (id string, err error) {
	received := receipt(c.cfg.Now())
	id = timedUUID(received)
	own := schemas.Identity{ID: id, Source: schemas.AppSource, Account: now.Account, Time: received}
	correction := schemas.Correction{Source: now.Source, ID: now.ID, Revision: now.Revision + 1, After: after, Reason: r.Method + " " + schemas.AppSource}
	value := schemas.NewRetraction(own, correction)
	if after != nil {
		if value, err = schemas.NewAmendment(own, correction); err != nil {
			return "", err
		}
	}
	return id, c.produce(ctx, []event{{id: id, topic: schemas.Usage, key: []byte(now.Account), value: value, received: received}})
}

// outcome of a correction.
type outcome int

const (
	open    outcome = iota // not applied when the time was up
	applied                // it is in the store
	beaten                 // another took its revision
)

const (
	firstLook = 5 * time.Millisecond
	lastLook  = 100 * time.Millisecond
)

// await looks into the store until the revision after now is taken.
func (c *Collector) await(ctx context.Context, now *store.AppEvent, id string) (outcome, error) {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		state, err := c.cfg.Store.CorrectionState(ctx, schemas.Usage, now.EventKey)
		switch {
		case ctx.Err() != nil:
			return open, nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return open, err
		case err == nil && state.Revision > now.Revision:
			_, err = c.cfg.Store.AppliedCorrection(ctx, now.Account, schemas.AppSource, id)
			switch {
			case err == nil:
				return applied, nil
			case errors.Is(err, store.ErrNotFound):
				return beaten, nil
			}
			return open, err
		}
		select {
		case <-ctx.Done():
			return open, nil
		case <-c.stopped:
			return open, nil
		case <-time.After(pause):
		}
	}
}

// revisions is what If-Match names; nil: anything.
type revisions []int64

func (m revisions) allows(revision int64) bool {
	return m == nil || slices.Contains(m, revision)
}

// ifMatch reads If-Match; a weak tag never matches (RFC 9110).
func ifMatch(r *http.Request) (revisions, error) {
	text := strings.Join(r.Header.Values("If-Match"), ",")
	if text = strings.TrimSpace(text); text == "" || text == "*" {
		return nil, nil
	}
	match := revisions{}
	for _, tag := range strings.Split(text, ",") {
		tag = strings.TrimSpace(tag)
		strong, isWeak := strings.CutPrefix(tag, "W/")
		if len(strong) < 2 || strong[0] != '"' || strong[len(strong)-1] != '"' {
			return nil, api.Invalid("If-Match", `If-Match must be the ETag of the event, such as "0", or *`)
		}
		if n, err := strconv.ParseInt(strong[1:len(strong)-1], 10, 64); err == nil && !isWeak {
			match = append(match, n)
		}
	}
	return match, nil
}

// findAppEvent is the event that a request names.
func (c *Collector) findAppEvent(ctx context.Context, r *http.Request) (store.AppEvent, error) {
	id, account := mux.Vars(r)["id"], api.CallerOf(r.Context()).Account
	source, err := sourceParameter(r)
	if err != nil {
		return store.AppEvent{}, err
	}
	e, err := c.lookUpAppEvent(ctx, account, source, id)
	if errors.Is(err, store.ErrNotFound) {
		pending, pendingErr := c.mayCome(ctx, account, id)
		if pendingErr != nil {
			return e, pendingErr
		}
		// What was not processed before may have been meanwhile.
		if e, err = c.lookUpAppEvent(ctx, account, source, id); errors.Is(err, store.ErrNotFound) && pending {
			return e, &api.Failure{Status: http.StatusConflict, RetryAfter: time.Second,
				Detail: "the event was accepted and not processed yet; try again"}
		}
	}
	switch {
	case errors.Is(err, store.ErrSeveral):
		return e, api.Conflict("source", "several events have this id: name the source, and as an administrator the account in %s", accountHeader)
	case errors.Is(err, store.ErrNotFound):
		return e, api.NotFound("there is no event %q", id)
	case err != nil:
		return e, err
	case e.RetractedAt != 0:
		return e, api.NotFound("the event was deleted")
	}
	return e, nil
}

func sourceParameter(r *http.Request) (string, error) {
	for name, values := range r.URL.Query() {
		if name != "source" || len(values) > 1 || values[0] == "" {
			return "", api.Invalid(name, "unknown parameter %q; allowed is source, once and not empty", name)
		}
	}
	return r.URL.Query().Get("source"), nil
}

func (c *Collector) lookUpAppEvent(ctx context.Context, account, source, id string) (e store.AppEvent, err error) {
	err = c.cfg.Store.View(ctx, func(v *store.View) (err error) {
		e, err = v.AppEvent(account, source, id)
		return err
	})
	return e, err
}

// clockSlack is how much newer than an id a partition's log clock must be for all
// records of that id's time to be below its position: a produce takes up to
// ProduceTimeout, and clocks differ.
const clockSlack = 30 * time.Second

// mayCome reports whether an id that POST /events/ made may be in the log and
// not yet in the store: a partition is behind the end that its log had now.
func (c *Collector) mayCome(ctx context.Context, account, id string) (bool, error) {
	made, ok := timeOfUUID(id)
	if !ok {
		return false, nil
	}
	partitions := c.lanes[schemas.Usage]
	if account != "" {
		partitions = []*lane{c.laneOf(&event{topic: schemas.Usage, key: []byte(account)})}
	}
	ends := map[schemas.Partition]int64{}
	for _, l := range partitions {
		pos, err := c.cfg.Store.Position(ctx, l.tp)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if time.UnixMicro(pos.Clock).Sub(made) > clockSlack {
			continue
		}
		if _, ends[l.tp], err = c.cfg.Kafka.Offsets(ctx, l.tp); err != nil {
			return false, unavailable(time.Second, "Kafka does not answer; try again")
		}
	}
	for tp, end := range ends {
		pos, err := c.cfg.Store.Position(ctx, tp)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if pos.Next < end {
			return true, nil
		}
	}
	return false, nil
}
