package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"time"

	"tallybook/api"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

// intake is what a request brought.
type intake struct {
	events   []event
	received time.Time // a whole millisecond, as records have it
}

// collect takes a request as far as checked events.
func (c *Collector) collect(w http.ResponseWriter, r *http.Request, l *load, allowed form) (*intake, *api.Failure) {
	if c.cfg.Behind() {
		return nil, unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	form, p := formOf(r.Header)
	if p == nil && form&^allowed != 0 {
		p = refuse(http.StatusUnsupportedMediaType, "content type %q is not taken here", r.Header.Get("Content-Type"))
	}
	if p != nil {
		return nil, p
	}
	body, p := c.read(w, r, l)
	if p != nil {
		return nil, p
	}
	pieces, p := c.split(body, form)
	if p != nil {
		return nil, p
	}
	in := &intake{events: make([]event, len(pieces)), received: c.cfg.Now().Truncate(time.Millisecond)}
	caller := api.CallerOf(r.Context())
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	homeless := 0
	for i, piece := range pieces {
		in.events[i] = c.check(d, piece, caller, in.received)
		if rejection := in.events[i].rejected; rejection != nil {
			c.metrics.rejected(rejection.Reason)
			if rejection.Reason == schemas.NoAccount {
				homeless++
			}
		}
	}
	if homeless > 0 && homeless == len(pieces) {
		return nil, &api.Failure{Status: http.StatusBadRequest, Field: "subject", Detail: noAccount}
	}
	return in, nil
}

// store produces the events that were not rejected and waits until all of them
// are acknowledged or given up; what is not acknowledged is marked lost.
func (c *Collector) store(ctx context.Context, l *load, in *intake) (durable, lost int) {
	groups := c.groups(in)
	done := make(chan *group, len(groups))
	deadline := time.Now().Add(c.cfg.ProduceTimeout)
	timer := time.NewTimer(c.cfg.ProduceTimeout)
	defer timer.Stop()
	for _, g := range groups {
		lost += len(g.records)
		g.mark(in.events, true)
		g.deadline, g.load, g.done = deadline, l, done
		l.users.Add(1)
		if !g.lane.offer(g) {
			g.finish(errBusy)
		}
	}
wait:
	for range groups {
		select {
		case g := <-done:
			if g.err == nil {
				g.mark(in.events, false)
				durable += len(g.records)
			}
		case <-timer.C:
			break wait
		case <-c.stopped:
			break wait
		case <-ctx.Done():
			break wait
		}
	}
	lost -= durable
	c.metrics.events.WithLabelValues(accepted).Add(float64(durable))
	c.metrics.events.WithLabelValues(notDurable).Add(float64(lost))
	return durable, lost
}

// groups sorts events into their partitions.
func (c *Collector) groups(in *intake) []*group {
	current := make(map[*lane]*group)
	var groups []*group
	for i := range in.events {
		e := &in.events[i]
		if e.rejected != nil {
			continue
		}
		lane := c.laneOf(e)
		size := len(e.key) + len(e.value) + recordOverhead
		g := current[lane]
		if g == nil || g.bytes+size > broker.BatchBytes {
			g = &group{lane: lane}
			current[lane] = g
			groups = append(groups, g)
		}
		at := e.received
		if at.IsZero() {
			at = in.received
		}
		g.records = append(g.records, record{key: e.key, value: e.value, headers: e.headers, event: i, time: at})
		g.bytes += size
	}
	return groups
}

// results answers POST /v1/events: each event has its own fate.
func (c *Collector) results(w http.ResponseWriter, r *http.Request) error {
	l := c.newLoad()
	defer l.drop()
	in, p := c.collect(w, r, l, oneEvent|batch|lines)
	if p == nil && len(in.events) == 1 && in.events[0].rejected != nil {
		p = failureOf(in.events[0].rejected)
	}
	if p != nil {
		return refused(w, p)
	}
	durable, lost := c.store(r.Context(), l, in)
	if lost > 0 && durable == 0 {
		return unavailable(2*time.Second, again)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	w.Write(appendResults(nil, in.events))
	return nil
}

const again = "not durable, send again"

func appendResults(b []byte, events []event) []byte {
	b = append(b, `{"results":[`...)
	for i := range events {
		e := &events[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"id":`...), e.id)
		message, field := "", ""
		switch {
		case e.rejected != nil:
			message, field = e.rejected.Message, e.rejected.Field
		case e.lost:
			message = again
		default:
			b = append(b, `,"status":"accepted"}`...)
			continue
		}
		b = appendText(append(b, `,"status":"rejected","error":`...), message)
		b = appendText(append(b, `,"field":`...), field)
		b = append(b, '}')
	}
	return append(b, "]}\n"...)
}

func appendText(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, quoted...)
}

// allOrNothing answers POST /api/v1/events as open-source metering does: 204, or
// nothing of a malformed request is stored. After a 503 part of it may be.
func (c *Collector) allOrNothing(w http.ResponseWriter, r *http.Request) error {
	l := c.newLoad()
	defer l.drop()
	if p := c.storeAll(w, r, l); p != nil {
		return refused(w, p)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// refused says with a 415 what is taken.
func refused(w http.ResponseWriter, p *api.Failure) error {
	if p.Status == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Encoding", "gzip, zstd")
	}
	return p
}

func (c *Collector) storeAll(w http.ResponseWriter, r *http.Request, l *load) *api.Failure {
	in, p := c.collect(w, r, l, oneEvent|batch)
	if p != nil {
		return p
	}
	for i := range in.events {
		if rejection := in.events[i].rejected; rejection != nil {
			p := failureOf(rejection)
			if len(in.events) > 1 {
				p.Detail = fmt.Sprintf("event %d of %d (id %q): %s", i+1, len(in.events), in.events[i].id, p.Detail)
			}
			return p
		}
	}
	if _, lost := c.store(r.Context(), l, in); lost > 0 {
		return unavailable(2*time.Second, again)
	}
	return nil
}

func (c *Collector) newLoad() *load {
	l := &load{budget: &c.inFlight}
	l.users.Store(1)
	return l
}

func failureOf(rejection *schemas.Rejection) *api.Failure {
	status := http.StatusBadRequest
	switch rejection.Reason {
	case schemas.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case schemas.WrongAccount:
		status = http.StatusForbidden
	}
	return &api.Failure{Status: status, Field: rejection.Field, Detail: rejection.Message}
}
