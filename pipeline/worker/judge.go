package worker

import (
	"context"
	"fmt"
	"time"

	"tallybook/schemas"
)

// process judges one record and folds it into the batch. An error loses the
// partition: it is between two records no more.
func (p *partition) process(hard context.Context, rec *record, now time.Time) error {
	b := p.batch
	b.ledger.Gaps += rec.offset - b.ledger.Next
	b.ledger.Next = rec.offset + 1
	b.ledger.Records++
	b.bytes += int64(len(rec.value))
	b.oldest = min(b.oldest, rec.time)
	received := min(rec.time, now.Add(p.cfg.Rules.MaxAhead).UnixMicro())
	p.clock = max(p.clock, received)

	account, why := p.judge(rec, received)
	if why == nil && p.change != nil && string(rec.key) == string(account) {
		if home := p.change.home(account); home != p.ID {
			b.handOn(rec, home)
			return nil
		}
	}
	app := isAppEvent(p.event.Type)
	if app && why == nil {
		var err error
		if why, err = p.judgeApp(hard, &p.event, account, received); err != nil {
			return err
		}
	}
	switch {
	case why != nil:
		p.reject(p.refusedApp(refusedRecord{record: rec, account: account, why: why}), now, p.clock)
	case schemas.IsCorrection(p.event.Type):
		p.postpone(rec, account, now)
	case p.window.seen(p.hasher.hash(account, p.event.Source, p.event.ID), p.clock):
		b.ledger.Duplicate++
	default:
		b.count(&p.event, account, rec.offset, p.clock)
		if app {
			b.countApp(&p.event, account, rec.offset)
		}
	}
	if len(account) > 0 && string(rec.key) != string(account) {
		b.ledger.OtherKey++
	}
	return nil
}

// judge decodes and validates; the account is named where it could be read,
// also for a record that is refused.
func (p *partition) judge(rec *record, received int64) (account []byte, why *schemas.Rejection) {
	ev := &p.event
	ev.Type, ev.ID = nil, nil // of the record before
	switch {
	case len(rec.value) == 0 && len(rec.headers) == 0:
		return rec.key, &schemas.Rejection{Reason: schemas.EmptyRecord, Message: "the record has no value"}
	case len(rec.value) > p.cfg.MaxRecordBytes:
		return rec.key, &schemas.Rejection{Reason: schemas.TooLarge,
			Message: fmt.Sprintf("the record has %d bytes, at most %d are allowed", len(rec.value), p.cfg.MaxRecordBytes)}
	case rec.offset == p.rejectNext:
		p.rejectNext = -1
		why = &schemas.Rejection{Reason: schemas.RefusedByStore, Message: p.refusal.Error()}
	}
	if refusal, ok := schemas.ParseRefusal(header(rec, schemas.RefusalHeader)); ok {
		return rec.key, &schemas.Rejection{Reason: refusal.Reason, Field: refusal.Field, Message: refusal.Message}
	}
	var bad *schemas.Rejection
	if header(rec, "ce_specversion") != nil {
		bad = p.decoder.DecodeBinary(p.Topic, func(name string) ([]byte, bool) {
			v := header(rec, name)
			return v, v != nil
		}, rec.value, ev)
	} else {
		bad = p.decoder.Decode(p.Topic, rec.value, ev)
	}
	account, noAccount := schemas.Account(ev, rec.key)
	switch {
	case why != nil:
		return account, why
	case bad != nil:
		if len(ev.Subject) == 0 { // not even that could be read
			account = nil
		}
		return account, bad
	case noAccount != nil:
		return nil, noAccount
	}
	if !ev.HasTime {
		ev.Time, ev.HasTime = received, true
	}
	return account, p.cfg.Rules.Validate(p.Topic, ev, p.clock)
}

func header(rec *record, name string) []byte {
	for _, h := range rec.headers {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}
