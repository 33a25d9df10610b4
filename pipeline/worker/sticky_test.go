package worker

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// group is what the broker and its members know.
type group struct {
	t       *testing.T
	parts   []kafka.Partition
	members map[string]map[schemas.Partition]int64
	epoch   int64
}

func newGroup(t *testing.T, partitions int) *group {
	g := &group{t: t, members: map[string]map[schemas.Partition]int64{}}
	for _, topic := range schemas.Topics {
		for id := range partitions {
			g.parts = append(g.parts, kafka.Partition{Topic: string(topic), ID: id})
		}
	}
	return g
}

// rebalance assigns, checks that it is whole and fair, and says how many
// partitions changed their owner.
func (g *group) rebalance() (moved int) {
	g.t.Helper()
	var members []kafka.GroupMember
	for id, claims := range g.members {
		data, err := sticky{func() map[schemas.Partition]int64 { return claims }}.UserData()
		if err != nil {
			g.t.Fatal(err)
		}
		members = append(members, kafka.GroupMember{ID: id, UserData: data})
	}
	g.epoch++
	owned, least, most := map[schemas.Partition]bool{}, len(g.parts), 0
	for id, topics := range (sticky{}).AssignGroups(members, g.parts) {
		now := map[schemas.Partition]int64{}
		for topic, ids := range topics {
			if min, max := len(g.parts)/len(schemas.Topics)/len(members), (len(g.parts)/len(schemas.Topics)+len(members)-1)/len(members); len(ids) < min || len(ids) > max {
				g.t.Errorf("%s has %d partitions of %s, want %d to %d", id, len(ids), topic, min, max)
			}
			for _, n := range ids {
				tp := schemas.Partition{Topic: schemas.Topic(topic), ID: int32(n)}
				if owned[tp] {
					g.t.Errorf("%v has two owners", tp)
				}
				owned[tp] = true
				if epoch, had := g.members[id][tp]; had {
					now[tp] = epoch
				} else {
					now[tp] = g.epoch
					moved++
				}
			}
		}
		g.members[id] = now
		least, most = min(least, len(now)), max(most, len(now))
	}
	if len(owned) != len(g.parts) {
		g.t.Errorf("%d partitions have an owner, want %d", len(owned), len(g.parts))
	}
	if most-least > 1 {
		g.t.Errorf("members have %d to %d partitions altogether", least, most)
	}
	return moved
}

func TestStickyMovesLittle(t *testing.T) {
	g := newGroup(t, 4)
	g.members["a"] = nil
	if got := g.rebalance(); got != 12 {
		t.Errorf("first member: got %d moved, want 12", got)
	}
	g.members["b"] = nil
	if got := g.rebalance(); got != 6 {
		t.Errorf("second member: got %d moved, want 6", got)
	}
	if got := g.rebalance(); got != 0 {
		t.Errorf("nothing happened: got %d moved, want 0", got)
	}
	g.members["c"] = nil
	if got := g.rebalance(); got < 3 || got > 6 {
		t.Errorf("third member: got %d moved, want 3 to 6", got)
	}
	lost := len(g.members["a"])
	delete(g.members, "a")
	if got := g.rebalance(); got < lost || got > lost+2 {
		t.Errorf("a member that had %d left: got %d moved", lost, got)
	}
}

// A member that was away claims what others have meanwhile.
func TestStickyZombie(t *testing.T) {
	g := newGroup(t, 4)
	g.members["a"], g.members["b"] = nil, nil
	g.rebalance()
	zombie := g.members["a"]
	delete(g.members, "a")
	g.rebalance()
	g.members["a"] = zombie
	if got := g.rebalance(); got > 6 {
		t.Errorf("got %d moved, want at most 6", got)
	}
	for tp := range g.members["a"] {
		if _, both := g.members["b"][tp]; both {
			t.Errorf("%v has two owners", tp)
		}
	}
}

func TestStickyStaysFair(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, partitions := range []int{1, 3, 4, 7} {
		g := newGroup(t, partitions)
		for n := range 200 {
			switch {
			case len(g.members) < 2 || rnd.IntN(2) == 0 && len(g.members) < 9:
				g.members[fmt.Sprint(rnd.Uint64())] = nil
			default:
				for id := range g.members {
					delete(g.members, id)
					break
				}
			}
			g.rebalance()
			if t.Failed() {
				t.Fatalf("%d partitions, step %d", partitions, n)
			}
		}
	}
}
