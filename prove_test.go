package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/schemas"
)

// proofRig is an installation with a final invoice, INV-000001 of January.
type proofRig struct {
	*dueRig
	account string
	file    string // name of one that has its rows
	bundle  jobs.Bundle
}

func newProofRig(t *testing.T) *proofRig {
	t.Helper()
	r := &proofRig{dueRig: newDueRig(t, 2)}
	r.run("invoices", jobsNow, "INV-000001 is final")
	exported := tallybook(t, "invoice", "bundle", "INV-000001", "--data", r.data)
	exported.want(t, 0)
	if err := json.Unmarshal([]byte(exported.out), &r.bundle); err != nil {
		t.Fatal(err)
	}
	var document schemas.Invoice
	if err := json.Unmarshal(r.bundle.Document, &document); err != nil {
		t.Fatal(err)
	}
	r.account = document.Customer.Account
	for _, f := range r.bundle.Files {
		if len(r.rowsOf(f.Name)) > 1 {
			r.file = f.Name
		}
	}
	if r.file == "" {
		t.Fatalf("no file has rows of %s: %+v", r.account, r.bundle.Files)
	}
	return r
}

func (r *proofRig) path(name string) string { return filepath.Join(r.data, "archive", name) }

// rowsOf are the places of the customer's rows in a file.
func (r *proofRig) rowsOf(name string) (own []int32) {
	r.t.Helper()
	r.read(name, func(rows *archive.Rows) error {
		for i := range rows.Len() {
			if rows.String(rows.Account[i]) == r.account {
				own = append(own, int32(i))
			}
		}
		return nil
	})
	return own
}

func (r *proofRig) read(name string, use func(*archive.Rows) error) {
	r.t.Helper()
	ar, err := archive.Open(filepath.Join(r.data, "archive"))
	if err == nil {
		err = ar.Read(r.t.Context(), name, archive.Columns(schemas.Usage), use)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// rewritten is the file's image with other rows, sealed as ours are.
func (r *proofRig) rewritten(change func(rows *archive.Rows, all, own []int32) (keep []int32)) []byte {
	r.t.Helper()
	own := r.rowsOf(r.file)
	var image bytes.Buffer
	r.read(r.file, func(rows *archive.Rows) error {
		var all []int32
		for i := range rows.Len() {
			all = append(all, int32(i))
		}
		return archive.NewWriter().Write(&image, rows, change(rows, all, own))
	})
	return image.Bytes()
}

// addressed makes one of the rows another event: it has an address of its own.
func addressed(rows *archive.Rows, one int32) {
	rows.Row = make([]int32, rows.Len())
	rows.Row[one] = 9
}

func (r *proofRig) replace(image []byte) {
	r.t.Helper()
	if err := os.Remove(r.path(r.file)); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(r.file), image, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// apart proves from the bundle without a database; a file that was replaced
// passes for what it is now, so that its rows must tell.
func (r *proofRig) apart(change func(*jobs.Bundle)) outcome {
	r.t.Helper()
	b := r.bundle
	b.Files = append([]jobs.ProofFile{}, b.Files...)
	for i := range b.Files {
		image, err := os.ReadFile(r.path(b.Files[i].Name))
		if err != nil {
			r.t.Fatal(err)
		}
		b.Files[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256(image))
	}
	if change != nil {
		change(&b)
	}
	text, err := json.Marshal(b)
	if err != nil {
		r.t.Fatal(err)
	}
	file := writeFile(r.t, "bundle.json", string(text))
	return tallybook(r.t, "prove", "--data", r.t.TempDir(), "--archive", filepath.Join(r.data, "archive"), "--bundle", file)
}

// What was changed in the archive behind an invoice is found, exit code 1: by the
// installation, and by who has nothing but the files and the bundle.
func TestProveFindsWhatWasChanged(t *testing.T) {
	r := newProofRig(t)
	byNumber := func() outcome { return tallybook(t, "prove", "INV-000001", "--data", r.data) }
	whole, err := os.ReadFile(r.path(r.file))
	if err != nil {
		t.Fatal(err)
	}
	sound := func() {
		t.Helper()
		byNumber().want(t, 0, "proven")
		r.apart(nil).want(t, 0, "proven")
	}
	sound()
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 4
	for name, c := range map[string]struct {
		image []byte
		apart string
	}{
		"a flipped bit":   {flipped, "not proven"},
		"a removed event": {r.rewritten(func(_ *archive.Rows, all, own []int32) []int32 { return without(all, own[0]) }), "rows of"},
		"an event twice":  {r.rewritten(func(_ *archive.Rows, all, own []int32) []int32 { return append(all, own[0]) }), "there twice"},
		"an event for another": {r.rewritten(func(rows *archive.Rows, all, own []int32) []int32 {
			addressed(rows, own[0])
			return all
		}), "hashes come to"},
	} {
		t.Run(name, func(t *testing.T) {
			r.replace(c.image)
			byNumber().want(t, 1, "not proven", "SHA-256")
			r.apart(nil).want(t, 1, "not proven", c.apart)
			r.replace(whole)
		})
	}
	sound()
}

func without(rows []int32, one int32) (rest []int32) {
	for _, row := range rows {
		if row != one {
			rest = append(rest, row)
		}
	}
	return rest
}

// A price that was changed is found: in the catalog, in the document, and in a
// document whose digest was made anew.
func TestProveFindsAChangedPrice(t *testing.T) {
	r := newProofRig(t)
	cheaper := func(b *jobs.Bundle) {
		text := bytes.ReplaceAll(b.Document, []byte(`"unit_price":"0.10"`), []byte(`"unit_price":"0.09"`))
		if bytes.Equal(text, b.Document) {
			t.Fatal("the document has no such price")
		}
		b.Document = text
	}
	r.bundle.Document = compacted(t, r.bundle.Document)
	r.apart(cheaper).want(t, 1, "not proven", "digest")
	r.apart(func(b *jobs.Bundle) {
		cheaper(b)
		b.Digest = fmt.Sprintf("%x", sha256.Sum256(b.Document))
	}).want(t, 1, "not proven", "comes to")
	change(t, r.data, `UPDATE prices SET params = replace(params, '0.10', '0.09')`)
	tallybook(t, "prove", "INV-000001", "--data", r.data).want(t, 1, "not proven", "in the catalog")
}

// compacted is the document as it is stored and hashed; bundles lay it out.
func compacted(t *testing.T, document []byte) json.RawMessage {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// An event that was added, in a file that nobody listed, is found.
func TestProveFindsAnAddedEvent(t *testing.T) {
	r := newProofRig(t)
	image := r.rewritten(func(rows *archive.Rows, _, own []int32) []int32 {
		addressed(rows, own[0])
		return own[:1]
	})
	added := r.file[:strings.LastIndex(r.file, "-")] + "-another.parquet"
	if err := os.WriteFile(r.path(added), image, 0o644); err != nil {
		t.Fatal(err)
	}
	tallybook(t, "prove", "INV-000001", "--data", r.data).want(t, 1, "not proven", filepath.Base(added))
	r.apart(nil).want(t, 1, "not proven", filepath.Base(added))
}
