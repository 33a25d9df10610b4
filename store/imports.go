package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Import is the import of one file.
type Import struct {
	ID       string // hash of its content
	Name     string // as it was given, for people
	Format   string
	Account  string
	Bytes    int64            // size of the content
	Offset   int64            // everything before it is in the log, durably
	Counts   map[string]int64 // lines by outcome, up to Offset
	Begun    time.Time
	Finished time.Time // zero while it is not

	Again bool // to ImportBegin: start a finished import afresh
}

const importColumns = `id, name, format, account, bytes, read_offset, counts, begun_at, finished_at`

// ImportBegin records an import, or returns how far the one of the same ID came:
// a finished one has Finished set, an interrupted one goes on at Offset.
func (s *Store) ImportBegin(ctx context.Context, imp Import) (Import, error) {
	var is Import
	err := s.transact(ctx, func(w *writeTx) error {
		if imp.Again {
			err := w.exec(ctx, `DELETE FROM imports WHERE id = ? AND finished_at IS NOT NULL`, imp.ID)
			if err != nil {
				return err
			}
		}
		err := w.exec(ctx, `INSERT INTO imports (`+importColumns+`) VALUES (?, ?, ?, ?, ?, 0, '{}', ?, NULL)
			ON CONFLICT DO NOTHING`,
			imp.ID, imp.Name, imp.Format, imp.Account, imp.Bytes, s.opts.Now().UnixMicro())
		if err != nil {
			return err
		}
		is, err = scanImport(w.conn.QueryRowContext(ctx, `SELECT `+importColumns+` FROM imports WHERE id = ?`, imp.ID))
		return err
	})
	if err != nil {
		return Import{}, fmt.Errorf("begin import %s: %w", imp.ID, err)
	}
	return is, nil
}

// ImportProgress records how far an unfinished import came; the offset must not
// go back. ErrNotFound where there is no such import to go on with.
func (s *Store) ImportProgress(ctx context.Context, id string, offset int64, counts map[string]int64) error {
	if counts == nil {
		counts = map[string]int64{}
	}
	text, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	return s.changeImport(ctx, "record progress of", id, `UPDATE imports SET read_offset = ?, counts = ?
		WHERE id = ? AND finished_at IS NULL AND read_offset <= ?`, offset, string(text), id, offset)
}

// ImportFinish records that all of it is in the log. Finishing it again keeps
// the first time.
func (s *Store) ImportFinish(ctx context.Context, id string) error {
	return s.changeImport(ctx, "finish", id, `UPDATE imports SET finished_at = coalesce(finished_at, ?) WHERE id = ?`,
		s.opts.Now().UnixMicro(), id)
}

func (s *Store) changeImport(ctx context.Context, doing, id, query string, args ...any) error {
	err := s.transact(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, query, args...)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s import %s: %w", doing, id, err)
	}
	return nil
}

// Imports are up to limit of them, newest first.
func (s *Store) Imports(ctx context.Context, limit int) ([]Import, error) {
	var all []Import
	err := s.View(ctx, func(v *View) (err error) {
		all, err = collect(v, scanImport, `SELECT `+importColumns+` FROM imports ORDER BY begun_at DESC, id LIMIT ?`, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list imports: %w", err)
	}
	return all, nil
}

func scanImport(row scanner) (Import, error) {
	var i Import
	var counts string
	var begun int64
	var finished *int64
	err := row.Scan(&i.ID, &i.Name, &i.Format, &i.Account, &i.Bytes, &i.Offset, &counts, &begun, &finished)
	if err != nil {
		return Import{}, err
	}
	i.Begun = time.UnixMicro(begun).UTC()
	if finished != nil {
		i.Finished = time.UnixMicro(*finished).UTC()
	}
	if err := json.Unmarshal([]byte(counts), &i.Counts); err != nil {
		return Import{}, fmt.Errorf("counts of import %s: %w", i.ID, err)
	}
	return i, nil
}
