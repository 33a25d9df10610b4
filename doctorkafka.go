package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// kafka looks at broker and topics, and at how far behind the workers are.
func (d *doctor) kafka(ctx context.Context) {
	if len(d.Brokers) == 0 && d.holder == "" {
		d.freePort(d.KafkaListen, "--kafka-listen")
		d.note("no broker runs, so that topics and lag cannot be looked at")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := reachable(ctx, d.config); err != nil {
		d.bad("%v", err)
		return
	}
	k, err := d.config.kafka()
	if err != nil {
		d.bad("%v", err)
		return
	}
	defer k.Close()
	meta, err := k.Client().Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		d.bad("Kafka at %v does not say what topics it has: %v", d.brokerAddrs(), broker.Explain(err))
		return
	}
	d.good("Kafka answers at %v, %d broker(s)", d.brokerAddrs(), len(meta.Brokers))
	positions, admitted := d.positions(ctx), d.admitted(ctx)
	for _, topic := range schemas.Topics {
		i := slices.IndexFunc(meta.Topics, func(t kafka.Topic) bool { return t.Name == string(topic) && t.Error == nil })
		if i < 0 {
			d.bad("topic %s does not exist; 'tallybook run', 'pipeline' and 'import' make it", topic)
			continue
		}
		d.topic(&meta.Topics[i], len(meta.Brokers), admitted[topic])
	}
	d.topicSettings(ctx, k, len(meta.Brokers))
	d.lag(ctx, k, positions)
}

func (d *doctor) positions(ctx context.Context) (positions []store.Position) {
	if d.store == nil {
		return nil
	}
	err := d.store.View(ctx, func(v *store.View) (err error) {
		positions, err = v.Positions()
		return err
	})
	if err != nil {
		d.bad("read the positions: %v", err)
	}
	return positions
}

func (d *doctor) admitted(ctx context.Context) (partitions map[schemas.Topic]int) {
	if d.store == nil {
		return nil
	}
	err := d.store.View(ctx, func(v *store.View) (err error) {
		partitions, err = v.Partitions()
		return err
	})
	if err != nil {
		d.bad("read the numbers of partitions: %v", err)
	}
	return partitions
}

// topic compares the partitions with those that were admitted: a changed number
// moves accounts away from the ids that their repeats are known by.
func (d *doctor) topic(t *kafka.Topic, brokers, known int) {
	switch {
	case known == 0:
		d.note("topic %s has %d partitions, none was processed yet", t.Name, len(t.Partitions))
	case known != len(t.Partitions):
		d.bad("topic %s has %d partitions, %d were admitted: workers stop, since accounts would move away from the ids that recognise their repeats; "+
			"see 'tallybook topics admit --help'", t.Name, len(t.Partitions), known)
	default:
		d.good("topic %s has its %d partitions", t.Name, known)
	}
	replicas := len(t.Partitions[0].Replicas)
	for _, p := range t.Partitions {
		replicas = min(replicas, len(p.Replicas))
	}
	switch {
	case len(d.Brokers) == 0: // the embedded broker is one by design
	case replicas < 3 && brokers >= 3:
		d.bad("topic %s has partitions with %d replica(s), and there are %d brokers: use 3", t.Name, replicas, brokers)
	case replicas < 3:
		d.note("topic %s has %d replica(s): a lost broker loses acknowledged events", t.Name, replicas)
	}
}

// topicSettings reads the settings that can lose events or counts.
func (d *doctor) topicSettings(ctx context.Context, k *broker.Kafka, brokers int) {
	req := &kafka.DescribeConfigsRequest{}
	for _, topic := range schemas.Topics {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: string(topic)})
	}
	res, err := k.Client().DescribeConfigs(ctx, req)
	if err != nil {
		d.note("the topics' settings could not be read: %v", err)
		return
	}
	fine := true
	complain := func(format string, args ...any) { fine = false; d.bad(format, args...) }
	for _, r := range res.Resources {
		for _, e := range r.ConfigEntries {
			switch e.ConfigName {
			case "cleanup.policy":
				if e.ConfigValue != "delete" {
					complain("topic %s has cleanup.policy=%s: compaction removes all but an account's last event; set delete", r.ResourceName, e.ConfigValue)
				}
			case "unclean.leader.election.enable":
				if e.ConfigValue == "true" {
					complain("topic %s has unclean.leader.election.enable=true: acknowledged events can be lost; set false", r.ResourceName)
				}
			case "min.insync.replicas":
				if n, err := strconv.Atoi(e.ConfigValue); err == nil && n < 2 && brokers >= 3 {
					complain("topic %s has min.insync.replicas=%d: an acknowledged event may be on one broker only; set 2", r.ResourceName, n)
				}
			}
		}
	}
	if fine {
		d.good("the topics' settings lose nothing")
	}
}

// lag holds the positions against the log. A partition that is behind is looked
// at again after two seconds: one that has not moved stands still.
func (d *doctor) lag(ctx context.Context, k *broker.Kafka, positions []store.Position) {
	var behind int64
	var late []store.Position
	for _, pos := range positions {
		first, end, err := k.Offsets(ctx, pos.Partition)
		switch {
		case err != nil:
			d.bad("%v", err)
		case end < pos.Next:
			d.bad("%s ends at %d, before its position %d: the log went backwards (restored from a backup?); the partition stops until the old log is back",
				name(pos.Partition), end, pos.Next)
		case first > pos.Next:
			d.bad("%s begins at %d, its position is %d: %d records were deleted before they were counted; is the retention too short?",
				name(pos.Partition), first, pos.Next, first-pos.Next)
		case end > pos.Next:
			behind += end - pos.Next
			late = append(late, pos)
		}
	}
	if len(late) == 0 {
		if len(positions) > 0 {
			d.good("no lag: everything in the log is counted")
		}
		return
	}
	d.note("%d records are in the log and not counted yet", behind)
	select {
	case <-ctx.Done():
		return
	case <-time.After(2 * time.Second):
	}
	now := map[schemas.Partition]int64{}
	for _, pos := range d.positions(ctx) {
		now[pos.Partition] = pos.Next
	}
	for _, pos := range late {
		if now[pos.Partition] == pos.Next {
			d.bad("%s stands still at offset %d: does a process with workers run, and what does its log say?", name(pos.Partition), pos.Next)
		}
	}
}

func name(tp schemas.Partition) string { return fmt.Sprintf("%s/%d", tp.Topic, tp.ID) }
