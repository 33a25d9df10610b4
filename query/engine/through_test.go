package engine

import (
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

func TestThrough(t *testing.T) {
	at := func(text string) int64 {
		x, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixMicro()
	}
	position := func(topic schemas.Topic, id int32, next, clock int64) store.Position {
		return store.Position{Partition: schemas.Partition{Topic: topic, ID: id}, Next: next, Clock: clock}
	}
	for _, c := range []struct {
		positions []store.Position
		want      string
	}{
		{nil, "1970-01-01T00:00:00Z"},
		{[]store.Position{position("usage", 0, 120, at("2026-01-01T00:00:00Z")), position("usage", 1, 98, at("2026-01-01T00:00:01Z"))},
			"2026-01-01T00:00:00Z; usage=0:120,1:98"},
		{[]store.Position{position("usage", 0, 0, 0), position("usage", 1, 98, at("2026-01-01T00:00:01.25Z"))}, "2026-01-01T00:00:01.25Z; usage=0:0,1:98"},
		{[]store.Position{position("emails", 0, 3, at("2026-01-01T00:00:00Z")), position("usage", 0, 4, at("2026-01-01T00:00:00Z"))},
			"2026-01-01T00:00:00Z; emails=0:3; usage=0:4"},
	} {
		if got := Through(c.positions); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
