package worker

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// sticky leaves partitions where they are, as far as that is fair: a partition
// that moves stands still for a moment, and its dedupe window is built again.
// Each topic is spread evenly, since one of them carries most of the load. Members
// say what they have when they join; of two that claim a partition the one with
// the later epoch has it, the other was away.
type sticky struct {
	owned func() map[schemas.Partition]int64 // with its epoch
}

// claim is one of the list that a member sends, as JSON.
type claim struct {
	Topic     schemas.Topic `json:"t"`
	Partition int32         `json:"p"`
	Epoch     int64         `json:"e"`
}

func (sticky) ProtocolName() string { return "tallybook-sticky" }

func (s sticky) UserData() ([]byte, error) {
	claims := []claim{}
	for tp, epoch := range s.owned() {
		claims = append(claims, claim{tp.Topic, tp.ID, epoch})
	}
	return json.Marshal(claims)
}

func (sticky) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	owner := owners(members)
	all := kafka.GroupMemberAssignments{}
	total := map[string]int{}
	topics := map[string][]int{}
	for _, m := range members {
		all[m.ID] = map[string][]int{}
	}
	for _, p := range partitions {
		topics[p.Topic] = append(topics[p.Topic], p.ID)
	}
	for _, topic := range schemas.Topics {
		spreadTopic(string(topic), topics[string(topic)], owner, all, total)
	}
	return all
}

// owners says who has a partition; not all are still there.
func owners(members []kafka.GroupMember) map[schemas.Partition]string {
	owner, epoch := map[schemas.Partition]string{}, map[schemas.Partition]int64{}
	for _, m := range members {
		var claims []claim
		if err := json.Unmarshal(m.UserData, &claims); err != nil {
			continue // whoever that is, it gets its share
		}
		for _, c := range claims {
			tp := schemas.Partition{Topic: c.Topic, ID: c.Partition}
			if _, taken := owner[tp]; !taken || c.Epoch > epoch[tp] {
				owner[tp], epoch[tp] = m.ID, c.Epoch
			}
		}
	}
	return owner
}

// spreadTopic gives each member its share of a topic; where it does not come out
// even, those that have least altogether get one more.
func spreadTopic(topic string, partitions []int, owner map[schemas.Partition]string, all kafka.GroupMemberAssignments, total map[string]int) {
	kept := map[string][]int{}
	var free []int
	slices.Sort(partitions)
	for _, id := range partitions {
		if m, ok := owner[schemas.Partition{Topic: schemas.Topic(topic), ID: int32(id)}]; ok {
			kept[m] = append(kept[m], id)
		} else {
			free = append(free, id)
		}
	}
	members := make([]string, 0, len(all))
	for id := range all {
		members = append(members, id)
	}
	slices.SortFunc(members, func(a, b string) int {
		return cmp.Or(cmp.Compare(total[a], total[b]), cmp.Compare(len(kept[b]), len(kept[a])), cmp.Compare(a, b))
	})
	share := func(rank int) int {
		n := len(partitions) / len(members)
		if rank < len(partitions)%len(members) {
			n++
		}
		return n
	}
	for rank, m := range members {
		keep := min(len(kept[m]), share(rank))
		all[m][topic] = kept[m][:keep:keep]
		free = append(free, kept[m][keep:]...)
	}
	for rank, m := range members {
		more := share(rank) - len(all[m][topic])
		all[m][topic] = append(all[m][topic], free[:more]...)
		free = free[more:]
		total[m] += len(all[m][topic])
	}
}
