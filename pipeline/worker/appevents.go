package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"tallybook/schemas"
	"tallybook/store"
)

// maxSessions bounds what a partition remembers of sessions: twice so many, with
// their accounts, are a few MB. Forgetting one costs a look into the store.
const maxSessions = 10_000

// sessions remembers whose they are: the recently used ones. Sessions are never
// removed, nor given to another account. Those that the store does not know are
// not remembered: they may be made any time.
type sessions struct{ now, old map[string]string }

func (s *sessions) account(id string) (account string, ok bool) {
	if account, ok = s.now[id]; ok {
		return account, true
	}
	if account, ok = s.old[id]; ok {
		s.put(id, account)
	}
	return account, ok
}

func (s *sessions) put(id, account string) {
	if s.now == nil || len(s.now) >= maxSessions {
		s.old, s.now = s.now, map[string]string{}
	}
	s.now[id] = account
}

func isAppEvent(eventType []byte) bool {
	return len(eventType) == len(schemas.TypeAppEvent) && string(eventType) == schemas.TypeAppEvent
}

// judgeApp holds a valid application event against what only a worker knows:
// when it was received, and the sessions. The error is the store's, or that of
// a partition that must stop: the event is not judged then.
func (p *partition) judgeApp(hard context.Context, ev *schemas.Event, account []byte, received int64) (*schemas.Rejection, error) {
	if why := schemas.CheckReceipt(ev, received); why != nil {
		return why, nil
	}
	return p.judgeSession(hard, sessionOf(ev), string(account))
}

// judgeSession says whether the account has the session. While the store is
// away it waits: nothing can be written then either.
func (p *partition) judgeSession(hard context.Context, id, account string) (*schemas.Rejection, error) {
	owner, ok := p.sessions.account(id)
	wait := newBackoff(p.cfg.RetryMin, p.cfg.RetryMax)
	for !ok {
		var err error
		owner, err = p.cfg.Store.SessionAccount(hard, id)
		switch {
		case err == nil:
			p.sessions.put(id, owner)
			ok = true
		case errors.Is(err, store.ErrNotFound):
			return unknownSession(id), nil
		case hard.Err() != nil:
			return nil, errCut
		default:
			p.cfg.Log.Warn("session, retrying", "topic", p.Topic, "partition", p.ID, "error", err)
			p.setState(err.Error())
			sleep(hard, wait.next())
		}
	}
	if wait.tries > 0 {
		p.setState("")
	}
	if owner != account {
		return unknownSession(id), nil
	}
	return nil, nil
}

func unknownSession(id string) *schemas.Rejection {
	return &schemas.Rejection{Reason: schemas.UnknownSession, Field: "data.session",
		Message: fmt.Sprintf("data.session: the account has no session %q; POST /sessions/ makes one", id)}
}

// sessionOf is the session's id as the store has it: UUIDs differ by case only
// in how they are written.
func sessionOf(ev *schemas.Event) string { return string(bytes.ToLower(ev.Strings[schemas.Session])) }

// appEvent is a counted application event as a row of the store.
func (b *batch) appEvent(ev *schemas.Event, key store.EventKey, offset int64) (store.AppEvent, bool) {
	data, why := schemas.AppPayload(ev)
	if why != nil {
		return store.AppEvent{}, false
	}
	return store.AppEvent{EventKey: key, Session: sessionOf(ev),
		Category: string(ev.Strings[schemas.Category]), Name: string(ev.Strings[schemas.Name]),
		Time: ev.Time, Partition: b.rows.Partition, Offset: offset, Data: bytes.Clone(data)}, true
}

// countApp keeps a counted application event for the store.
func (b *batch) countApp(ev *schemas.Event, account []byte, offset int64) {
	key := store.EventKey{Account: string(account), Source: string(ev.Source), ID: string(ev.ID)}
	if e, ok := b.appEvent(ev, key, offset); ok {
		b.apps = append(b.apps, e)
	}
}

// correctApp makes an application event follow a correction that applies: ev has
// the new data, nil where it was retracted.
func (b *batch) correctApp(ev *schemas.Event, key store.EventKey, revision, clock int64) {
	e := store.AppEvent{EventKey: key, RetractedAt: clock}
	if ev != nil {
		var ok bool
		if e, ok = b.appEvent(ev, key, 0); !ok {
			return
		}
	}
	e.Revision = revision
	b.apps = append(b.apps, e)
}

// refusedApp notes whether a refused record would have been an application
// event, or is a body that POST /events/ refused.
func (p *partition) refusedApp(r refusedRecord) refusedRecord {
	refusal, ok := schemas.ParseRefusal(header(r.record, schemas.RefusalHeader))
	r.app = isAppEvent(p.event.Type) || ok && refusal.Endpoint == schemas.AppSource
	if id := p.event.ID; r.app && len(id) <= schemas.MaxID && storable(string(id)) {
		r.event = string(id)
	}
	return r
}

// appErrors are the error rows of application events; l.apps has the ids that
// the events would have had by the number of the row.
func (l *errorLog) appErrors() (all []store.AppError) {
	for i := range l.rows {
		if event, ok := l.apps[i]; ok {
			e := &l.rows[i]
			all = append(all, store.AppError{Error: e.ID, Account: e.Account, Time: e.Time, Event: event})
		}
	}
	return all
}
