package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// ErrNotProven: what was found is not what the document says.
var ErrNotProven = errors.New("not proven")

func differs(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotProven}, args...)...)
}

// ProveConfig of a Prove. Archive, Bundle and Say are required.
type ProveConfig struct {
	Archive *archive.Archive
	Bundle  *Bundle
	Say     func(line string) // hears of each thing that is right
	// Price is the catalog's price of a version; nil: there is no catalog.
	Price func(version int64) (model string, params json.RawMessage, err error)
}

// Prove computes every line of a document again from Parquet files: the rows
// below the cut, their number, quantity and sum of hashes, and what the prices
// make of them. It ends at the first difference, with ErrNotProven.
func Prove(ctx context.Context, cfg ProveConfig) error {
	p := &prover{ProveConfig: cfg}
	for _, step := range []func(context.Context) error{p.document, p.whose, p.files, p.catalog, p.read, p.lines, p.rest} {
		if err := step(ctx); err != nil {
			if p.gone > 0 && errors.Is(err, ErrNotProven) {
				err = fmt.Errorf("%w; %d of %d files that the bundle names are gone", err, p.gone, len(p.Bundle.Files))
			}
			return err
		}
	}
	return nil
}

type prover struct {
	ProveConfig
	doc    schemas.Invoice
	there  []ProofFile // files of the bundle, and how many of it are gone
	gone   int
	others []ProofFile // of the document's dates, that the bundle does not name
	sheets []*sheet
	proven [][]bool // by period and price, and last its minimum: a line has it
}

func (p *prover) document(context.Context) error {
	if p.Bundle.Format != BundleFormat {
		return fmt.Errorf("the bundle is of format %q, not %s", p.Bundle.Format, BundleFormat)
	}
	var compact bytes.Buffer // an editor may have laid it out anew
	if err := json.Compact(&compact, p.Bundle.Document); err != nil {
		return fmt.Errorf("the bundle's document: %w", err)
	}
	if sum := sha256.Sum256(compact.Bytes()); hex.EncodeToString(sum[:]) != p.Bundle.Digest {
		return differs("the document is not the one that its digest is of")
	}
	if err := json.Unmarshal(compact.Bytes(), &p.doc); err != nil {
		return fmt.Errorf("the bundle's document: %w", err)
	}
	name := p.doc.Number
	if name == "" {
		name = "draft " + p.doc.ID
	}
	p.Say(fmt.Sprintf("%s of %s for %s: %d lines, %s %s", name, p.doc.Month, p.doc.Customer.Name, len(p.doc.Lines), p.doc.Total, p.doc.Currency))
	p.Say(fmt.Sprintf("SHA-256 of the document, as on the invoice: %s", p.Bundle.Digest))
	return nil
}

// whose: the periods are the customer's, none of their time is billed twice, and
// lines are of the kinds that such a document has.
func (p *prover) whose(context.Context) error {
	d := &p.doc
	periods := slices.Clone(d.Periods)
	slices.SortFunc(periods, func(a, b schemas.InvoicePeriod) int { return a.Start.Compare(b.Start) })
	for i, x := range periods {
		if x.Customer != d.Customer.ID || x.Account != d.Customer.Account {
			return differs("the period %s is not the customer's", x.Month)
		}
		if i > 0 && x.Start.Before(periods[i-1].End) {
			return differs("the periods %s and %s overlap", periods[i-1].Month, x.Month)
		}
	}
	for i, l := range d.Lines {
		own := l.Period == 0 && d.Kind == schemas.KindInvoice
		fits := own && (l.Kind == schemas.LineUsage || l.Kind == schemas.LineMinimum) || l.Period > 0 && l.Kind == schemas.LineAdjustment
		if d.Kind == schemas.KindCreditNote && d.CreditOf != "" {
			fits = l.Kind == schemas.LineCredit
		}
		if !fits {
			return differs("line %d of period %d is of the kind %s, which such a document does not have there", i+1, l.Period, l.Kind)
		}
	}
	return nil
}

// files are those that the bundle names, byte by byte. One that is gone was
// merged with others, or rewritten: its rows are looked for in all files of the
// document's dates, and must come to what the document says.
func (p *prover) files(ctx context.Context) error {
	listed := map[string]bool{}
	for i := range p.Bundle.Files {
		f := &p.Bundle.Files[i]
		listed[f.Name] = true
		err := p.withFile(f, func(name string) error {
			sum, _, err := p.Archive.Hash(ctx, name)
			if err == nil && hex.EncodeToString(sum[:]) != f.SHA256 {
				err = differs("file %s is not the one that was written: its SHA-256 is another", f.Name)
			}
			return err
		})
		switch {
		case errors.Is(err, errMoved):
			p.gone++
		case err != nil:
			return err
		default:
			p.there = append(p.there, *f)
		}
	}
	cut := map[schemas.Partition]int64{}
	for _, c := range p.doc.Cut {
		cut[schemas.Partition{Topic: c.Topic, ID: c.Partition}] = c.Next
	}
	err := p.Archive.EachPublished(ctx, schemas.Usage, func(name string, src schemas.Partition) error {
		if below, ok := cut[src]; ok && !listed[name] && p.wants(name, below) {
			p.others = append(p.others, ProofFile{Name: name})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.gone > 0 {
		p.Say(fmt.Sprintf("%d of %d files are gone, merged with others since: their rows are looked for in %d files of those dates", p.gone, len(p.Bundle.Files), len(p.others)))
		return nil
	}
	p.Say(fmt.Sprintf("%d files: each is the one that was written", len(p.Bundle.Files)))
	return nil
}

// wants reports whether a published file may have rows of the document.
func (p *prover) wants(name string, below int64) bool {
	dataset, day, _, _, err := archive.ParseFinal(name)
	first, firstErr := archive.FirstOffset(name)
	if err != nil || firstErr != nil || dataset != schemas.Usage || first >= below {
		return false
	}
	return slices.ContainsFunc(p.doc.Periods, func(x schemas.InvoicePeriod) bool {
		return day.Time().Before(x.End) && (day + 1).Time().After(x.Start)
	})
}

func (p *prover) withFile(f *ProofFile, use func(name string) error) error {
	err := withFile(&store.ArchiveFile{Name: f.Name, Staged: f.Staged}, use)
	if errors.Is(err, archive.ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrNotProven, err)
	}
	return err
}

// catalog: prices are those of the catalog, where there is one.
func (p *prover) catalog(context.Context) error {
	if p.Price == nil {
		return nil
	}
	seen := map[int64]bool{}
	for _, period := range p.doc.Periods {
		for _, price := range period.Prices {
			if seen[price.PriceVersion] {
				continue
			}
			seen[price.PriceVersion] = true
			model, params, err := p.Price(price.PriceVersion)
			if errors.Is(err, store.ErrNotFound) {
				return differs("price version %d is not in the catalog", price.PriceVersion)
			}
			if err != nil {
				return err
			}
			if model != price.Model || !sameJSON(params, price.Params) {
				return differs("price version %d is %s %s in the catalog, and was %s %s", price.PriceVersion, model, params, price.Model, price.Params)
			}
		}
	}
	p.Say(fmt.Sprintf("%d price versions are those of the catalog", len(seen)))
	return nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// read adds up the rows: of the files that the bundle names, then of others. A
// row counts once, by its address in the log, since a file and what it was merged
// into may both be there for a while.
func (p *prover) read(ctx context.Context) error {
	for i := range p.doc.Periods {
		p.sheets = append(p.sheets, newSheet(&p.doc.Periods[i], p.doc.Cut))
		p.proven = append(p.proven, make([]bool, len(p.doc.Periods[i].Prices)+1))
	}
	listed := func(file string, r *schemas.BilledRow, fresh bool) (bool, error) {
		if !fresh {
			return false, differs("rows of file %s are in another too: offset %d, row %d", file, r.Offset, r.Row)
		}
		return true, nil
	}
	other := func(file string, _ *schemas.BilledRow, fresh bool) (bool, error) {
		if fresh && p.gone == 0 {
			return false, differs("file %s has rows of the period and was not there when the files were listed", file)
		}
		return fresh, nil
	}
	check := &rowCheck{seen: map[rowAddress]uint64{}, decide: listed}
	err := p.scan(ctx, p.there, check)
	if err == nil {
		check.decide = other
		err = p.scan(ctx, p.others, check)
	}
	return err
}

func (p *prover) scan(ctx context.Context, files []ProofFile, check *rowCheck) error {
	return scanChecked(ctx, p.Archive, p.sheets, len(files), check, func(i int, use func(string) error) error {
		err := p.withFile(&files[i], use)
		if errors.Is(err, errMoved) {
			return differs("file %s vanished while it was read; where files are being merged, try again", files[i].Name)
		}
		return err
	})
}
