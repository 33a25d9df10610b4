package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

func TestKeepFrom(t *testing.T) {
	files := []segment{{first: 0}, {first: 10}, {first: 20}, {first: 30}}
	for position, want := range map[int64]int64{
		0: 0, 1: 0, 10: 0, 11: 0, 20: 0, // the record before lies in the first or second segment
		21: 10, 30: 10,
		31: 20, 99: 20,
	} {
		if got := keepFrom(files, position); got != want {
			t.Errorf("position %d: got %d, want %d", position, got, want)
		}
	}
	if got := keepFrom(nil, 5); got != 0 {
		t.Errorf("no segments: got %d, want 0", got)
	}
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Partitions: 2, MaxLogBytes: 1 << 20, SegmentBytes: 1000}
	b := mustStart(t, cfg)
	k := testKafka(t, b.Addr())
	want := make([]string, 60)
	for i := range want {
		want[i] = fmt.Sprintf("%03d%s", i, strings.Repeat("x", 20))
		produce(t, k, usage1, want[i])
	}
	const position = 40
	before := b.Bytes()

	// A reader at the position goes on reading across the trim.
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: k.Brokers, Topic: "usage", Partition: 1,
		MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffset(position); err != nil {
		t.Fatal(err)
	}
	next := func(offset int64) {
		t.Helper()
		m, err := reader.ReadMessage(testContext(t))
		if err != nil || m.Offset != offset || string(m.Value) != want[offset] {
			t.Fatalf("got %d %q, %v; want %d", m.Offset, m.Value, err, offset)
		}
	}
	next(position)

	if err := b.Trim(map[schemas.Partition]int64{usage1: position, {Topic: schemas.Errors}: 7}); err != nil {
		t.Fatal(err)
	}
	for offset := int64(position + 1); offset < int64(len(want)); offset++ {
		next(offset)
	}
	files, err := b.segments(usage1)
	if err != nil {
		t.Fatal(err)
	}
	first, end, err := k.Offsets(testContext(t), usage1)
	if err != nil {
		t.Fatal(err)
	}
	if first != files[0].first || first == 0 || end != int64(len(want)) {
		t.Errorf("got log start %d, end %d, files from %d", first, end, files[0].first)
	}
	// The record before the position, and a whole segment before its own, are there.
	if len(files) < 3 || files[1].first > position-1 || files[2].first <= position-1 {
		t.Errorf("got segments %v for position %d", files, position)
	}
	if b.Bytes() >= before {
		t.Errorf("got %d bytes, want less than %d", b.Bytes(), before)
	}
	sameValues(t, read(t, k, usage1, position-1), want[position-1:])

	// The log start stands after a restart, and trimming at the end leaves records.
	reader.Close()
	mustClose(t, b)
	b = mustStart(t, cfg)
	defer mustClose(t, b)
	k = testKafka(t, b.Addr())
	if again, _, err := k.Offsets(testContext(t), usage1); err != nil || again != first {
		t.Errorf("log start after a restart: got %d, %v; want %d", again, err, first)
	}
	if err := b.Trim(map[schemas.Partition]int64{usage1: int64(len(want))}); err != nil {
		t.Fatal(err)
	}
	sameValues(t, read(t, k, usage1, int64(len(want)-1)), want[len(want)-1:])
	// A position past the end touches nothing.
	if err := b.Trim(map[schemas.Partition]int64{usage1: int64(len(want) + 1)}); err != nil {
		t.Fatal(err)
	}
	sameValues(t, read(t, k, usage1, int64(len(want)-1)), want[len(want)-1:])
}
