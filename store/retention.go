package store

import (
	"context"
	"fmt"
	"time"
)

// retentionPage is how many rows a transaction removes: other writers wait for it.
const retentionPage = 200

// RemoveMails removes a page of mails from before a time, with their texts,
// files, attempts and Idempotency-Keys. Those stay that are still to be sent or
// whose e-mail event is not on the topic yet.
func (s *Store) RemoveMails(ctx context.Context, l Lease, before time.Time) (removed int, more bool, err error) {
	return s.removePage(ctx, l, "mails", func(w *writeTx) ([]string, error) {
		ids, err := w.oldRows(ctx, `SELECT id FROM mails WHERE created_at < ? AND status IN ('sent', 'rejected', 'unknown')
			AND event_due IS NULL ORDER BY created_at, id LIMIT ?`, before.UnixMicro())
		if err != nil {
			return nil, err
		}
		return ids, w.removeOf(ctx, ids, `DELETE FROM mail_keys WHERE mail = ?`, `DELETE FROM mail_bodies WHERE mail = ?`,
			`DELETE FROM mail_attachments WHERE mail = ?`, `DELETE FROM mail_attempts WHERE mail = ?`,
			`DELETE FROM mail_seen WHERE mail = ?`, `DELETE FROM mails WHERE id = ?`)
	})
}

// RemoveAlerts removes a page of alerts from before a time that nobody is to be
// told of any more. None comes back by its key: digests are of an hour that is
// over, quotas know which thresholds were told, documents change but once.
func (s *Store) RemoveAlerts(ctx context.Context, l Lease, before time.Time) (removed int, more bool, err error) {
	return s.removePage(ctx, l, "alerts", func(w *writeTx) ([]string, error) {
		ids, err := w.oldRows(ctx, `SELECT id FROM alerts WHERE done = 1 AND created_at < ? ORDER BY created_at, id LIMIT ?`, before.UnixMicro())
		if err != nil {
			return nil, err
		}
		return ids, w.removeOf(ctx, ids, `DELETE FROM alerts WHERE id = ?`)
	})
}

// RemoveErrors removes a page of error rows from before a time that are resolved,
// or were sent again, also before it. ErrorCounts goes on counting their records.
func (s *Store) RemoveErrors(ctx context.Context, l Lease, before time.Time) (removed int, more bool, err error) {
	return s.removePage(ctx, l, "errors", func(w *writeTx) ([]string, error) {
		ids, err := w.oldRows(ctx, `SELECT id FROM errors WHERE status <> 0 AND time < ?
			AND (status = 1 OR resent_at < ?) ORDER BY time, id LIMIT ?`, before.UnixMicro(), before.UnixMicro())
		if err != nil {
			return nil, err
		}
		return ids, w.removeOf(ctx, ids, `INSERT INTO errors_removed (topic, partition, records)
			SELECT origin_topic, origin_partition, records FROM errors WHERE id = ?
			ON CONFLICT (topic, partition) DO UPDATE SET records = errors_removed.records + excluded.records`,
			`DELETE FROM app_errors WHERE error = ?`, `DELETE FROM errors WHERE id = ?`)
	})
}

// removePage is a transaction that removes a page of rows under a job's lease.
func (s *Store) removePage(ctx context.Context, l Lease, what string, page func(*writeTx) ([]string, error)) (removed int, more bool, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		ids, err := page(w)
		removed = len(ids)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("remove old %s: %w", what, err)
	}
	return removed, removed == retentionPage, nil
}

// oldRows are the ids of a page; the query's last parameter is its length.
func (w *writeTx) oldRows(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := w.conn.QueryContext(ctx, query, append(args, retentionPage)...)
	return scanAll(rows, err, scanOne[string])
}

// removeOf runs statements, whose parameter is an id, for each.
func (w *writeTx) removeOf(ctx context.Context, ids []string, statements ...string) error {
	for _, id := range ids {
		for _, statement := range statements {
			if err := w.exec(ctx, statement, id); err != nil {
				return err
			}
		}
	}
	return nil
}
