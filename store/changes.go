package store

import (
	"context"
	"fmt"
)

// Changes are what the audit log says behind a version of the catalog. What was
// read at a version and is named by no later change is as it was.
type Changes struct {
	Version int64 // to ask with the next time
	List    []Change
	All     bool // there were too many to name: anything may have changed
}

// Change names what an entry of the audit log is about.
type Change struct{ Noun, Action, Subject, Account string }

// maxChangesRead bounds how many changes are told apart.
const maxChangesRead = 1000

// Changes since a version; since 0, which is before the first, names nothing but
// the version of now.
func (s *Store) Changes(ctx context.Context, since int64) (Changes, error) {
	c, err := readChanges(ctx, s.read, since)
	if err != nil {
		return c, fmt.Errorf("read what changed in the catalog: %w", engineError(err))
	}
	return c, nil
}

func readChanges(ctx context.Context, q querier, since int64) (Changes, error) {
	c := Changes{Version: since}
	limit := maxChangesRead
	if since == 0 {
		limit, c.All = 1, true
	}
	rows, err := q.QueryContext(ctx, `SELECT id, noun, action, subject, account FROM audit WHERE id > ? ORDER BY id DESC LIMIT ?`, since, limit)
	list, err := scanAll(rows, err, func(row scanner) (change Change, err error) {
		var id int64
		err = row.Scan(&id, &change.Noun, &change.Action, &change.Subject, &change.Account)
		c.Version = max(c.Version, id)
		return change, err
	})
	if c.List = list; c.All || len(list) == limit {
		c.List, c.All = nil, true
	}
	return c, err
}
