package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// fillPersonal writes events of two accounts with personal values, twice.
func (r *rig) fillPersonal() {
	r.t.Helper()
	for range 2 {
		for _, account := range []string{"acme", "bolt"} {
			r.write(usage0, []event{{kind: "api.request", account: account, at: "2026-01-01T10:00:00Z", status: 200,
				strings: map[schemas.Field]string{schemas.ClientIP: "10.0.0.1", schemas.Session: "ann-" + account}, data: `{"name":"Ann","tokens":7}`,
				family: schemas.FamilyRequest, dims: []string{"", "", "", "", "200", ""}, adds: schemas.Measures{Count: 1}}}, nil, 0)
			var mails []event
			for _, to := range []string{"ann@example.com", "ben@example.com"} {
				mails = append(mails, event{kind: "email.delivered", account: account, at: "2026-01-01T10:00:00Z",
					strings: map[schemas.Field]string{schemas.Recipient: to, schemas.MessageID: "<" + to + "-1@mx.example>"}, data: `{"subject":"Dear Ann"}`,
					family: schemas.FamilyEmail, dims: []string{"", "delivered", "", "", "", ""}, adds: schemas.Measures{Count: 1}})
			}
			r.write(emails0, mails, nil, 0)
		}
	}
}

func (r *rig) erase(st *store.Store, account, recipient string) error {
	r.t.Helper()
	return Erase(r.t.Context(), EraseConfig{Store: st, Archive: r.archive, Lease: leaseOf(r.t, st, compactJob), Now: time.UnixMicro(micros("2026-02-01T00:00:00Z")),
		Account: account, Recipient: recipient, Actor: "test"})
}

// personal are the values of personal columns that rows of an account have.
func (r *rig) personal(account string) (values []string) {
	r.t.Helper()
	for _, f := range r.files() {
		err := withFile(&f, func(name string) error {
			return r.archive.Read(r.t.Context(), name, archive.Columns(f.Dataset), func(x *archive.Rows) error {
				for i := range x.Len() {
					if x.String(x.Account[i]) != account {
						continue
					}
					for _, field := range []schemas.Field{schemas.ClientIP, schemas.Session, schemas.Recipient, schemas.MessageID} {
						if len(x.Strings[field]) > 0 && x.Strings[field][i] != 0 {
							values = append(values, x.String(x.Strings[field][i]))
						}
					}
					values = append(values, string(x.Data.At(i)))
				}
				return nil
			})
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	slices.Sort(values)
	return values
}

func TestErase(t *testing.T) {
	r := newRig(t)
	r.fillPersonal()
	if err := r.compact("2026-01-10T00:00:00Z", 24*time.Hour); err != nil { // whose files hold both accounts
		t.Fatal(err)
	}
	r.fillPersonal()
	others := r.personal("bolt")
	if err := r.erase(r.store, "acme", ""); err != nil {
		t.Fatal(err)
	}
	r.sound()
	for _, v := range r.personal("acme") {
		if strings.Contains(v, "nn") || strings.Contains(v, "ben") || strings.Contains(v, "10.0") || !strings.Contains(v, "erased:") {
			t.Errorf("got %q", v)
		}
	}
	if got := r.personal("bolt"); !slices.Equal(got, others) {
		t.Errorf("the other account: got %q, want %q", got, others)
	}
	values := map[string]int{}
	for _, v := range r.personal("acme") {
		values[v]++
	}
	if len(values) != 8 { // ip, session, two recipients, two message ids, data of two kinds
		t.Errorf("equal values must stay equal: got %v", values)
	}
	for v := range values {
		if strings.HasPrefix(v, "<") && !strings.HasSuffix(v, "@mx.example>") {
			t.Errorf("the domain of a message id stays: got %q", v)
		}
	}
	// Nothing of before is left, also what the compaction kept.
	var live []string
	for _, f := range r.files() {
		live = append(live, f.Name)
	}
	slices.Sort(live)
	if got := r.published(); !slices.Equal(got, live) {
		t.Errorf("got files %v, want %v", got, live)
	}
	// Once more: nothing changes.
	if err := r.erase(r.store, "acme", ""); err != nil || !slices.Equal(r.published(), live) {
		t.Errorf("again: got %v, %v, want %v", r.published(), err, live)
	}
	log, err := r.store.AuditLog(t.Context(), "acme", 0, 10)
	if err != nil || len(log) != 2 || log[0].Action != "erase" || log[0].Actor != "test" {
		t.Errorf("audit log: got %+v, %v", log, err)
	}
}

func TestEraseRecipient(t *testing.T) {
	r := newRig(t)
	r.fillPersonal()
	if err := r.erase(r.store, "acme", "ANN@example.com"); err != nil {
		t.Fatal(err)
	}
	r.sound()
	text := strings.Join(r.personal("acme"), "\n")
	for part, want := range map[string]int{"ann@example.com": 0, "<ben@example.com-1@mx.example>": 2, `"subject":"Dear Ann"`: 2, "10.0.0.1": 2, "ann-acme": 2} {
		if got := strings.Count(text, part); got != want {
			t.Errorf("%s: got %d, want %d", part, got, want)
		}
	}
	log, err := r.store.AuditLog(t.Context(), "acme", 0, 1)
	if err != nil || len(log) != 1 || !strings.HasPrefix(log[0].Subject, "erased:") {
		t.Errorf("audit log: got %+v, %v", log, err)
	}
}

// What a declared meter counts stays in data; one of a personal column keeps the
// erase from being done.
func TestEraseAndMeters(t *testing.T) {
	r := newRig(t)
	r.fillPersonal()
	declare := func(slug, value string) {
		_, err := r.store.CreateMeter(t.Context(), "test", schemas.MeterDefinition{Slug: slug, EventType: "api.request", Aggregation: schemas.UniqueCount, ValueProperty: value})
		if err != nil {
			t.Fatal(err)
		}
	}
	declare("tokens", "$.tokens")
	if err := r.erase(r.store, "acme", ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.personal("acme"), "\n"); strings.Count(got, `"tokens":7`) != 2 || strings.Contains(got, "Ann") {
		t.Errorf("got %s", got)
	}
	declare("visitors", "$.client_ip")
	if err := r.erase(r.store, "bolt", ""); err == nil || !strings.Contains(err.Error(), "visitors counts by client_ip") {
		t.Errorf("got %v", err)
	}
}

// Killed at each step and done again, it completes, and at all times every row
// is there once.
func TestEraseFaults(t *testing.T) {
	for _, step := range []string{"store swap", "store retire", "store add", "bucket put", "bucket move", "bucket delete", "bucket list"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied %t", step, applied), func(t *testing.T) {
				r := newRig(t)
				r.fillPersonal()
				rows, hits := len(r.allRows()), 0
				fault := func(at string) (error, error) {
					switch {
					case at != step:
						return nil, nil
					case applied:
						hits++
						return nil, errFault
					}
					hits++
					return errFault, nil
				}
				st, err := store.Open(t.Context(), r.path, store.Options{Fault: func(at string) (error, error) { return fault("store " + at) }})
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				r.bucket.Fault = func(op, name string) (error, error) { return fault("bucket " + op) }
				if err := r.erase(st, "acme", ""); hits == 0 || !errors.Is(err, errFault) {
					t.Fatalf("got %v after %d faults", err, hits)
				}
				r.bucket.Fault = nil
				if got := len(r.allRows()); got != rows {
					t.Fatalf("behind the fault got %d rows, want %d", got, rows)
				}
				r.sound()
				if err := r.erase(r.store, "acme", ""); err != nil {
					t.Fatal(err)
				}
				r.sound()
				if got := strings.Join(r.personal("acme"), "\n"); strings.Contains(got, "ann") || strings.Contains(got, "10.0") || len(r.allRows()) != rows {
					t.Errorf("got %d rows, %s", len(r.allRows()), got)
				}
				if n := len(r.names("_staging/")); n != 0 || len(r.published()) != len(r.files()) {
					t.Errorf("%d staged files, %d published, want %d", n, len(r.published()), len(r.files()))
				}
			})
		}
	}
}
