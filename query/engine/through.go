package engine

import (
	"math"
	"strconv"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// Through is what X-Data-Through says of positions (sorted by topic and
// partition): the least log clock of those that have any records, then each
// topic's partitions with their next offsets.
func Through(positions []store.Position) string {
	least := int64(math.MaxInt64)
	for _, p := range positions {
		if p.Clock != 0 {
			least = min(least, p.Clock)
		}
	}
	if least == math.MaxInt64 {
		least = 0 // no records: nothing is known to be contained
	}
	b := []byte(time.UnixMicro(least).UTC().Format(time.RFC3339Nano))
	var topic schemas.Topic
	for _, p := range positions {
		if p.Topic == topic {
			b = append(b, ',')
		} else {
			topic = p.Topic
			b = append(append(append(b, "; "...), topic...), '=')
		}
		b = strconv.AppendInt(b, int64(p.ID), 10)
		b = strconv.AppendInt(append(b, ':'), p.Next, 10)
	}
	return string(b)
}
