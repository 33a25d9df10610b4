package worker

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
	"tallybook/store"
)

// An error row keeps the record as it was, so that it can be sent again: key,
// headers (binary mode) and time; what is too large for that says so.
func TestErrorRowsKeepTheRecord(t *testing.T) {
	r := newRig(t)
	binary := kafka.Message{Key: []byte("acct-0"), Value: []byte(`{"status":"high"}`), Headers: []kafka.Header{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("b")}, {Key: "ce_source", Value: []byte("s")},
		{Key: "ce_type", Value: []byte("api.request")}, {Key: "trace", Value: []byte{0xff, 0}}}}
	many := message("acct-0", "{")
	many.Headers = []kafka.Header{{Key: "big", Value: []byte(strings.Repeat("x", maxErrorHeaders))}}
	r.produce(binary, message("acct-0", `{"x":"`+strings.Repeat("x", maxErrorInput)), many, message("", "{"))
	r.bad += 4
	r.start().drain()
	r.check()
	rows := r.errorRows()
	want := []store.Header{{Name: "ce_specversion", Value: []byte("1.0")}, {Name: "ce_id", Value: []byte("b")}, {Name: "ce_source", Value: []byte("s")},
		{Name: "ce_type", Value: []byte("api.request")}, {Name: "trace", Value: []byte{0xff, 0}}}
	if got := rows[0]; !got.Whole || !reflect.DeepEqual(got.Headers, want) || string(got.Key) != "acct-0" || got.RecordTime == 0 || string(got.Input) != `{"status":"high"}` {
		t.Errorf("binary mode: got %+v", got)
	}
	for offset, what := range map[int64]string{1: "a long value", 2: "long headers"} {
		if rows[offset].Whole {
			t.Errorf("%s: it is said to be whole", what)
		}
	}
	if got := rows[3]; !got.Whole || len(got.Key) != 0 {
		t.Errorf("without a key: got %+v", got)
	}
}

// A request that an endpoint refused comes as a record with a header; what does
// not look like ours is a record as any other.
func TestRefusalsOfEndpoints(t *testing.T) {
	r := newRig(t)
	refused := func(header string) kafka.Message {
		m := message("acct-0", event("acct-0", "good", "2026-01-01T00:00:00Z"))
		m.Headers = []kafka.Header{{Key: schemas.RefusalHeader, Value: []byte(header)}}
		return m
	}
	refusal := schemas.Refusal{Endpoint: "/events/", Reason: schemas.InvalidJSON, Field: "body", Message: "no JSON"}
	r.produce(refused(string(refusal.Text())), refused(`{"endpoint":"/x","reason":"UPPER CASE"}`))
	r.bad++
	r.sent["acct-0"]++
	r.start().drain()
	r.check()
	rows := r.errorRows()
	if got := rows[0]; len(rows) != 1 || got.Endpoint != "/events/" || got.Reason != schemas.InvalidJSON || got.Field != "body" || got.Message != "no JSON" ||
		got.Account != "acct-0" || got.Whole {
		t.Errorf("got %+v", rows)
	}
}

// Halving ends also where offsets without a record lie before the one that the
// store refuses: transactions leave such.
func TestRefusedRecordBehindAGap(t *testing.T) {
	p := &partition{cfg: &Config{Log: quiet()}, limit: 4, rejectNext: -1}
	refusal := store.Result{Outcome: store.Refused, Err: errors.New("no")}
	ledger := func(first, next, records int64) *batch {
		return &batch{ledger: store.Ledger{First: first, Next: next, Records: records, Gaps: next - first - records}}
	}
	if err := p.refused(&writeJob{batch: ledger(10, 17, 2), to: store.Position{LastOffset: 16}, result: refusal}); !errors.Is(err, errRefused) || p.limit != 1 || p.rejectNext != -1 {
		t.Errorf("two records: %v, limit %d, refused record %d; want limit 1, none", err, p.limit, p.rejectNext)
	}
	if err := p.refused(&writeJob{batch: ledger(10, 16, 1), to: store.Position{LastOffset: 15}, result: refusal}); !errors.Is(err, errRefused) || p.rejectNext != 15 {
		t.Errorf("one record behind a gap: %v, refused record %d; want 15", err, p.rejectNext)
	}
}
