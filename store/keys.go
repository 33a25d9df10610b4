package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Role is what a key may do.
type Role string

const (
	RoleAdmin   Role = "admin"   // everything, of every account
	RoleAccount Role = "account" // reads and writes of its own account
	RoleIngest  Role = "ingest"  // writes events of its account, or of any
)

// Roles lists them all.
var Roles = []Role{RoleAdmin, RoleAccount, RoleIngest}

// AnyAccount is the account of an ingest key for every account.
const AnyAccount = "*"

// MaxKey is the longest key in bytes. There is no shortest: administrators bring
// keys that their customers have already.
const MaxKey = 256

// KeyHash is all that is kept of a key: an HMAC-SHA256 with a secret of the
// installation, so that a copy of the table alone does not tell which keys
// of a customer's own choosing are in it.
type KeyHash [sha256.Size]byte

// Key is a credential without its text.
type Key struct {
	ID        string // 16 hex digits
	Role      Role
	Account   string // "" for administrators
	Customer  string // id of the customer whose apiKey it is; "" else
	Name      string
	Rate      float64 // requests a second; 0: the installation's
	CreatedAt time.Time
	RevokedAt time.Time // zero: it is good
}

// HashKey is the hash of a key's text.
func (s *Store) HashKey(text string) KeyHash {
	mac, made := s.macs.Get().(hash.Hash)
	if !made {
		mac = hmac.New(sha256.New, append([]byte("tallybook api key "), s.secret[:]...))
	}
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(text))
	var h KeyHash
	mac.Sum(h[:0])
	return h
}

// NewKeyText makes a key: 256 random bits.
func NewKeyText() string {
	var b [32]byte
	rand.Read(b[:])
	return "tally_" + base64.RawURLEncoding.EncodeToString(b[:])
}

func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// CreateKey keeps a new key under the hash of its text; ID and CreatedAt are
// given here. ErrExists: the text is another key's.
func (s *Store) CreateKey(ctx context.Context, actor, text string, k Key) (Key, error) {
	err := s.transact(ctx, func(w *writeTx) (err error) {
		k, err = s.insertKey(ctx, w, actor, text, k)
		return err
	})
	if err != nil {
		return Key{}, fmt.Errorf("create key: %w", err)
	}
	return k, nil
}

// insertKey is CreateKey within a transaction.
func (s *Store) insertKey(ctx context.Context, w *writeTx, actor, text string, k Key) (Key, error) {
	k.ID, k.CreatedAt = newID(), s.opts.Now().UTC().Truncate(time.Microsecond)
	hash := s.HashKey(text)
	n, err := w.execCount(ctx, `INSERT INTO keys (id, hash, role, account, customer, name, rate, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING`,
		k.ID, hash[:], string(k.Role), k.Account, k.Customer, k.Name, k.Rate, k.CreatedAt.UnixMicro())
	if err != nil {
		return Key{}, err
	}
	if n == 0 {
		return Key{}, fmt.Errorf("this key: %w", ErrExists)
	}
	if k.Account != "" && k.Account != AnyAccount {
		if err := s.ensureAccount(ctx, w, k.Account); err != nil {
			return Key{}, err
		}
	}
	return k, s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "key", Subject: k.ID, Account: k.Account, After: keyAudit(k)})
}

// FirstAdminKey makes an administrator's key where there never was one, and
// says so by its text; "" where there was. Two processes at once make one.
func (s *Store) FirstAdminKey(ctx context.Context) (text string, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		text = ""
		var n int
		if err := w.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM keys WHERE role = 'admin'`).Scan(&n); err != nil || n > 0 {
			return engineError(err)
		}
		made := NewKeyText()
		if _, err := s.insertKey(ctx, w, "first start", made, Key{Role: RoleAdmin, Name: "made at first start"}); err != nil {
			return err
		}
		text = made
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("make the first key: %w", err)
	}
	return text, nil
}

const keyColumns = `id, role, account, customer, name, rate, created_at, revoked_at`

// KeyByHash finds a good key; ErrNotFound for one that is unknown or revoked.
func (s *Store) KeyByHash(ctx context.Context, hash KeyHash) (Key, error) {
	var stored []byte
	k, err := scanKey(s.read.QueryRowContext(ctx, `SELECT `+keyColumns+`, hash FROM keys WHERE hash = ?`, hash[:]), &stored)
	if err != nil {
		return Key{}, fmt.Errorf("look up a key: %w", err)
	}
	// The index has compared them; this compares them in constant time.
	if subtle.ConstantTimeCompare(stored, hash[:]) != 1 || !k.RevokedAt.IsZero() {
		return Key{}, fmt.Errorf("look up a key: %w", ErrNotFound)
	}
	return k, nil
}

// Keys lists keys, newest first: those made before the one of the given id; of one
// account, or of all ("").
func (s *Store) Keys(ctx context.Context, account, after string, limit int) ([]Key, error) {
	where := filter{}
	if account != "" {
		where.add(`account = ?`, account)
	}
	if after != "" {
		where.add(`(created_at, id) < (SELECT created_at, id FROM keys WHERE id = ?)`, after)
	}
	query := `SELECT ` + keyColumns + ` FROM keys` + where.sql() + ` ORDER BY created_at DESC, id DESC` + where.limit(limit)
	rows, err := s.read.QueryContext(ctx, query, where.args...)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", engineError(err))
	}
	defer rows.Close()
	keys := []Key{}
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, engineError(rows.Err())
}

// RevokeKey ends a key; doing it again changes nothing. ErrNotFound: there is
// no such key, or it is not the account's ("": any).
func (s *Store) RevokeKey(ctx context.Context, actor, account, id string) error {
	err := s.transact(ctx, func(w *writeTx) error { return s.revokeKey(ctx, w, actor, account, id) })
	if err != nil {
		return fmt.Errorf("revoke key %s: %w", id, err)
	}
	return nil
}

func (s *Store) revokeKey(ctx context.Context, w *writeTx, actor, account, id string) error {
	k, err := scanKey(w.conn.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE id = ? AND (? = '' OR account = ?)`, id, account, account))
	if err != nil || !k.RevokedAt.IsZero() {
		return err
	}
	before := keyAudit(k)
	k.RevokedAt = s.opts.Now().UTC().Truncate(time.Microsecond)
	if err := w.exec(ctx, `UPDATE keys SET revoked_at = ? WHERE id = ?`, k.RevokedAt.UnixMicro(), id); err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "revoke", Noun: "key", Subject: id, Account: k.Account, Before: before, After: keyAudit(k)})
}

// scanKey reads keyColumns and what follows them.
func scanKey(row scanner, more ...any) (Key, error) {
	var k Key
	var role string
	var created int64
	var revoked sql.NullInt64
	err := row.Scan(append([]any{&k.ID, &role, &k.Account, &k.Customer, &k.Name, &k.Rate, &created, &revoked}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, ErrNotFound
	}
	if err != nil {
		return Key{}, engineError(err)
	}
	k.Role, k.CreatedAt = Role(role), time.UnixMicro(created).UTC()
	if revoked.Valid {
		k.RevokedAt = time.UnixMicro(revoked.Int64).UTC()
	}
	return k, nil
}

// keyAudit is what the audit log says of a key.
func keyAudit(k Key) any {
	type view struct {
		Role     Role    `json:"role"`
		Account  string  `json:"account,omitempty"`
		Customer string  `json:"customer,omitempty"`
		Name     string  `json:"name,omitempty"`
		Rate     float64 `json:"rate,omitempty"`
		Revoked  bool    `json:"revoked,omitempty"`
	}
	return view{k.Role, k.Account, k.Customer, k.Name, k.Rate, !k.RevokedAt.IsZero()}
}
