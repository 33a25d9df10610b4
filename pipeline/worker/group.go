package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// member joins the group and follows its generations. When ctx ends it hands
// all partitions over before it leaves.
func (w *Workers) member(ctx, hard context.Context, secret [16]byte, wait *backoff) error {
	topics := make([]string, len(schemas.Topics))
	for i, t := range schemas.Topics {
		topics[i] = string(t)
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: w.cfg.Group, Brokers: w.cfg.Brokers, Dialer: w.cfg.Dialer, Topics: topics,
		GroupBalancers:    []kafka.GroupBalancer{sticky{w.claims}},
		HeartbeatInterval: w.cfg.HeartbeatInterval, SessionTimeout: w.cfg.SessionTimeout,
		RebalanceTimeout: w.cfg.SessionTimeout, JoinGroupBackoff: w.cfg.HeartbeatInterval,
		StartOffset: kafka.FirstOffset, WatchPartitionChanges: true, PartitionWatchInterval: w.cfg.WatchInterval,
	})
	if err != nil {
		return err
	}
	defer group.Close()
	w.leaveBehind(ctx)
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			w.assign(ctx, hard, nil, secret)
			return ctx.Err()
		case errors.Is(err, kafka.RebalanceInProgress):
			continue // another member came or went meanwhile; the group joins again by itself
		case err != nil:
			return broker.Explain(err)
		}
		assigned := partitionsOf(gen)
		if err := w.admit(ctx, assigned); err != nil {
			if errors.Is(err, store.ErrPartitionsChanged) || errors.Is(err, ErrRestart) {
				w.assign(ctx, hard, nil, secret)
			}
			return broker.Explain(err)
		}
		wait.reset()
		note(&w.cfg.trouble.group, nil)
		w.noteMember(gen.MemberID)
		w.assign(ctx, hard, assigned, secret)
		gen.Start(func(ctx context.Context) { w.hint(ctx, gen) })
	}
}

// leaveBehind takes the member out of the group that an earlier process with our
// file was: the group would wait until its session has ended, and nobody would
// read its partitions until then. It is dead, since two cannot have one file.
func (w *Workers) leaveBehind(ctx context.Context) {
	if w.cfg.MemberFile == "" {
		return
	}
	member, err := os.ReadFile(w.cfg.MemberFile)
	if err != nil || len(member) == 0 {
		return
	}
	_, err = w.cfg.Client.LeaveGroup(ctx, &kafka.LeaveGroupRequest{GroupID: w.cfg.Group, Members: []kafka.LeaveGroupRequestMember{{ID: string(member)}}})
	w.cfg.Log.Debug("the member that was here before leaves the group", "member", string(member), "error", err)
}

// noteMember is for the process that comes after this one is killed.
func (w *Workers) noteMember(id string) {
	if w.cfg.MemberFile == "" {
		return
	}
	if err := os.WriteFile(w.cfg.MemberFile, []byte(id), 0o600); err != nil {
		w.cfg.Log.Debug("note the group's member", "error", err)
	}
}

func partitionsOf(gen *kafka.Generation) []schemas.Partition {
	var all []schemas.Partition
	for topic, ps := range gen.Assignments {
		for _, p := range ps {
			all = append(all, schemas.Partition{Topic: schemas.Topic(topic), ID: int32(p.ID)})
		}
	}
	return all
}

// ErrRestart ends Run: the number of partitions is another one than the process
// began with, and admitted. What else in the process knows the old one must start
// anew.
var ErrRestart = errors.New("the number of partitions was changed and admitted: the process ends, to be started again with the new one")

// admit compares the number of partitions with the recorded one: a changed
// number moves accounts to other partitions, away from their dedupe windows.
// Nothing is read until somebody has admitted it.
func (w *Workers) admit(ctx context.Context, assigned []schemas.Partition) error {
	count, err := broker.CountPartitions(ctx, w.cfg.Dialer, w.cfg.Brokers)
	if err != nil {
		return err
	}
	for _, tp := range assigned {
		count[tp.Topic] = max(count[tp.Topic], int(tp.ID)+1)
	}
	for topic, n := range count {
		if n == 0 {
			return fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
		}
		if err := w.cfg.Store.AdmitTopic(ctx, topic, n); errors.Is(err, store.ErrPartitionsChanged) {
			return fmt.Errorf("%w: nothing is read, since accounts have moved away from the ids that recognise their repeats; "+
				"'tallybook topics admit %s' lets workers go on", err, topic)
		} else if err != nil {
			return err
		}
		if began, ok := w.cfg.Partitions[topic]; ok && began != n {
			return fmt.Errorf("topic %s has %d partitions, %d at the start: %w", topic, n, began, ErrRestart)
		}
	}
	return nil
}

// claims are the partitions that this process has, with the epochs that it took
// them by.
func (w *Workers) claims() map[schemas.Partition]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	claims := map[schemas.Partition]int64{}
	for tp, o := range w.running {
		claims[tp] = o.epoch.Load()
	}
	return claims
}

// hint tells Kafka how far we are, for tools that show lag. Nothing depends on it.
func (w *Workers) hint(ctx context.Context, gen *kafka.Generation) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := map[schemas.Partition]int64{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		offsets := map[string]map[int]int64{}
		w.mu.Lock()
		for tp, o := range w.running {
			if next := o.nextPos.Load(); next > told[tp] {
				if offsets[string(tp.Topic)] == nil {
					offsets[string(tp.Topic)] = map[int]int64{}
				}
				offsets[string(tp.Topic)][int(tp.ID)] = next
				told[tp] = next
			}
		}
		w.mu.Unlock()
		if len(offsets) > 0 {
			if err := gen.CommitOffsets(offsets); err != nil {
				w.cfg.Log.Debug("offset hint", "error", err)
			}
		}
	}
}
