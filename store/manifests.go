package store

import (
	"context"
	"fmt"

	"tallybook/schemas"
)

// ManifestState is what tells whether the manifest of a date is to be written.
type ManifestState struct {
	Dataset schemas.Topic
	Day     schemas.Day
	State   string // of the live files; "": there are none any more
}

// DueManifests are the dates whose live files are not those that their manifest
// was written of, oldest first.
func (v *View) DueManifests() ([]ManifestState, error) {
	type date struct {
		dataset schemas.Topic
		day     schemas.Day
	}
	written := map[date]string{}
	list, err := collect(v, scanManifest, `SELECT dataset, day, state FROM archive_manifests ORDER BY day, dataset`)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		written[date{m.Dataset, m.Day}] = m.State
	}
	live, err := collect(v, scanFilesState, filesState+` GROUP BY dataset, day ORDER BY day, dataset`)
	if err != nil {
		return nil, err
	}
	var due []ManifestState
	for _, m := range live {
		at := date{m.Dataset, m.Day}
		if written[at] != m.State {
			due = append(due, m)
		}
		delete(written, at)
	}
	for _, m := range list {
		if _, left := written[date{m.Dataset, m.Day}]; left {
			due = append(due, ManifestState{Dataset: m.Dataset, Day: m.Day})
		}
	}
	return due, nil
}

// FilesState is that of a date's live files in this snapshot.
func (v *View) FilesState(dataset schemas.Topic, day schemas.Day) (string, error) {
	found, err := collect(v, scanFilesState, filesState+` AND dataset = ? AND day = ? GROUP BY dataset, day`, string(dataset), int64(day))
	return append(found, ManifestState{})[0].State, err
}

// A swap changes the time at which a file was the last to become live.
const filesState = `SELECT dataset, day, count(*), CAST(sum(rows) AS BIGINT), CAST(sum(bytes) AS BIGINT), max(live_at)
	FROM archive_files WHERE retired_at IS NULL`

func scanFilesState(row scanner) (m ManifestState, err error) {
	var files, rows, bytes, at int64
	err = row.Scan(&m.Dataset, &m.Day, &files, &rows, &bytes, &at)
	m.State = fmt.Sprintf("%d files, %d rows, %d bytes, %d", files, rows, bytes, at)
	return m, err
}

func scanManifest(row scanner) (m ManifestState, err error) {
	return m, row.Scan(&m.Dataset, &m.Day, &m.State)
}

// NoteManifest records what a manifest was written of, under a job's lease.
func (s *Store) NoteManifest(ctx context.Context, l Lease, m ManifestState) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		if m.State == "" {
			return w.exec(ctx, `DELETE FROM archive_manifests WHERE dataset = ? AND day = ?`, string(m.Dataset), int64(m.Day))
		}
		return w.exec(ctx, `INSERT INTO archive_manifests (dataset, day, state, written_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (dataset, day) DO UPDATE SET state = excluded.state, written_at = excluded.written_at`,
			string(m.Dataset), int64(m.Day), m.State, s.now().UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("note the manifest of %s, %s: %w", m.Dataset, m.Day, err)
	}
	return nil
}

// DoubtManifest has a manifest written again: it may be older than what is noted.
func (s *Store) DoubtManifest(ctx context.Context, m ManifestState) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `UPDATE archive_manifests SET state = '' WHERE dataset = ? AND day = ?`, string(m.Dataset), int64(m.Day))
	})
	if err != nil {
		return fmt.Errorf("doubt the manifest of %s, %s: %w", m.Dataset, m.Day, err)
	}
	return nil
}
