package main

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// A store that takes connections and says nothing is waited for, as one is that
// refuses them; an address that cannot be right is not.
func TestStartWithoutStore(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		name, store string
		wrong       bool
	}{
		{"silent", "postgres://tallybook@" + silent.Addr().String() + "/tallybook?sslmode=disable", false},
		{"refuses", "postgres://tallybook@127.0.0.1:1/tallybook?sslmode=disable", false},
		{"no URL", "postgres://127.0.0.1:nowhere/tallybook", true},
	} {
		p := newParts(&config{Data: t.TempDir(), Store: c.store, LogLevel: "error"})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := p.openStoresAway(ctx)
		cancel()
		if err == nil || errors.As(err, new(usageError)) != c.wrong || p.store != nil {
			t.Errorf("%s: got %v, want a mistake in the set-up: %t", c.name, err, c.wrong)
		}
	}
}
