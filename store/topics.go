package store

import (
	"context"
	"fmt"

	"tallybook/schemas"
)

// AdmitTopic records a topic's number of partitions when it is first seen, and
// refuses another one ever after with ErrPartitionsChanged.
func (s *Store) AdmitTopic(ctx context.Context, topic schemas.Topic, partitions int) error {
	var admitted int
	err := s.transact(ctx, func(w *writeTx) error {
		err := w.exec(ctx, `INSERT INTO topics (topic, partitions) VALUES (?, ?) ON CONFLICT DO NOTHING`,
			string(topic), partitions)
		if err != nil {
			return err
		}
		return w.conn.QueryRowContext(ctx, `SELECT partitions FROM topics WHERE topic = ?`, string(topic)).Scan(&admitted)
	})
	if err != nil {
		return fmt.Errorf("admit topic %s: %w", topic, err)
	}
	if admitted != partitions {
		return fmt.Errorf("%w: topic %s has %d, %d were admitted", ErrPartitionsChanged, topic, partitions, admitted)
	}
	return nil
}

// Cut is where a partition stood when its topic's number of partitions changed.
type Cut struct {
	Partition schemas.Partition
	Next      int64 // offsets below it were counted
	Clock     int64 // log clock, µs
}

// ChangePartitions admits another number of partitions of a topic, or the same
// once more, and cuts the topic at its positions. Owners of its partitions are
// fenced: the next ones find the cuts. The number must still be from, else
// ErrPartitionsChanged.
func (s *Store) ChangePartitions(ctx context.Context, topic schemas.Topic, from, to int) error {
	err := s.transact(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, `UPDATE topics SET partitions = ? WHERE topic = ? AND partitions = ?`, to, string(topic), from)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrPartitionsChanged
		}
		for _, statement := range []string{
			`UPDATE positions SET epoch = epoch + 1 WHERE topic = ?`,
			`DELETE FROM topic_cuts WHERE topic = ?`,
			`INSERT INTO topic_cuts (topic, partition, next_offset, clock)
				SELECT topic, partition, next_offset, clock FROM positions WHERE topic = ?`,
		} {
			if err := w.exec(ctx, statement, string(topic)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("change the partitions of %s from %d to %d: %w", topic, from, to, err)
	}
	return nil
}

// Partitions are the admitted numbers of partitions.
func (v *View) Partitions() (map[schemas.Topic]int, error) {
	type row struct {
		topic      schemas.Topic
		partitions int
	}
	rows, err := collect(v, func(r scanner) (t row, err error) {
		return t, r.Scan(&t.topic, &t.partitions)
	}, `SELECT topic, partitions FROM topics`)
	admitted := map[schemas.Topic]int{}
	for _, r := range rows {
		admitted[r.topic] = r.partitions
	}
	return admitted, err
}

// Cuts are those of a topic, sorted by partition; none where its number of
// partitions has never changed.
func (v *View) Cuts(topic schemas.Topic) ([]Cut, error) {
	return collect(v, func(r scanner) (c Cut, err error) {
		return c, r.Scan(&c.Partition.Topic, &c.Partition.ID, &c.Next, &c.Clock)
	}, `SELECT topic, partition, next_offset, clock FROM topic_cuts WHERE topic = ? ORDER BY partition`, string(topic))
}
