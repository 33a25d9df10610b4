package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
)

// BilledRow is what a bill says of an archive row: who, what, when, how much,
// its address in the log and its sign. Columns that `erase` replaces (client_ip,
// session, data and so on) are left out, so that proofs hold behind it.
type BilledRow struct {
	ID, TargetID                     []byte
	Account, Source, Type            string
	Customer, Subscription           string
	API, Version, Endpoint, Currency string
	Time                             int64 // µs
	Partition, Row                   int32
	Offset                           int64
	Sign                             int8
	Quantity, Amount                 Decimal
	HasQuantity, HasAmount           bool
	PriceVersion                     int32
	HasPrice                         bool
	canonical                        []byte // kept from row to row
}

// RowSum is a sum of row hashes modulo 2^128. It does not depend on the order of
// the rows, nor on the files that they lie in.
type RowSum struct{ Hi, Lo uint64 }

// Hash is the first 128 bits of the SHA-256 of the row's canonical form: each
// text behind its length, numbers big-endian and of fixed size, a byte 0 or 1
// in front of what may be null.
func (r *BilledRow) Hash() RowSum {
	b := append(r.canonical[:0], 1) // version of the form
	for _, text := range [...]string{r.Account, r.Source, r.Type, r.Customer, r.Subscription, r.API, r.Version, r.Endpoint, r.Currency} {
		b = appendPart(b, text)
	}
	for _, text := range [...][]byte{r.ID, r.TargetID} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Row))
	b = append(b, byte(r.Sign))
	b = appendNullable(b, r.HasQuantity, r.Quantity)
	b = appendNullable(b, r.HasAmount, r.Amount)
	if r.HasPrice {
		b = binary.BigEndian.AppendUint32(append(b, 1), uint32(r.PriceVersion))
	} else {
		b = append(b, 0)
	}
	r.canonical = b
	sum := sha256.Sum256(b)
	return RowSum{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}
}

func appendNullable(b []byte, has bool, d Decimal) []byte {
	if !has {
		return append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(append(b, 1), uint64(d.Units))
	return binary.BigEndian.AppendUint32(b, uint32(d.Nanos))
}

// Add returns s + t.
func (s RowSum) Add(t RowSum) RowSum {
	lo, carry := bits.Add64(s.Lo, t.Lo, 0)
	hi, _ := bits.Add64(s.Hi, t.Hi, carry)
	return RowSum{hi, lo}
}

// String is 32 hexadecimal digits.
func (s RowSum) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.Hi)
	binary.BigEndian.PutUint64(b[8:], s.Lo)
	return hex.EncodeToString(b[:])
}

// MarshalText writes String's form.
func (s RowSum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads it.
func (s *RowSum) UnmarshalText(text []byte) error {
	var b [16]byte
	if len(text) != 2*len(b) {
		return errors.New("a row-hash sum has 32 hexadecimal digits")
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return errors.New("a row-hash sum has 32 hexadecimal digits")
	}
	*s = RowSum{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	return nil
}
