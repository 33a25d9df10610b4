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
	"tallybook/schemas/rating"
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
	for _, c := range p.doc.Cut {
		names, err := p.Archive.Published(ctx, schemas.Partition{Topic: c.Topic, ID: c.Partition})
		if err != nil {
			return err
		}
		for _, name := range names {
			if !listed[name] && p.wants(name, c.Next) {
				p.others = append(p.others, ProofFile{Name: name})
			}
		}
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

func (p *prover) lines(context.Context) error {
	for i := range p.doc.Lines {
		l := &p.doc.Lines[i]
		if err := p.line(l); err != nil {
			return fmt.Errorf("line %d, %s: %w", i+1, title(&l.Price), err)
		}
		p.Say(fmt.Sprintf("line %d, %s of %s, %s: quantity %s, %d rows, sum %s, %s %s", i+1, l.Kind, p.doc.Periods[l.Period].Month, title(&l.Price),
			l.Quantity, l.Rows, l.RowSum, l.Amount, p.doc.Currency))
	}
	return nil
}

func title(p *schemas.InvoicePrice) string {
	if p.Model == schemas.MinimumModel {
		return "minimum commitment"
	}
	endpoint := p.Endpoint
	if endpoint == "" {
		endpoint = "(every endpoint)"
	}
	return fmt.Sprintf("%s %s %s at price %d", p.API, p.Version, endpoint, p.PriceVersion)
}

func (p *prover) line(l *schemas.InvoiceLine) error {
	if l.Period < 0 || l.Period >= len(p.sheets) {
		return differs("it is of no period")
	}
	if l.IsMinimum() {
		return p.minimum(l)
	}
	s, at := p.sheets[l.Period], -1
	for i := range s.period.Prices {
		x := &s.period.Prices[i]
		if x.Subscription == l.Price.Subscription && x.PriceVersion == l.Price.PriceVersion && x.Start.Equal(l.Price.Start) {
			at = i
		}
	}
	if at < 0 || !sameValue(&s.period.Prices[at], &l.Price) {
		return differs("its price is not the one that the period was rated with")
	}
	if p.proven[l.Period][at] {
		return differs("another line is of the same price")
	}
	p.proven[l.Period][at] = true
	if err := sameTotal(&s.totals[at], l); err != nil {
		return err
	}
	r, err := s.rate(at, p.doc.Currency)
	if err != nil {
		return err
	}
	want := s.lineOf(l.Kind, l.Period, at, &r, l.Billed, rating.NumberOf(0))
	if l.Kind == schemas.LineCredit && l.Rows == 0 && r.amount.Sign() == 0 {
		// The invoice had no line of it: what later documents billed is taken back.
		want.Rated, want.Parts, want.InSum = l.Rated, l.Parts, l.InSum
	}
	if want.Rated != l.Rated || want.InSum != l.InSum {
		return differs("the price comes to %s, the line says %s", want.Rated, l.Rated)
	}
	if !sameValue(want.Parts, l.Parts) {
		return differs("its parts are not those that the price comes to")
	}
	return sameAmount(l, &r)
}

// minimum: what the period's prices lack of its minimum.
func (p *prover) minimum(l *schemas.InvoiceLine) error {
	s, last := p.sheets[l.Period], len(p.proven[l.Period])-1
	if p.proven[l.Period][last] {
		return differs("another line is of the same minimum")
	}
	p.proven[l.Period][last] = true
	top, err := p.topUp(s)
	if err != nil {
		return err
	}
	want := s.minimumLine(l.Kind, l.Period, &top, l.Billed, rating.NumberOf(0))
	if want.Rated != l.Rated {
		return differs("the minimum lacks %s, the line says %s", want.Rated, l.Rated)
	}
	if want.Amount = l.Amount; !sameValue(want, l) {
		return differs("it says other things than what a minimum comes to")
	}
	return sameAmount(l, &top)
}

func (p *prover) topUp(s *sheet) (rated, error) {
	all, err := s.rateAll(p.doc.Currency)
	if err != nil {
		return rated{}, err
	}
	return s.topUp(all, p.doc.Currency)
}

func sameValue(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

func sameTotal(t *total, l *schemas.InvoiceLine) error {
	switch {
	case t.rows != l.Rows || t.events != l.Events:
		return differs("the archive has %d rows of %d events, the line says %d of %d", t.rows, t.events, l.Rows, l.Events)
	case t.quantity.String() != l.Quantity:
		return differs("the archive has a quantity of %s, the line says %s", t.quantity, l.Quantity)
	case t.sum != l.RowSum:
		return differs("the rows' hashes come to %s, the line says %s", t.sum, l.RowSum)
	}
	return nil
}

// sameAmount: what is billed is rated less billed before.
func sameAmount(l *schemas.InvoiceLine, r *rated) error {
	billed, err := rating.ParseAmount(l.Billed)
	if err != nil {
		return differs("billed before is %q, no decimal", l.Billed)
	}
	if (l.Kind == schemas.LineUsage || l.Kind == schemas.LineMinimum) && billed.Sign() != 0 {
		return differs("something was billed before, %s, of the document's own period", l.Billed)
	}
	want := r.amount.Minus(billed)
	if l.Kind == schemas.LineCredit {
		want = billed.Minus(r.amount)
	}
	amount, err := rating.ParseAmount(l.Amount)
	if err != nil || amount.Cmp(want) != 0 {
		return differs("its amount is %s, the line says %s", want, l.Amount)
	}
	return nil
}

// rest is what has no line, and the totals.
func (p *prover) rest(context.Context) error {
	if len(p.sheets) == 0 {
		return differs("it has no period")
	}
	if err := p.withoutLine(p.sheets[0]); err != nil {
		return err
	}
	// A credit note of adjustments says nothing of the month that it came in.
	if n := &p.sheets[0].unrated; len(p.sheets[0].period.Prices) > 0 && (n.rows != p.doc.Unrated.Rows || n.quantity.String() != p.doc.Unrated.Quantity) {
		return differs("the archive has %d requests of quantity %s without a price, the document says %d of %s",
			n.rows, n.quantity, p.doc.Unrated.Rows, p.doc.Unrated.Quantity)
	}
	want := schemas.Invoice{Currency: p.doc.Currency, Periods: p.doc.Periods, Lines: p.doc.Lines}
	if err := rating.SumUp(&want); err != nil {
		return differs("%v", err)
	}
	if !sameValue(want.Taxes, p.doc.Taxes) || want.Net != p.doc.Net {
		return differs("the lines and their taxes come to %s net and %v, the document says %s and %v", want.Net, want.Taxes, p.doc.Net, p.doc.Taxes)
	}
	for _, t := range want.Taxes {
		p.Say(fmt.Sprintf("%s, %s %% of %s: %s %s", t.Name, t.Percent, t.Base, t.Amount, p.doc.Currency))
	}
	if want.Total != p.doc.Total {
		return differs("the lines come to %s, the document says %s", want.Total, p.doc.Total)
	}
	p.Say(fmt.Sprintf("total %s %s: proven", p.doc.Total, p.doc.Currency))
	return nil
}

// withoutLine: the own period's prices without a line have no rows, and come to
// nothing.
func (p *prover) withoutLine(s *sheet) error {
	for i := range s.period.Prices {
		if p.proven[0][i] {
			continue
		}
		r, err := s.rate(i, p.doc.Currency)
		if err != nil {
			return err
		}
		if t := &s.totals[i]; t.rows > 0 || r.amount.Sign() != 0 {
			return differs("%s has %d rows and comes to %s, and has no line", title(&s.period.Prices[i]), t.rows, r.amount)
		}
	}
	top, err := p.topUp(s)
	if err == nil && top.amount.Sign() != 0 && !p.proven[0][len(s.period.Prices)] {
		err = differs("the minimum lacks %s, and has no line", top.amount)
	}
	return err
}
