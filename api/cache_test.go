package api

import (
	"errors"
	"testing"
	"time"

	"tallybook/store"
	"tallybook/store/storetest"
)

// A key is asked for once, until it is revoked or its limits change; other
// changes leave it where it is.
func TestKeysRemembered(t *testing.T) {
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	create := func(text string) store.Key {
		t.Helper()
		k, err := st.CreateKey(t.Context(), "test", text, store.Key{Role: store.RoleAccount, Account: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	texts := []string{"first key of the test", "second key of the test"}
	first := create(texts[0])
	create(texts[1])
	now := time.Now()
	keys := NewKeys(st, func() time.Time { return now })
	find := func(n int) *store.Key {
		t.Helper()
		k, err := keys.Find(t.Context(), st.HashKey(texts[n]))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		return k
	}
	was := []*store.Key{find(0), find(1)}
	if was[0] == nil || was[0].ID != first.ID || was[1] == nil {
		t.Fatalf("got %+v", was)
	}
	create("third key of the test")
	now = now.Add(KeysFresh)
	if find(0) != was[0] || find(1) != was[1] {
		t.Error("keys were read again although others changed")
	}
	if err := st.RevokeKey(t.Context(), "test", "", first.ID); err != nil {
		t.Fatal(err)
	}
	if find(0) != was[0] {
		t.Error("a key was read again within the second that it is remembered")
	}
	now = now.Add(KeysFresh)
	if got := find(0); got != nil {
		t.Errorf("revoked: got %+v", got)
	}
	if find(1) != was[1] {
		t.Error("a key was read again although another was revoked")
	}
	if _, err := keys.Find(t.Context(), st.HashKey("nobody's")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody's: got %v", err)
	}
}
