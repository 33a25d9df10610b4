package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// change is what a change of a topic's number of partitions left behind. From
// then on Murmur2 gives each account to one partition, its home: that one also
// knows the ids that others had counted below their cuts. What arrives elsewhere
// under the account's key, from producers that know the former number or go by
// another hash, is handed on to the home, whose window judges it. So all records
// of an account meet the same ids, in whatever order they come.
type change struct {
	cuts  []store.Cut
	all   []int            // the topic's partitions
	homes map[string]int32 // by account
}

// readChange is nil where the number was never changed.
func readChange(ctx context.Context, s *store.Store, topic schemas.Topic) (*change, error) {
	c := &change{homes: map[string]int32{}}
	err := s.View(ctx, func(v *store.View) (err error) {
		if c.cuts, err = v.Cuts(topic); err != nil || len(c.cuts) == 0 {
			return err
		}
		admitted, err := v.Partitions()
		for id := range admitted[topic] {
			c.all = append(c.all, id)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cuts of %s: %w", topic, err)
	}
	if len(c.cuts) == 0 {
		return nil, nil
	}
	return c, nil
}

const maxHomes = 1 << 16 // accounts; beyond it they are forgotten and hashed again

func (c *change) home(account []byte) int32 {
	home, known := c.homes[string(account)]
	if !known {
		home = int32(broker.Partitioner.Balance(kafka.Message{Key: account}, c.all...))
		if len(c.homes) >= maxHomes {
			clear(c.homes)
		}
		c.homes[string(account)] = home
	}
	return home
}

// parcels are records to be handed on, those of one batch.
type parcels struct {
	all   []*parcel         // in the order in which they were begun
	open  map[int32]*parcel // the last one of each home
	bytes int
}

// maxAway bounds what a batch hands on, which stays in memory until it is sent.
const maxAway = 8 << 20

// parcel is what one request produces.
type parcel struct {
	home    int32
	bytes   int
	records []record
}

// handOn puts the record among those that the checkpoint sends to the account's
// home. What stays here is a repeat of that.
func (b *batch) handOn(rec *record, home int32) {
	b.ledger.Duplicate++
	b.ledger.HandedOn++
	mine := record{time: rec.time, key: append([]byte(nil), rec.key...), value: append([]byte(nil), rec.value...)}
	size := len(rec.key) + len(rec.value)
	for _, h := range rec.headers {
		mine.headers = append(mine.headers, kafka.Header{Key: h.Key, Value: append([]byte(nil), h.Value...)})
		size += len(h.Key) + len(h.Value)
	}
	a := &b.away
	p := a.open[home]
	if p == nil || p.bytes+size > broker.BatchBytes {
		if a.open == nil {
			a.open = map[int32]*parcel{}
		}
		p = &parcel{home: home}
		a.open[home], a.all = p, append(a.all, p)
	}
	p.records = append(p.records, mine)
	p.bytes += size
	a.bytes += size
}

// handOn sends the parcels, each until it is durable, before the checkpoint says
// that it did. The home may not be made yet, where the change is under way.
func (c *checkpointer) handOn(a *parcels) error {
	for _, p := range a.all {
		if err := c.retry("hand on", func() error { return c.produce(p) }); err != nil {
			return err
		}
	}
	*a = parcels{} // a batch that is written again has sent them
	return nil
}

func (c *checkpointer) produce(p *parcel) error {
	records := make([]kafka.Record, len(p.records))
	for i, r := range p.records {
		records[i] = kafka.Record{Time: time.UnixMicro(r.time), Key: kafka.NewBytes(r.key), Value: kafka.NewBytes(r.value), Headers: r.headers}
	}
	answer, err := c.p.cfg.Client.Produce(c.hard, &kafka.ProduceRequest{
		Topic: string(c.p.Topic), Partition: int(p.home), RequiredAcks: kafka.RequireAll,
		Compression: c.p.cfg.Codec, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return fmt.Errorf("hand %d records on to %s/%d: %w", len(records), c.p.Topic, p.home, broker.Explain(err))
	}
	return nil
}
