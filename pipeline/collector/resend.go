package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/pipeline/broker"
	"tallybook/store"
)

// Resender sends refused records again, once each. Store and Kafka are required.
type Resender struct {
	Store *store.Store
	Kafka *broker.Kafka
	Now   func() time.Time // nil: time.Now
	// DedupeWindow is the workers': within it a record that was perhaps sent can
	// be sent again, since its repeat is recognised. 0: 24 h.
	DedupeWindow time.Duration
}

// Resend claims an open error (open → resent by compare-and-swap, so that of two
// callers one gets it), puts the record back on its topic, into its partition,
// as it was, and notes Kafka's acknowledgement. account "": any.
//
// Where we die or Kafka does not answer between claim and acknowledgement, the
// row is resent without a time of acknowledgement: the record may be in the log
// or not. Resend may then be called again (after a crash when store.ClaimHold has
// passed): a repeat of an event is a duplicate within the dedupe window, and past
// half of that window it is refused.
//
// A record that is refused again makes an error row of its own.
func (s *Resender) Resend(ctx context.Context, actor, account, id string) (store.ErrorRow, error) {
	e, err := s.Store.Error(ctx, account, id)
	if errors.Is(err, store.ErrNotFound) {
		return e, api.NotFound("there is no internal error %q", id)
	}
	if err != nil {
		return e, err
	}
	if err := s.maySend(&e); err != nil {
		return e, err
	}
	// Before the claim: while Kafka is away, nothing is claimed.
	if _, _, err := s.Kafka.Offsets(ctx, e.Origin); err != nil {
		return e, api.Unavailable(2*time.Second, "Kafka does not answer; nothing was changed: %v", err)
	}
	e, _, err = s.Store.ClaimError(ctx, actor, account, id)
	switch {
	case errors.Is(err, store.ErrExists):
		return e, settled(&e)
	case errors.Is(err, store.ErrClaimed):
		return e, &api.Failure{Status: http.StatusConflict, RetryAfter: store.ClaimHold, Detail: "somebody is sending it at this moment; look again in a while"}
	}
	if err != nil {
		return e, err
	}
	if err := s.produce(ctx, &e); err != nil {
		// Where this fails too, the claim ends by itself.
		_ = s.Store.ReleaseError(context.WithoutCancel(ctx), id)
		return e, api.Unavailable(2*time.Second, "the record may have been sent or not (%v); the error is marked resent, "+
			"not acknowledged: send it again, a repeat of the same event is recognised", err)
	}
	// If we die here the row says "not acknowledged", and a repeat is a duplicate.
	if err := s.Store.ErrorSent(ctx, id); err != nil {
		return e, err
	}
	e.ResentAt = s.now().UnixMicro()
	return e, nil
}

// maySend says why a row cannot be sent again.
func (s *Resender) maySend(e *store.ErrorRow) error {
	window := cmp.Or(s.DedupeWindow, 24*time.Hour)
	switch {
	case e.Endpoint != "":
		return api.Conflict("", "the request to %s was answered with the error; its sender has to send it again", e.Endpoint)
	case e.Records > 1:
		return api.Conflict("", "the row stands for %d records, of which the first alone was kept; send them from their source", e.Records)
	case !e.Whole:
		return api.Conflict("", "of the record's %d bytes the beginning alone was kept; send it from its source", e.InputBytes)
	case e.Status == store.ErrorResolved, e.Status == store.ErrorResent && e.ResentAt != 0:
		return settled(e)
	case e.Status == store.ErrorResent && s.now().Sub(time.UnixMicro(e.ResendAt)) > window/2:
		return api.Conflict("", "sending was begun at %s and never acknowledged; a repeat might be counted twice by now. "+
			"Look for the event, and send it from its source if it is not there", time.UnixMicro(e.ResendAt).UTC().Format(time.RFC3339))
	}
	return nil
}

func settled(e *store.ErrorRow) error {
	if e.Status == store.ErrorResolved {
		return api.Conflict("status", "the error is resolved; make it open (status 0) to send it again")
	}
	return api.Conflict("status", "the record was sent again at %s", time.UnixMicro(e.ResentAt).UTC().Format(time.RFC3339))
}

// produce puts the record back where it came from.
func (s *Resender) produce(ctx context.Context, e *store.ErrorRow) error {
	record := kafka.Record{Time: time.UnixMicro(e.RecordTime)}
	if e.Key != nil {
		record.Key = kafka.NewBytes(e.Key)
	}
	if e.Input != nil {
		record.Value = kafka.NewBytes(e.Input)
	}
	for _, h := range e.Headers {
		record.Headers = append(record.Headers, kafka.Header{Key: h.Name, Value: h.Value})
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := s.Kafka.Client().Produce(ctx, &kafka.ProduceRequest{
		Topic: string(e.Origin.Topic), Partition: int(e.Origin.ID), RequiredAcks: kafka.RequireAll,
		Compression: s.Kafka.Compression, Records: kafka.NewRecordReader(record),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return fmt.Errorf("send the record of %s/%d at %d again: %w", e.Origin.Topic, e.Origin.ID, e.Offset, err)
	}
	return nil
}

func (s *Resender) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// retryError answers POST /v1/errors/{id}/retry.
func (c *Collector) retryError(w http.ResponseWriter, r *http.Request) error {
	caller := api.CallerOf(r.Context())
	s := Resender{Store: c.cfg.Store, Kafka: c.cfg.Kafka, Now: c.cfg.Now, DedupeWindow: c.cfg.DedupeWindow}
	e, err := s.Resend(r.Context(), caller.Actor(), caller.Account, mux.Vars(r)["id"])
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, struct {
		ID       string            `json:"id"`
		Status   store.ErrorStatus `json:"status"`
		ResentAt time.Time         `json:"resentAt"`
	}{e.ID, e.Status, time.UnixMicro(e.ResentAt).UTC()})
	return nil
}
