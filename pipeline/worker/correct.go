package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// maxPending closes a batch: so many corrections look for their originals
// together, and touch at the most so many event dates, a file each.
const maxPending = 16_384

// maxRaces is how often in a row a batch is judged again because another
// partition took a revision first, before the correction is taken for bad data.
const maxRaces = 10

// pending is a correction that waits for its batch to close. Originals are
// looked up for all of a batch at once, when everything below the batch is
// written: in the batch itself, in the store, in the archive.
type pending struct {
	schemas.Correction
	key        store.EventKey // of the event that it corrects
	own        eventID        // for dedupe
	id, source string         // its own
	amends     bool
	record     record // its memory is the correction's own
	account    []byte
	clock      int64
}

// originals are the states of the events that a batch corrects, as its
// corrections leave them one after the other.
type originals map[store.EventKey]*original

// original is an event that may be corrected.
type original struct {
	revision  int64
	retracted bool
	offset    int64             // where it stands in this batch; -1: below it
	rows      []json.RawMessage // images of the archive rows in force
}

// postpone puts a valid correction, which is in p.event, aside.
func (p *partition) postpone(rec *record, account []byte, now time.Time) {
	c, why := schemas.ParseCorrection(&p.event)
	if why != nil { // Validate has let it pass
		p.reject(refusedRecord{record: rec, account: account, why: why}, now, p.clock)
		return
	}
	own := *rec
	own.key, own.value = bytes.Clone(rec.key), bytes.Clone(rec.value)
	p.batch.pending = append(p.batch.pending, pending{
		Correction: c, key: store.EventKey{Account: string(account), Source: c.Source, ID: c.ID},
		own: p.hasher.hash(account, p.event.Source, p.event.ID), id: string(p.event.ID), source: string(p.event.Source),
		amends: string(p.event.Type) == schemas.TypeAmended, record: own, account: bytes.Clone(account),
		clock: p.clock,
	})
}

// correct applies the batch's corrections, in the order of the log. Nothing of
// an earlier batch may be on its way. When it returns an error before it began
// to apply them, the batch is as it was; a stopError is one that came later.
func (p *partition) correct(hard context.Context) error {
	b := p.batch
	if len(b.pending) == 0 {
		return nil
	}
	found, err := p.findOriginals(hard, b.pending)
	if err != nil {
		return err
	}
	now := p.cfg.Now()
	for i := range b.pending {
		c := &b.pending[i]
		if p.window.has(c.own) {
			b.ledger.Duplicate++
			continue
		}
		outcome, why, err := p.decide(hard, c, found[c.key])
		switch {
		case err != nil:
			return err
		case why != nil:
			p.reject(refusedRecord{record: &c.record, account: c.account, why: why}, now, c.clock)
		case outcome == repeated:
			b.ledger.Duplicate++
		default:
			err := p.apply(hard, c, found[c.key])
			switch {
			case hard.Err() != nil:
				return errCut
			case err != nil:
				return unreadable(c, err)
			}
			p.window.remember(c.own, idTag(c.own), c.clock)
		}
	}
	b.pending = nil
	return nil
}

func (p *partition) reject(r refusedRecord, now time.Time, clock int64) {
	p.batch.ledger.Rejected++
	p.batch.errors.add(r, now.UnixMicro(), clock)
	p.metrics.rejected(r.why.Reason)
}

type outcome bool

const (
	applies  outcome = true
	repeated outcome = false
)

// decide holds a correction against the state of its event. What it refuses may
// be sent again, once what it waits for is there. An amendment's new data is
// left decoded in p.event.
func (p *partition) decide(hard context.Context, c *pending, o *original) (outcome, *schemas.Rejection, error) {
	if why := refusal(p.Topic, c, o); why != nil || c.Revision <= o.revision {
		return repeated, why, nil
	}
	if !c.amends {
		return applies, nil, nil
	}
	why, err := p.decodeAfter(hard, c, o)
	return applies, why, err
}

// refusal is what keeps a correction from applying, whatever it says.
func refusal(topic schemas.Topic, c *pending, o *original) *schemas.Rejection {
	switch {
	case o == nil || o.offset >= c.record.offset:
		return &schemas.Rejection{Reason: schemas.UnknownOriginal, Field: "data.event", Message: fmt.Sprintf(
			"no event with source %q and id %q of the account was counted on topic %s before this correction; "+
				"a correction itself cannot be corrected", c.Source, c.ID, topic)}
	case c.Revision <= o.revision:
		return nil
	case o.retracted:
		return &schemas.Rejection{Reason: schemas.Retracted, Field: "data.event", Message: fmt.Sprintf(
			"the event was retracted by revision %d; a retracted event takes no further correction", o.revision)}
	case c.Revision > o.revision+1:
		return &schemas.Rejection{Reason: schemas.RevisionGap, Field: "data.revision", Message: fmt.Sprintf(
			"revision %d does not follow %d, the event's; revision %d must be applied first", c.Revision, o.revision, o.revision+1)}
	case c.amends && len(o.rows) != 1:
		return &schemas.Rejection{Reason: schemas.InvalidValue, Field: "data.event",
			Message: fmt.Sprintf("the event is counted as %d; it can be retracted, not amended", len(o.rows))}
	}
	return nil
}

// decodeAfter reads an amendment's new data into p.event, by the rules of its
// event's type. The error is as with judgeApp.
func (p *partition) decodeAfter(hard context.Context, c *pending, o *original) (*schemas.Rejection, error) {
	var is struct {
		Type string `json:"type"`
		Time int64  `json:"time"`
	}
	if err := json.Unmarshal(o.rows[0], &is); err != nil {
		return nil, unreadable(c, err)
	}
	ev := &p.event
	if why := p.decoder.DecodeAfter(p.Topic, is.Type, c.After, ev); why != nil {
		return why, nil
	}
	if ev.HasTime && ev.Time != is.Time {
		return &schemas.Rejection{Reason: schemas.InvalidValue, Field: "data.after",
			Message: "an amendment keeps the event's time, which is " + time.UnixMicro(is.Time).UTC().Format(time.RFC3339Nano)}, nil
	}
	ev.Time, ev.HasTime = is.Time, true
	ev.ID, ev.Source = []byte(c.id), []byte(c.source)
	if isAppEvent(ev.Type) {
		return p.judgeSession(hard, sessionOf(ev), string(c.account))
	}
	return nil, nil
}

func unreadable(c *pending, err error) error {
	return &stopError{fmt.Sprintf("correction at offset %d: %v: what the store keeps of event %q of account %q cannot be read; "+
		"restore the store from a backup", c.record.offset, err, c.ID, c.key.Account)}
}
