package worker

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// grown is a topic that had two partitions and has four, and what was sent to it.
type grown struct {
	*rig
	ids map[string]bool // of distinct events, as account and id
}

const grownAccounts = 16 // so that each partition has some, and gets some from each of the former ones

func newGrown(t *testing.T) *grown {
	g := &grown{rig: newRigOf(t, 4), ids: map[string]bool{}}
	s := g.openStore()
	defer s.Close()
	if err := s.AdmitTopic(context.Background(), schemas.Usage, 2); err != nil {
		t.Fatal(err)
	}
	return g
}

// grow admits the four.
func (g *grown) grow() {
	g.t.Helper()
	s := g.openStore()
	defer s.Close()
	if err := s.ChangePartitions(context.Background(), schemas.Usage, 2, 4); err != nil {
		g.t.Fatal(err)
	}
}

// send is a producer that believes in so many partitions. Each account gets n
// events with ids from first on.
func (g *grown) send(partitions, first, n int) {
	g.t.Helper()
	var messages []kafka.Message
	for account := range grownAccounts {
		for i := first; i < first+n; i++ {
			name, id := fmt.Sprintf("acct-%d", account), fmt.Sprintf("id-%d", i)
			messages = append(messages, kafka.Message{Key: []byte(name), Value: []byte(event(name, id, "2026-01-01T00:00:00Z"))})
			g.ids[name+" "+id] = true
		}
	}
	w := g.kafka.Writer(schemas.Usage)
	w.Balancer = kafka.BalancerFunc(func(m kafka.Message, all ...int) int { return broker.Partitioner.Balance(m, all[:partitions]...) })
	defer w.Close()
	if err := w.WriteMessages(context.Background(), messages...); err != nil {
		g.t.Fatal(err)
	}
}

// drainAll works all partitions off, also what they hand on to each other.
func (g *grown) drainAll(tune ...func(*Config)) {
	g.t.Helper()
	for range 2 {
		for id := range int32(4) {
			g.tp.ID = id
			g.start(tune...).drain()
		}
	}
}

// counted holds archive and ledger against what was sent.
func (g *grown) counted() {
	g.t.Helper()
	s := g.openStore()
	defer s.Close()
	var files []store.ArchiveFile
	var counted, handedOn int64
	err := s.View(context.Background(), func(v *store.View) (err error) {
		for id := range int32(4) {
			rows, err := v.Ledger(schemas.Partition{Topic: schemas.Usage, ID: id}, 0, 1<<20)
			if err != nil {
				return err
			}
			for _, row := range rows {
				counted += row.Counted
				handedOn += row.HandedOn
			}
		}
		files, err = v.Files(store.FileFilter{})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if handedOn == 0 {
		g.t.Error("nothing was handed on")
	}
	_, archived := g.readArchive(files) // which complains of ids that are there twice
	if !maps.Equal(archived, g.ids) || counted != int64(len(g.ids)) {
		g.t.Errorf("got %d events counted, %d different ones in the archive, want %d", counted, len(archived), len(g.ids))
	}
}

// Producers that know of the change and others that do not yet, in any order: no
// event is counted twice or lost.
func TestGrownTopic(t *testing.T) {
	g := newGrown(t)
	g.send(2, 0, 5)
	for id := range int32(2) {
		g.tp.ID = id
		g.start().drain()
	}
	g.send(2, 5, 5) // in the log, behind the cut
	g.grow()
	g.send(4, 0, 15)  // repeats of both, and new ones
	g.send(2, 10, 10) // repeats of these where they are not known, and new ones
	g.send(4, 15, 5)
	g.drainAll()
	g.counted()
}

// producing makes what workers produce a step that can fail.
type producing struct {
	kafka.RoundTripper
	rig *rig
}

func (p producing) RoundTrip(ctx context.Context, to net.Addr, req kafka.Request) (kafka.Response, error) {
	var after error
	if _, ok := req.(*produce.Request); ok {
		var before error
		if before, after = p.rig.step("hand on"); before != nil {
			return nil, before
		}
	}
	answer, err := p.RoundTripper.RoundTrip(ctx, to, req)
	if err == nil && after != nil {
		return nil, after
	}
	return answer, err
}

func (g *grown) producing(cfg *Config) {
	client := *cfg.Client
	client.Transport = producing{client.Transport, g.rig}
	cfg.Client = &client
}

// A checkpoint with records to hand on fails at each step, and the process goes
// on or dies: they are counted once, at home.
func TestGrownTopicFaults(t *testing.T) {
	for _, step := range []string{"hand on", "begin", "commit"} {
		for _, applied := range []bool{false, true} {
			for _, dies := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s applied=%t dies=%t", step, applied, dies), func(t *testing.T) {
					t.Parallel()
					g := newGrown(t)
					g.send(2, 0, 2)
					g.drainAll()
					g.grow()
					g.send(2, 0, 4)
					g.tp.ID = 0
					strike(g, step, applied, dies)
					g.drainAll()
					g.counted()
				})
			}
		}
	}
}

// strike lets a process of the partition meet the fault once.
func strike(g *grown, step string, applied, dies bool) {
	struck := make(chan struct{})
	var once sync.Once
	var started sync.WaitGroup
	started.Add(1)
	var p *process
	g.setFault(func(at string) (before, after error) {
		if at != step {
			return nil, nil
		}
		once.Do(func() {
			started.Wait()
			if dies {
				p.kill()
			}
			if before, after = errFault, nil; applied {
				before, after = nil, errFault
			}
			close(struck)
		})
		return before, after
	})
	p = g.start(g.producing)
	started.Done()
	g.until("the fault has struck", func() bool {
		select {
		case <-struck:
			return true
		default:
			return false
		}
	})
	if dies {
		<-p.exited
	} else {
		p.drain()
	}
	g.setFault(nil)
}
