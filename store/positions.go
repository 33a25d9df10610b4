package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"tallybook/schemas"
)

const positionColumns = `topic, partition, epoch, next_offset, clock, last_offset, last_hash`

// TakeOver makes the caller the owner of a partition: it raises the epoch, so
// that every checkpoint of an earlier owner is Fenced from here on, and returns
// the position. A partition that was never seen starts at offset first.
func (s *Store) TakeOver(ctx context.Context, tp schemas.Partition, first int64) (Position, error) {
	var p Position
	err := s.transactBeside(ctx, func(w *writeTx) (err error) {
		p, err = scanPosition(w.conn.QueryRowContext(ctx, `
			INSERT INTO positions (`+positionColumns+`) VALUES (?, ?, 1, ?, 0, -1, ?)
			ON CONFLICT (topic, partition) DO UPDATE SET epoch = positions.epoch + 1
			RETURNING `+positionColumns, string(tp.Topic), tp.ID, first, make([]byte, 16)))
		return err
	})
	if err != nil {
		return Position{}, fmt.Errorf("take over %s/%d: %w", tp.Topic, tp.ID, engineError(err))
	}
	return p, nil
}

// Position reads where a partition stands; ErrNotFound before its first TakeOver.
func (s *Store) Position(ctx context.Context, tp schemas.Partition) (Position, error) {
	p, err := scanPosition(s.read.QueryRowContext(ctx, positionQuery, string(tp.Topic), tp.ID))
	if err != nil {
		return Position{}, fmt.Errorf("read position of %s/%d: %w", tp.Topic, tp.ID, engineError(err))
	}
	return p, nil
}

const positionQuery = `SELECT ` + positionColumns + ` FROM positions WHERE topic = ? AND partition = ?`

// Positions are those of the topics, of all where none is named, sorted by
// topic and partition.
func (v *View) Positions(topics ...schemas.Topic) ([]Position, error) {
	where, args := "", []any{}
	if len(topics) > 0 {
		where = ` WHERE topic IN (` + placeholders(len(topics)) + `)`
		for _, t := range topics {
			args = append(args, string(t))
		}
	}
	return collect(v, scanPosition, `SELECT `+positionColumns+` FROM positions`+where+` ORDER BY topic, partition`, args...)
}

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }

func scanPosition(row scanner) (Position, error) {
	var p Position
	var hash []byte
	err := row.Scan(&p.Topic, &p.ID, &p.Epoch, &p.Next, &p.Clock, &p.LastOffset, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Position{}, ErrNotFound
	}
	if err == nil && copy(p.LastHash[:], hash) != len(p.LastHash) {
		err = fmt.Errorf("last_hash of %s/%d has %d bytes", p.Topic, p.ID, len(hash))
	}
	return p, err
}

// placeholders is "?, ?, …".
func placeholders(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}
