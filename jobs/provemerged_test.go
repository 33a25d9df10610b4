package jobs

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// mergedRig is provenRig with a second file of each date, compacted since the
// invoice became final; the bundle is of before.
func mergedRig(t *testing.T, keep time.Duration) (*billRig, store.Invoice, *Bundle) {
	r, i := provenRig(t)
	b, err := NewBundle(t.Context(), r.store, &i)
	if err != nil {
		t.Fatal(err)
	}
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "1000"), r.use(r.customer, "2026-01-07T10:00:00Z", "/a", "1000")}, nil, 0)
	if err := r.compact("2026-02-20T00:00:00Z", keep); err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, f := range b.Files {
		if there, err := r.archive.Exists(t.Context(), f.Name); err != nil {
			t.Fatal(err)
		} else if !there {
			gone++
		}
	}
	if merged := slices.ContainsFunc(r.published(), archive.IsMerged); !merged || keep == 0 && gone == 0 || keep > 0 && gone > 0 {
		t.Fatalf("merged %t, %d files gone", merged, gone)
	}
	return r, i, b
}

// An invoice is proven behind a compaction, with the store and from an older
// bundle, while the files that were replaced are there and when they are gone.
func TestProveMerged(t *testing.T) {
	for _, keep := range []time.Duration{time.Hour, 0} {
		r, i, b := mergedRig(t, keep)
		if said, err := r.prove(&i, nil); err != nil {
			t.Errorf("kept for %v, with the store: %v\n%s", keep, err, strings.Join(said, "\n"))
		}
		if said, err := r.prove(&i, func(c *ProveConfig) { c.Bundle, c.Price = b, nil }); err != nil {
			t.Errorf("kept for %v, older bundle: %v\n%s", keep, err, strings.Join(said, "\n"))
		}
	}
}

// Personal values are no part of a proof.
func TestProveErased(t *testing.T) {
	r, i, b := mergedRig(t, time.Hour)
	r.write(usage0, []event{{kind: "api.request", account: r.customer.Account, at: "2026-01-06T10:00:00Z", strings: map[schemas.Field]string{schemas.ClientIP: "10.0.0.1"},
		family: schemas.FamilyRequest, dims: make([]string, 6), adds: schemas.Measures{Count: 1}}}, nil, 0)
	if err := r.erase(r.store, r.customer.Account, ""); err != nil {
		t.Fatal(err)
	}
	for name, bundle := range map[string]*Bundle{"older bundle": b, "store": nil} {
		said, err := r.prove(&i, func(c *ProveConfig) {
			if bundle != nil {
				c.Bundle, c.Price = bundle, nil
			}
		})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, strings.Join(said, "\n"))
		}
	}
}

// What is wrong with a merged file is found from the older bundle too, which has
// no hash of it: by the rows alone.
func TestProveFindsRowsOfMergedFiles(t *testing.T) {
	for name, change := range map[string]func(*archive.Rows) []int32{
		"a removed event":  func(rows *archive.Rows) []int32 { return all(rows)[1:] },
		"an event twice":   func(rows *archive.Rows) []int32 { return append(all(rows), 0) },
		"an added event":   func(rows *archive.Rows) []int32 { rows.Row[0] = 7; return append(all(rows), 0) },
		"another quantity": func(rows *archive.Rows) []int32 { rows.Quantity[0].Units++; return all(rows) },
		"another id":       func(rows *archive.Rows) []int32 { rows.ID.Data[0] ^= 1; return all(rows) },
	} {
		t.Run(name, func(t *testing.T) {
			r, i, b := mergedRig(t, 0)
			for _, file := range r.published() {
				if strings.HasPrefix(file, "usage/date=2026-01-05/usage-0-") {
					r.rewrite(file, change)
				}
			}
			_, err := r.prove(&i, func(c *ProveConfig) { c.Bundle, c.Price, c.Archive = b, nil, r.archive })
			if !errors.Is(err, ErrNotProven) {
				t.Errorf("older bundle: got %v", err)
			}
			_, err = r.prove(&i, nil)
			if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), "SHA-256") {
				t.Errorf("with the store: got %v", err)
			}
		})
	}
}

// A bit of a merged file flips: its checksums tell, or it is in no row.
func TestProveFindsFlippedBitsOfMergedFiles(t *testing.T) {
	r, i, b := mergedRig(t, 0)
	var name string
	for _, file := range r.published() {
		if strings.HasPrefix(file, "usage/date=2026-01-05/usage-0-") {
			name = file
		}
	}
	whole, found := r.image(name), 0
	for at := 0; at < len(whole); at += 13 {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		r.replace(name, flipped)
		if _, err := r.prove(&i, nil); !errors.Is(err, ErrNotProven) {
			t.Fatalf("byte %d, with the store: got %v", at, err)
		}
		_, err := r.prove(&i, func(c *ProveConfig) { c.Bundle, c.Price, c.Archive = b, nil, r.archive })
		if errors.Is(err, ErrNotProven) {
			found++
		} else if err != nil {
			t.Fatalf("byte %d: got %v", at, err)
		}
	}
	if found == 0 {
		t.Error("no flipped bit was found from the older bundle")
	}
}

// A file beside the merged one with an event that nobody counted.
func TestProveFindsAddedFilesBesideMerged(t *testing.T) {
	r, i, b := mergedRig(t, 0)
	added := r.stageRows(usage0, schemas.Usage, store.Position{Partition: usage0, Epoch: 99}, 3, []event{r.use(r.customer, "2026-01-08T10:00:00Z", "/a", "3")})
	if err := r.archive.Publish(t.Context(), added[0]); err != nil {
		t.Fatal(err)
	}
	for name, bundle := range map[string]*Bundle{"older bundle": b, "store": nil} {
		_, err := r.prove(&i, func(c *ProveConfig) {
			if bundle != nil {
				c.Bundle, c.Price = bundle, nil
			}
		})
		if !errors.Is(err, ErrNotProven) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
