package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"tallybook/store/storetest"
)

func TestKnownSet(t *testing.T) {
	k := newKnownSet(100)
	key := func(i int) [16]byte { return [16]byte{byte(i), byte(i >> 8)} }
	k.add([][16]byte{key(1 << 12)})
	for i := range 1000 {
		k.add([][16]byte{key(i)})
		if !k.has(key(i)) || !k.has(key(1<<12)) {
			t.Fatalf("%d, or the one that is always used, was forgotten", i)
		}
		if n := len(k.now) + len(k.old); n > 100 {
			t.Fatalf("got %d keys, want at most 100", n)
		}
	}
	if k.has(key(1)) {
		t.Error("nothing is ever forgotten")
	}
}

// TestViewDeadline: a view that lasts too long is cut short, in the middle of a
// query that would never end.
func TestViewDeadline(t *testing.T) {
	s := openFile(t, storetest.URL(t), Options{ViewTimeout: 20 * time.Millisecond})
	err := s.View(ctx, func(v *View) error {
		return v.stream(func(*sql.Rows) error { return nil },
			`WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n`)
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a view of the store may last 20ms") {
		t.Errorf("got %v, want the deadline, told in words", err)
	}
}

// TestRefusedSaysWhy: the cause names what did not fit.
func TestRefusedSaysWhy(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	row := request(day0.Hour(), "a", "x")
	row.Bytes = math.MaxInt64
	o.apply(o.next(1, row))
	err := o.try(o.next(1, row)).Err
	why := "rollup_hours.bytes"
	if storetest.Postgres { // which does not tell the column
		why = "bigint out of range"
	}
	if err == nil || !strings.Contains(err.Error(), "checkpoint usage/0 at 1: rollups: ") || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want the partition, the offset and %s", err, why)
	}
}
