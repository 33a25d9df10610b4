package worker

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// counted folds records of a topic into a batch and lists what a checkpoint
// would write: an account, a series and its numbers a line.
func counted(t *testing.T, topic schemas.Topic, records ...string) (*batch, []string) {
	t.Helper()
	tp := schemas.Partition{Topic: topic}
	b := newBatch(tp, newErrorLog(tp, 1))
	b.start(0, newInterner())
	var d schemas.Decoder
	var ev schemas.Event
	for i, record := range records {
		rejection := d.Decode(topic, []byte(record), &ev)
		if rejection == nil {
			rejection = schemas.DefaultRules().Validate(topic, &ev, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
		}
		if rejection != nil {
			t.Fatalf("%s: %v", record, rejection)
		}
		b.count(&ev, ev.Subject, int64(i), 0)
	}
	var cp store.Checkpoint
	b.rows.Dict = b.dims.intern.strings
	b.cells.appendTo(&cp, b.rows.Dict)
	if b.rated != nil {
		b.rated.appendTo(&cp, b.rows.Dict)
	}
	var lines []string
	for _, delta := range cp.Deltas {
		s := cp.Series[delta.Series]
		lines = append(lines, fmt.Sprintf("%s %s %s: %d, %s, %s", s.Account, s.Family, s.DimsJSON(), delta.Count, delta.Quantity, delta.Amount))
	}
	slices.Sort(lines)
	return b, lines
}

func TestRatedUsageFoldsIntoItsOwnFamily(t *testing.T) {
	const envelope = `{"specversion":"1.0","source":"s","subject":"acme","type":`
	b, got := counted(t, schemas.Usage,
		envelope+`"api.request","id":"1","time":"2019-05-01T00:00:00Z","data":{"endpoint":"/a","status":200}}`,
		envelope+`"rated.usage","id":"2","data":{"metric":"cpu","qty":2,"price":"0.4","begin":"2019-05-01T00:00:00Z","groupby":{"b":"1","a":"2"}}}`,
		envelope+`"rated.usage","id":"3","data":{"metric":"cpu","qty":"1.5","price":0.1,"begin":"2019-05-01T00:59:59Z","groupby":{"a":"2","b":"1"}}}`,
		envelope+`"rated.usage","id":"4","data":{"metric":"cpu","qty":1,"begin":"2019-05-01T00:00:00Z","groupby":{"a":"2","b":"1"},"metadata":{"m":"v"}}}`)
	want := []string{
		`acme rated ["cpu","","{\"a\":\"2\",\"b\":\"1\"}","[\"m\"]"]: 1, 1, 0`,
		`acme rated ["cpu","","{\"a\":\"2\",\"b\":\"1\"}","[]"]: 2, 3.5, 0.5`,
		`acme request ["","","/a","","200",""]: 1, 1, 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	amounts := []schemas.Decimal{archive.NullDecimal, {Nanos: 400_000_000}, {Nanos: 100_000_000}, {}}
	if !slices.Equal(b.rows.Amount, amounts) {
		t.Errorf("archived amounts: got %v, want %v", b.rows.Amount, amounts)
	}
	if got, want := string(b.rows.Data.At(3)), `{"metric":"cpu","qty":1,"begin":"2019-05-01T00:00:00Z","groupby":{"a":"2","b":"1"},"metadata":{"m":"v"}}`; got != want {
		t.Errorf("archived data: got %s, want %s", got, want)
	}
	b.start(4, b.dims.intern)
	if len(b.rated.keys) != 0 || len(b.rows.Amount) != 0 {
		t.Errorf("the next batch begins with %d rated series and %d amounts", len(b.rated.keys), len(b.rows.Amount))
	}
}

// Inbound mail is accepted and stored: two rows of a record, counted once.
func TestInboundMailIsTwoRows(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":`
	b, got := counted(t, schemas.Emails,
		envelope+`"email.opened","time":"2019-05-01T00:00:00Z","data":{"domain":"d"}}`,
		envelope+`"mandrill.webhook","data":{"event":"inbound","ts":1548115212,"msg":{"email":"in@D."}}}`,
		envelope+`"mandrill.webhook","data":{"event":"open","ts":1548115212,"_id":"x","msg":{"sender":"a@d"}}}`)
	want := []string{
		`acme email ["d","accepted","incoming","","",""]: 1, 0, 0`,
		`acme email ["d","opened","","","",""]: 1, 0, 0`,
		`acme email ["d","opened","","","",""]: 1, 0, 0`,
		`acme email ["d","stored","incoming","","",""]: 1, 0, 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	if b.ledger.Counted != 3 || b.ledger.Extra != 1 || !slices.Equal(b.rows.Row, []int32{0, 0, 1, 0}) || !slices.Equal(b.rows.Offset, []int64{0, 1, 1, 2}) {
		t.Errorf("counted %d, rows %v at %v; want 3, rows 0 0 1 0 at 0 1 1 2", b.ledger.Counted, b.rows.Row, b.rows.Offset)
	}
	if first, twin := b.rows.ID.At(1), b.rows.ID.At(2); string(first) != string(twin) {
		t.Errorf("ids of the two rows: %s and %s, want the same", first, twin)
	}
}

// A batch uses its columns again: one with money or twins may be followed by one
// without, which has to become a file too.
func TestPlainBatchAfterMoneyAndTwins(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":`
	for topic, records := range map[schemas.Topic][2]string{
		schemas.Usage: {envelope + `"rated.usage","data":{"metric":"cpu","qty":2,"price":"0.4","begin":"2019-05-01T00:00:00Z","groupby":{}}}`,
			envelope + `"api.request","time":"2019-05-01T00:00:00Z","data":{"endpoint":"/a","status":200}}`},
		schemas.Emails: {envelope + `"mandrill.webhook","data":{"event":"inbound","ts":1548115212,"msg":{"email":"in@d"}}}`,
			envelope + `"email.opened","time":"2019-05-01T00:00:00Z","data":{"domain":"d"}}`},
	} {
		b, _ := counted(t, topic, records[0])
		b.start(1, b.dims.intern)
		var d schemas.Decoder
		var ev schemas.Event
		if rejection := d.Decode(topic, []byte(records[1]), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		b.count(&ev, ev.Subject, 1, 0)
		b.rows.Dict = b.dims.intern.strings
		var file bytes.Buffer
		if err := archive.NewWriter().Write(&file, &b.rows, []int32{0}); err != nil || file.Len() == 0 {
			t.Errorf("%s: %d bytes, %v", topic, file.Len(), err)
		}
	}
}
