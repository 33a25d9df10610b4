package collector

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/schemas"
)

// event is one event of a request, checked: a record for a topic, or refused.
type event struct {
	id       string // as far as it could be read
	topic    schemas.Topic
	key      []byte
	value    []byte
	headers  []kafka.Header // few and short
	received time.Time      // the record's timestamp; zero: the request's
	rejected *schemas.Rejection
	lost     bool // not acknowledged
}

// topicOf is where events of a type belong. Corrections go to usage; on another
// original's topic they come through Kafka.
func topicOf(eventType []byte) schemas.Topic {
	switch string(eventType) {
	case schemas.TypeAPIError:
		return schemas.Errors
	case schemas.TypeMailgunWebhook, schemas.TypeMandrill:
		return schemas.Emails
	}
	if bytes.HasPrefix(eventType, []byte(schemas.EmailPrefix)) {
		return schemas.Emails
	}
	return schemas.Usage
}

// decoder checks events; one goroutine at a time.
type decoder struct {
	decoder schemas.Decoder
	event   schemas.Event
	topic   schemas.Topic // of the event before: the next one mostly has the same
}

// decode reads a record as one of the topic that its type belongs to.
func (d *decoder) decode(value []byte) *schemas.Rejection {
	if d.topic == "" {
		d.topic = schemas.Usage
	}
	rejection := d.decoder.Decode(d.topic, value, &d.event)
	if right := topicOf(d.event.Type); right != d.topic {
		d.topic = right
		rejection = d.decoder.Decode(d.topic, value, &d.event)
	}
	return rejection
}

// check makes an event of a piece of a body. The caller's account is that of
// events which name none, and for all but administrators the only one. The received time is a whole millisecond, as it will
// stand on the record, so that the worker's clock allows what is allowed here.
func (c *Collector) check(d *decoder, raw []byte, caller api.Caller, received time.Time) event {
	if len(raw) > c.cfg.MaxEventBytes {
		return event{rejected: &schemas.Rejection{Reason: schemas.TooLarge,
			Message: tooLarge("an event", c.cfg.MaxEventBytes).Detail}}
	}
	rejection := d.decode(raw)
	e := event{id: string(d.event.ID), topic: d.topic, value: raw}
	if rejection == nil {
		rejection = c.cfg.Rules.Validate(d.topic, &d.event, received.UnixMicro())
	}
	if rejection == nil && !caller.IsAdmin() {
		rejection = administrators(&d.event)
	}
	if rejection != nil {
		e.rejected = rejection
		return e
	}
	account, rejection := schemas.Account(&d.event, []byte(caller.Account))
	if rejection != nil {
		if rejection.Reason == schemas.NoAccount {
			rejection.Message = noAccount
		} else if rejection.Field == "" {
			rejection.Field = accountHeader
		}
		e.rejected = rejection
		return e
	}
	if !caller.IsAdmin() && caller.Account != "" && caller.Account != string(account) {
		e.rejected = &schemas.Rejection{Reason: schemas.WrongAccount, Field: "subject", Message: "the key is of another account than subject names"}
		return e
	}
	e.key = bytes.Clone(account)
	if d.event.HasTime && string(d.event.Type) == schemas.TypeAppEvent {
		e.received = receipt(c.cfg.Now())
		e.rejected = schemas.CheckReceipt(&d.event, e.received.UnixMicro())
	}
	if !d.event.HasTime {
		e.value, e.rejected = d.stamp(raw, received)
	}
	return e
}

// administrators says what of an event is theirs alone: what takes away from
// that which was counted, and what brings its own price. A customer's key writes
// events too.
func administrators(ev *schemas.Event) *schemas.Rejection {
	switch {
	case schemas.IsCorrection(ev.Type):
		return &schemas.Rejection{Reason: schemas.ReservedType, Field: "type",
			Message: "only administrators send corrections; of application events PUT, PATCH and DELETE of /events/{id}/ are open to their account"}
	case string(ev.Type) == schemas.TypeRatedUsage:
		return &schemas.Rejection{Reason: schemas.ReservedType, Field: "type", Message: "only administrators send usage that brings its price"}
	case ev.HasQuantity && ev.Quantity.Cmp(schemas.Decimal{}) < 0:
		return &schemas.Rejection{Reason: schemas.OutOfRange, Field: "data.quantity",
			Message: "must not be negative: only administrators take back what was counted"}
	}
	return nil
}

const (
	accountHeader = "X-Account-ID"
	noAccount     = "no account from key, header or subject"
)

// StampBytes is what the time of receipt adds to an event at the most: workers
// must take records that are larger by it than the events taken here.
const StampBytes = 64

// stamp puts the time of receipt in front of an event that has none. An event
// that says "time": null loses that attribute: a name may stand only once.
func (d *decoder) stamp(raw []byte, received time.Time) ([]byte, *schemas.Rejection) {
	stamp := `{"time":"` + received.UTC().Format("2006-01-02T15:04:05.000Z07:00") + `",`
	value := append(append(make([]byte, 0, len(stamp)+len(raw)), stamp...), raw[1:]...)
	if d.decode(value) == nil {
		return value, nil
	}
	value, err := withoutTime(raw, stamp)
	if err != nil {
		return nil, &schemas.Rejection{Reason: schemas.InvalidJSON, Message: err.Error()}
	}
	return value, d.decode(value)
}

// withoutTime writes an object's members but time behind stamp.
func withoutTime(raw []byte, stamp string) ([]byte, error) {
	in := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := in.ReadToken(); err != nil {
		return nil, err
	}
	var out strings.Builder
	out.WriteString(strings.TrimSuffix(stamp, ","))
	for in.PeekKind() != '}' {
		name, err := in.ReadToken()
		if err != nil {
			return nil, err
		}
		text := name.String()
		value, err := in.ReadValue()
		if err != nil {
			return nil, err
		}
		if text == "time" {
			continue
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		out.WriteByte(',')
		out.Write(quoted)
		out.WriteByte(':')
		out.Write(value)
	}
	if _, err := in.ReadToken(); err != nil && err != io.EOF {
		return nil, err
	}
	out.WriteByte('}')
	return []byte(out.String()), nil
}
