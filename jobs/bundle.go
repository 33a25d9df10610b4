package jobs

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"tallybook/schemas"
	"tallybook/store"
)

// BundleFormat is what a Bundle says it is.
const BundleFormat = "tallybook.invoice-bundle/1"

// Bundle is all that proving a document takes but the Parquet files: no
// database is asked.
type Bundle struct {
	Format   string          `json:"format"`
	Digest   string          `json:"digest"` // SHA-256 of Document, hexadecimal
	Document json.RawMessage `json:"document"`
	Files    []ProofFile     `json:"files"`
}

// ProofFile is an archive file that rows of the document lie in.
type ProofFile struct {
	Name   string `json:"name"`
	Staged string `json:"-"` // where it is until it is published
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// NewBundle collects what proves a document, from one state of the store.
func NewBundle(ctx context.Context, st *store.Store, i *store.Invoice) (*Bundle, error) {
	b := &Bundle{Format: BundleFormat, Digest: hex.EncodeToString(i.Digest[:]), Document: json.RawMessage(i.Text)}
	err := st.View(ctx, func(v *store.View) (err error) {
		b.Files, err = proofFiles(v, &i.Invoice)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("files of invoice %s: %w", i.ID, err)
	}
	return b, nil
}

func proofFiles(v *store.View, i *schemas.Invoice) ([]ProofFile, error) {
	files, err := v.InvoiceFiles(i.Cut, i.Periods)
	all := make([]ProofFile, len(files))
	for n, f := range files {
		all[n] = ProofFile{f.Name, f.Staged, f.Rows, hex.EncodeToString(f.SHA256[:])}
	}
	return all, err
}
