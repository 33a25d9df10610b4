package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

func topicsCommand() *cobra.Command {
	parent := &cobra.Command{Use: "topics", Short: "topics, their partitions and how far they are counted", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return withTopics(cmd, func(ctx context.Context, t *topics) error { return t.list(ctx, cmd.OutOrStdout()) })
	}}
	var partitions int
	var force bool
	admit := &cobra.Command{
		Use:   "admit TOPIC",
		Short: "let workers go on with a changed number of partitions, or change it",
		Long: `Another number of partitions moves accounts to other partitions, away from the ids
that recognise their repeats. So workers stop until it is admitted. From then on
each account has one partition that counts it, the one that Murmur2 gives to it:
that one also knows the ids that the others had counted, until they are older than
the dedupe window. Records under the account's key that still go elsewhere, from
producers that do not know the new number yet, are handed on to it, so that they
are counted once.

With --partitions the topic gets so many. Pipelines end, to be started again.`,
		Example: "  tallybook topics admit usage --partitions 12 --brokers kafka:9092 --store postgres://…",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(schemas.Topics[:], schemas.Topic(args[0])) {
				return usageError{fmt.Errorf("admit needs one topic of %v", schemas.Topics)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTopics(cmd, func(ctx context.Context, t *topics) error {
				return t.admit(ctx, schemas.Topic(args[0]), partitions, force)
			})
		},
	}
	admit.Flags().IntVar(&partitions, "partitions", 0, "`number` that the topic shall have (default: what it has)")
	admit.Flags().BoolVar(&force, "force", false, "do not wait until what is in the log is counted: more of it has to be handed on")
	parent.AddCommand(admit)
	return parent
}

// topics are Kafka's and what the store knows of them.
type topics struct {
	kafka *broker.Kafka
	store *store.Store
	out   io.Writer
}

func withTopics(cmd *cobra.Command, run func(ctx context.Context, t *topics) error) error {
	return withConfig(cmd, func(ctx context.Context, c *config) error {
		if len(c.Brokers) == 0 {
			return usageError{errors.New("topics needs an external Kafka: --brokers host:port,…; the embedded broker's partitions cannot be changed")}
		}
		k, err := c.kafka()
		if err != nil {
			return usageError{err}
		}
		defer k.Close()
		return withStore(ctx, c, func(st *store.Store) error {
			return broker.Explain(run(ctx, &topics{kafka: k, store: st, out: cmd.OutOrStdout()}))
		})
	})
}

// partitions are those that Kafka has.
func (t *topics) partitions(ctx context.Context, topic schemas.Topic) (int, error) {
	count, err := broker.CountPartitions(ctx, t.kafka.Dialer, t.kafka.Brokers)
	if err == nil && count[topic] == 0 {
		err = fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
	}
	return count[topic], err
}

func (t *topics) known(ctx context.Context) (admitted map[schemas.Topic]int, positions []store.Position, err error) {
	err = t.store.View(ctx, func(v *store.View) (err error) {
		if admitted, err = v.Partitions(); err != nil {
			return err
		}
		positions, err = v.Positions()
		return err
	})
	return admitted, positions, err
}

func (t *topics) list(ctx context.Context, out io.Writer) error {
	admitted, _, err := t.known(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "topic\tpartitions\tadmitted\tnot counted\t")
	for _, topic := range schemas.Topics {
		n, err := t.partitions(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := t.ends(ctx, topic, n)
		if err != nil {
			return err
		}
		behind, err := t.behind(ctx, ends)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", topic, n, admitted[topic], behind)
	}
	return w.Flush()
}

// ends are of so many partitions the offsets that their next records get.
func (t *topics) ends(ctx context.Context, topic schemas.Topic, partitions int) (map[schemas.Partition]int64, error) {
	ends := map[schemas.Partition]int64{}
	for id := range int32(partitions) {
		tp := schemas.Partition{Topic: topic, ID: id}
		end, err := t.end(ctx, tp)
		if err != nil {
			return nil, err
		}
		ends[tp] = end
	}
	return ends, nil
}

// end waits a moment for the leader of a partition that was just made.
func (t *topics) end(ctx context.Context, tp schemas.Partition) (end int64, err error) {
	for try := 1; ; try++ {
		_, end, err = t.kafka.Offsets(ctx, tp)
		young := errors.Is(err, kafka.NotLeaderForPartition) || errors.Is(err, kafka.LeaderNotAvailable) || errors.Is(err, kafka.UnknownTopicOrPartition)
		if !young || try == 50 {
			return end, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// behind is how many records below ends are not counted.
func (t *topics) behind(ctx context.Context, ends map[schemas.Partition]int64) (n int64, err error) {
	_, positions, err := t.known(ctx)
	next := map[schemas.Partition]int64{}
	for _, p := range positions {
		next[p.Partition] = p.Next
	}
	for tp, end := range ends {
		n += max(0, end-next[tp])
	}
	return n, err
}

// admit cuts the topic before its new partitions can get a record: no worker
// reads them without the ids of the others, and behind the cut no partition counts
// accounts that another one has. It can be called again after it was interrupted.
func (t *topics) admit(ctx context.Context, topic schemas.Topic, want int, force bool) error {
	have, err := t.partitions(ctx, topic)
	if err != nil {
		return err
	}
	all, _, err := t.known(ctx)
	if err != nil {
		return err
	}
	admitted := all[topic]
	if want == 0 {
		want = have
	}
	switch {
	case admitted == 0:
		return usageError{fmt.Errorf("topic %s was never processed: start 'tallybook pipeline', nothing has to be admitted", topic)}
	case want < have:
		return usageError{fmt.Errorf("topic %s has %d partitions, and Kafka cannot take partitions away", topic, have)}
	case want > 1000:
		return usageError{fmt.Errorf("--partitions %d: at most 1000", want)}
	case want == have && want == admitted:
		fmt.Fprintf(t.out, "topic %s has %d partitions, as admitted\n", topic, have)
		return nil
	}
	if want != admitted {
		if have == admitted && !force {
			if err := t.counted(ctx, topic, have); err != nil {
				return err
			}
		}
		if err := t.store.ChangePartitions(ctx, topic, admitted, want); err != nil {
			return err
		}
	}
	if want > have {
		if err := t.grow(ctx, topic, want); err != nil {
			return fmt.Errorf("%w; call this command again", err)
		}
	}
	fmt.Fprintf(t.out, "topic %s has %d partitions, admitted; it had %d\n", topic, want, admitted)
	return nil
}

// counted waits until workers have counted what the log has now, so that little
// has to be handed on. It is not what dedupe relies on.
func (t *topics) counted(ctx context.Context, topic schemas.Topic, partitions int) error {
	ends, err := t.ends(ctx, topic, partitions)
	if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		n, err := t.behind(ctx, ends)
		if err != nil || n == 0 {
			return err
		}
		if !said {
			fmt.Fprintf(t.out, "%d records are not counted yet; waiting for 'tallybook pipeline' to count them, before anything is changed (--force does not)\n", n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// grow makes the partitions and waits until they have leaders.
func (t *topics) grow(ctx context.Context, topic schemas.Topic, want int) error {
	answer, err := t.kafka.Client().CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: string(topic), Count: int32(want)}}})
	if err == nil {
		err = answer.Errors[string(topic)]
	}
	if err != nil {
		return fmt.Errorf("make %d partitions of %s: %w", want, topic, err)
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTry)
	defer cancel()
	for {
		if n, err := t.partitions(ctx, topic); err != nil {
			return err
		} else if n == want {
			_, err = t.kafka.EnsureTopics(ctx, want, 0)
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
