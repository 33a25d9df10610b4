package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
	"tallybook/store"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func message(account, value string) kafka.Message {
	return kafka.Message{Key: []byte(account), Value: []byte(value)}
}

// errorRows are the error rows of the partition by offset.
func (r *rig) errorRows() map[int64]store.ErrorRow {
	r.t.Helper()
	s := r.openStore()
	defer s.Close()
	byOffset := map[int64]store.ErrorRow{}
	err := s.View(context.Background(), func(v *store.View) error {
		rows, err := v.Errors(store.ErrorFilter{Limit: 10_000})
		for _, row := range rows {
			byOffset[row.Offset] = row
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return byOffset
}

// Each bad record becomes an error row with its reason, and the partition goes on.
func TestPoison(t *testing.T) {
	r := newRig(t)
	with := func(data string) string {
		return `{"specversion":"1.0","id":"p","source":"test","type":"api.request","subject":"acct-0","time":"2026-01-01T00:00:00Z","data":{` + stampOf0 + data[1:] + `}`
	}
	at := func(time string) string { return event("acct-0", "p", time) }
	cases := []struct {
		name    string
		record  kafka.Message
		reason  schemas.Reason
		account string
	}{
		{"invalid JSON", message("acct-0", `{"specversion":"1.0",`), schemas.InvalidJSON, "_unknown"},
		{"not JSON at all", message("acct-0", "\xff\xfe\x00"), schemas.InvalidJSON, "_unknown"},
		{"10 MiB", message("acct-0", with(`{"endpoint":"/`+strings.Repeat("x", 10<<20)+`","status":200}`)), schemas.TooLarge, "acct-0"},
		{"status is text", message("acct-0", with(`{"endpoint":"/","status":"abc"}`)), schemas.WrongType, "acct-0"},
		{"NaN literal", message("acct-0", with(`{"endpoint":"/","status":200,"latency_ms":NaN}`)), schemas.InvalidJSON, "acct-0"},
		{"10^13", message("acct-0", with(`{"endpoint":"/","status":200,"quantity":10000000000000}`)), schemas.OutOfRange, "acct-0"},
		{"year 9999", message("acct-0", at("9999-01-01T00:00:00Z")), schemas.TimeAhead, "acct-0"},
		{"year 1", message("acct-0", at("0001-01-01T00:00:00Z")), schemas.TimeTooOld, "acct-0"},
		{"no key and no subject", message("", `{"specversion":"1.0","id":"p","source":"test","type":"api.request","data":{"endpoint":"/","status":200}}`), schemas.NoAccount, "_unknown"},
		{"tombstone", kafka.Message{Key: []byte("acct-0")}, schemas.EmptyRecord, "acct-0"},
		{"another topic's type", message("acct-0", strings.Replace(at("2026-01-01T00:00:00Z"), "api.request", "api.error", 1)), schemas.WrongTopic, "acct-0"},
		{"made by workers only", message("acct-0", strings.Replace(at("2026-01-01T00:00:00Z"), "api.request", "internal.error", 1)), schemas.ReservedType, "acct-0"},
	}
	for _, c := range cases {
		r.produce(c.record)
		r.bad++
	}
	// Odd, but right: these are counted.
	r.produce(
		message("acct-0", with(`{"endpoint":"/","status":200,"quantity":1.123456789123}`)),                                                                      // 12 fractional digits
		kafka.Message{Key: []byte("acct-0"), Value: []byte(event("acct-0", "2099", "2026-01-01T00:00:00Z")), Time: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}, // the record's own time
		message("", event("acct-0", "no key", "2026-01-01T00:00:00Z")),
	)
	r.sent["acct-0"] += 3
	r.free++
	r.start().drain()
	r.check()
	rows := r.errorRows()
	for offset, c := range cases {
		row := rows[int64(offset)]
		if row.Reason != c.reason || row.Account != c.account || row.Records != 1 || row.Message == "" {
			t.Errorf("%s: got reason %q, account %q, message %q; want %q, %q", c.name, row.Reason, row.Account, row.Message, c.reason, c.account)
		}
		if want := int64(len(c.record.Value)); row.InputBytes != want || int64(len(row.Input)) != min(want, maxErrorInput) {
			t.Errorf("%s: kept %d of %d bytes, want %d", c.name, len(row.Input), row.InputBytes, want)
		}
	}
	// The record from 2099 must not have moved the log clock past now + 5 min.
	s := r.openStore()
	defer s.Close()
	pos, err := s.Position(context.Background(), r.tp)
	if err != nil || time.UnixMicro(pos.Clock).After(time.Now().Add(6*time.Minute)) {
		t.Errorf("log clock %s, error %v", time.UnixMicro(pos.Clock), err)
	}
}

// A flood of bad records: few rows, exact counts, and the partition goes on.
func TestBadRecordsInARow(t *testing.T) {
	const n = 100_000
	r := newRig(t)
	batch := make([]kafka.Message, 0, 10_000)
	for i := range n {
		batch = append(batch, message("acct-0", fmt.Sprintf(`{"bad":%d`, i)))
		if len(batch) == cap(batch) {
			r.produce(batch...)
			batch = batch[:0]
		}
	}
	r.bad += n
	r.load(0, 20)
	p := r.start(func(c *Config) { c.BatchEvents, c.Interval, c.ErrorRowsPerMinute = 10_000, time.Second, 50 })
	p.drain()
	r.check()
	rows := r.errorRows()
	if len(rows) > 200 {
		t.Errorf("%d error rows for %d bad records", len(rows), n)
	}
	var stand int64
	for _, row := range rows {
		stand += row.Records
	}
	if stand != r.bad {
		t.Errorf("error rows stand for %d records, want %d", stand, r.bad)
	}
}

// The store refuses a sum that leaves 64 bits: the record is found by halving
// and becomes an error row; everything around it is counted.
func TestRefusedRecordIsFound(t *testing.T) {
	r := newRig(t)
	r.load(0, 20)
	r.start().drain()
	r.fillUp("acct-0")
	r.load(20, 30)
	r.produce(message("acct-0", strings.Replace(event("acct-0", "big", "2026-01-01T00:00:00Z"), `"status":200`, `"status":200,"quantity":999999999999`, 1)))
	r.bad++
	r.load(50, 30)
	r.start().drain()
	r.check()
	var found bool
	for _, row := range r.errorRows() {
		found = found || row.Reason == schemas.RefusedByStore
	}
	if !found {
		t.Error("no error row says refused_by_store")
	}
}
