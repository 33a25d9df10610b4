package collector

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

var usage2 = schemas.Partition{Topic: schemas.Usage, ID: 2}

// newResender is a Kafka, and a store with error rows of partition usage/2.
func newResender(t *testing.T, rows ...store.ErrorRow) (*setup, *Resender) {
	s := newSetup(t, Config{})
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	from, err := st.TakeOver(t.Context(), usage2, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := from
	for i := range rows {
		rows[i].Origin, rows[i].Offset, rows[i].Records = usage2, to.Next, max(1, rows[i].Records)
		to.Next += rows[i].Records
		rows[i].LastOffset, to.LastOffset = to.Next-1, to.Next-1
	}
	_, err = st.Checkpoint(t.Context(), []*store.Checkpoint{{From: from, To: to, ClosedAt: time.Now(), Errors: rows,
		Ledger: store.Ledger{Next: to.Next, Records: to.Next, Rejected: to.Next}}})
	if err != nil {
		t.Fatal(err)
	}
	return s, &Resender{Store: st, Kafka: s.kafka}
}

func whole(id string) store.ErrorRow {
	return store.ErrorRow{ID: id, Account: "acme", Reason: schemas.WrongType, Input: []byte("the value of " + id), Key: []byte("acme"),
		Headers: []store.Header{{Name: "ce_id", Value: []byte("1")}, {Name: "raw", Value: []byte{0xff}}}, RecordTime: 1767225600_000_000, Whole: true}
}

func (s *setup) refusedBy(t *testing.T, err error, status int, text string) {
	t.Helper()
	var f *api.Failure
	if !errors.As(err, &f) || f.Status != status || !strings.Contains(f.Detail, text) {
		t.Errorf("got %v, want %d %s", err, status, text)
	}
}

// The record is the same one: partition, key, headers, time and value.
func TestResend(t *testing.T) {
	s, r := newResender(t, whole("a"))
	e, err := r.Resend(t.Context(), "test", "", "a")
	if err != nil || e.Status != store.ErrorResent || e.ResentAt == 0 {
		t.Fatal(e, err)
	}
	messages := s.messages(t, schemas.Usage)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	m := messages[0]
	if m.Partition != 2 || string(m.Key) != "acme" || string(m.Value) != "the value of a" || len(m.Headers) != 2 || m.Headers[1].Key != "raw" ||
		m.Headers[1].Value[0] != 0xff || m.Time.UnixMicro() != 1767225600_000_000 {
		t.Errorf("got %+v", m)
	}
	_, err = r.Resend(t.Context(), "test", "", "a")
	s.refusedBy(t, err, http.StatusConflict, "was sent again")
	if n := len(s.messages(t, schemas.Usage)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestResendRefuses(t *testing.T) {
	cut, several, endpoint := whole("cut"), whole("several"), whole("endpoint")
	cut.Whole, several.Records, endpoint.Endpoint = false, 5, "/v1/usage"
	s, r := newResender(t, cut, several, endpoint, whole("settled"))
	if _, err := r.Store.ResolveError(t.Context(), "test", "", "settled", store.ErrorResolved); err != nil {
		t.Fatal(err)
	}
	for id, text := range map[string]string{"cut": "the beginning alone was kept", "several": "stands for 5 records", "endpoint": "its sender", "settled": "is resolved"} {
		_, err := r.Resend(t.Context(), "test", "", id)
		s.refusedBy(t, err, http.StatusConflict, text)
	}
	_, err := r.Resend(t.Context(), "test", "other", "cut")
	s.refusedBy(t, err, http.StatusNotFound, "no internal error")
	if n := len(s.messages(t, schemas.Usage)); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

// Of many at once one sends it.
func TestResendAtOnce(t *testing.T) {
	s, r := newResender(t, whole("a"))
	var sent atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			_, err := r.Resend(context.Background(), "test", "", "a")
			if err == nil {
				sent.Add(1)
				return
			}
			s.refusedBy(t, err, http.StatusConflict, "")
		})
	}
	wait.Wait()
	if n := len(s.messages(t, schemas.Usage)); n != 1 || sent.Load() != 1 {
		t.Errorf("%d messages, %d times sent; want 1, 1", n, sent.Load())
	}
}

// A process that died behind its claim: for a while nobody else sends it, then
// it can be sent.
func TestResendBehindACrash(t *testing.T) {
	s, r := newResender(t, whole("a"))
	if _, first, err := r.Store.ClaimError(t.Context(), "test", "", "a"); err != nil || !first {
		t.Fatal(first, err)
	}
	_, err := r.Resend(t.Context(), "test", "", "a")
	s.refusedBy(t, err, http.StatusConflict, "at this moment")
	if err := r.Store.ReleaseError(t.Context(), "a"); err != nil { // as time does
		t.Fatal(err)
	}
	if _, err := r.Resend(t.Context(), "test", "", "a"); err != nil {
		t.Error(err)
	}
	if n := len(s.messages(t, schemas.Usage)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// While Kafka is away nothing is claimed; a claim that was never acknowledged is
// not repeated when dedupe might not recognise it any more.
func TestResendIsSafe(t *testing.T) {
	s, r := newResender(t, whole("a"), whole("b"))
	s.broker.Close()
	_, err := r.Resend(t.Context(), "test", "", "a")
	s.refusedBy(t, err, http.StatusServiceUnavailable, "nothing was changed")
	if e, err := r.Store.Error(t.Context(), "", "a"); err != nil || e.Status != store.ErrorOpen {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, _, err := r.Store.ClaimError(t.Context(), "test", "", "b"); err != nil {
		t.Fatal(err)
	}
	r.Now = func() time.Time { return time.Now().Add(13 * time.Hour) }
	_, err = r.Resend(t.Context(), "test", "", "b")
	s.refusedBy(t, err, http.StatusConflict, "never acknowledged")
}
