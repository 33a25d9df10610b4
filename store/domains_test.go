package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tallybook/store/storetest"
)

func TestDomains(t *testing.T) {
	s, ctx := openNew(t), context.Background()
	put := func(account, domain string) (bool, error) {
		_, made, err := s.PutDomain(ctx, "test", account, domain)
		return made, err
	}
	for _, name := range []string{"b.example", "a.example"} {
		if made, err := put("acme", name); err != nil || !made {
			t.Errorf("%s: made %v, %v", name, made, err)
		}
	}
	if made, err := put("acme", "a.example"); err != nil || made {
		t.Errorf("again: made %v, %v, want neither", made, err)
	}
	if _, err := put("bolt", "a.example"); !errors.Is(err, ErrExists) {
		t.Errorf("another account's domain: got %v, want ErrExists", err)
	}
	if err := s.DeleteDomain(ctx, "test", "bolt", "a.example"); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete another account's domain: got %v, want ErrNotFound", err)
	}
	list := func(account, after string, limit int) (names []string) {
		all, err := s.Domains(ctx, account, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			names = append(names, d.Account+" "+d.Domain)
		}
		return names
	}
	for want, got := range map[string][]string{"[acme a.example acme b.example]": list("acme", "", 0), "[acme a.example]": list("acme", "", 1),
		"[acme b.example]": list("acme", "a.example", 0), "[]": list("bolt", "", 0)} {
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	if err := s.DeleteDomain(ctx, "test", "acme", "a.example"); err != nil {
		t.Fatal(err)
	}
	if made, err := put("bolt", "a.example"); err != nil || !made {
		t.Errorf("a domain that was given back: made %v, %v", made, err)
	}
	audit, err := s.AuditLog(ctx, "", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, a := range audit {
		changes = append(changes, a.Action+" "+a.Account+" "+a.Subject)
	}
	if got, want := fmt.Sprint(changes), "[create bolt a.example delete acme a.example create acme a.example create acme b.example]"; got != want {
		t.Errorf("audit log: got %s, want %s", got, want)
	}
	accounts, err := s.Accounts(ctx, "", 10)
	if err != nil || len(accounts) != 2 {
		t.Errorf("got accounts %v, %v, want acme and bolt", accounts, err)
	}
}

func TestWebhookKeys(t *testing.T) {
	s, ctx := openNew(t), context.Background()
	for _, secret := range []string{"first", "second"} {
		if err := s.PutWebhookKey(ctx, "test", "acme", "mailgun", secret); err != nil {
			t.Fatal(err)
		}
		if got, err := s.WebhookSecret(ctx, "acme", "mailgun"); err != nil || got != secret {
			t.Errorf("got %q, %v, want %q", got, err, secret)
		}
	}
	for _, other := range [][2]string{{"acme", "mandrill"}, {"bolt", "mailgun"}} {
		if got, err := s.WebhookSecret(ctx, other[0], other[1]); err != nil || got != "" {
			t.Errorf("%v: got %q, %v, want none", other, got, err)
		}
	}
	if keys, err := s.WebhookKeys(ctx, "acme"); err != nil || len(keys) != 1 || keys[0].Provider != "mailgun" || keys[0].ChangedAt.IsZero() {
		t.Errorf("got %v, %v, want the one of mailgun", keys, err)
	}
	audit, err := s.AuditLog(ctx, "acme", 0, 10)
	if err != nil || len(audit) != 2 {
		t.Fatalf("audit log: %v, %v, want two changes", audit, err)
	}
	if text := fmt.Sprintf("%s %s", audit[0].Before, audit[0].After); len(text) == 0 || strings.Contains(text, "first") || strings.Contains(text, "second") {
		t.Errorf("the audit log tells a key: %s", text)
	}
	if err := s.DeleteWebhookKey(ctx, "test", "acme", "mailgun"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteWebhookKey(ctx, "test", "acme", "mailgun"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestWebhookTokens(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	path, ctx := storetest.URL(t), context.Background()
	s := openFile(t, path, Options{Now: func() time.Time { return now }})
	remember := func(token, body string) {
		t.Helper()
		err := s.RememberWebhookToken(ctx, WebhookToken{sha256.Sum256([]byte(token)), sha256.Sum256([]byte(body)), now.Add(24 * time.Hour)})
		if err != nil {
			t.Error(err)
		}
	}
	found := func(token string) string {
		body, err := s.FindWebhookToken(ctx, sha256.Sum256([]byte(token)))
		switch {
		case errors.Is(err, ErrNotFound):
			return "none"
		case err != nil:
			t.Fatal(err)
		case body == sha256.Sum256([]byte("one")):
			return "one"
		}
		return "other"
	}
	remember("t", "one")
	remember("t", "two")
	if got, want := found("t")+" "+found("u"), "one none"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { remember(fmt.Sprint(i), "one") })
	}
	all.Wait()
	for i := range 50 {
		if got := found(fmt.Sprint(i)); got != "one" {
			t.Errorf("token %d: got %s", i, got)
		}
	}
	now = now.Add(24*time.Hour + time.Microsecond)
	remember("v", "two")
	if got, want := found("t")+" "+found("7")+" "+found("v"), "none none other"; got != want {
		t.Errorf("a day later: got %s, want %s", got, want)
	}
}
