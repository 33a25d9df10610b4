package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/schemas/rating"
	"tallybook/store"
)

// provenRig has a final invoice of January with events of every kind of line.
func provenRig(t *testing.T) (*billRig, store.Invoice) {
	r := newBillRig(t)
	r.route("pay", "", "percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.30","max_per_event":"5"}`)
	c := r.newCustomer("Bolt", "Asia/Kolkata", "JPY")
	r.write(usage0, []event{
		r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12"), r.use(r.customer, "2026-01-05T11:00:00Z", "/b", "5"),
		r.use(r.customer, "2026-01-07T10:00:00Z", "/a", "2"), taken(r.use(r.customer, "2026-01-07T10:00:00Z", "/a", "2")),
		r.use(c, "2025-12-31T18:30:00Z", "/a", "40"),
	}, nil, 0)
	r.write(schemas.Partition{Topic: schemas.Usage, ID: 1}, []event{r.use(r.customer, "2026-01-05T12:00:00Z", "/a", "0.5")}, nil, 0)
	i := find(t, onlyOf(r.bill("2026-02-10T00:00:00Z"), r.customer.ID), "2026-01", schemas.KindInvoice)
	if i.Status != "final" {
		t.Fatalf("got %s", i.Status)
	}
	return r, i
}

func onlyOf(list []store.Invoice, customer string) (own []store.Invoice) {
	for _, i := range list {
		if i.Customer.ID == customer {
			own = append(own, i)
		}
	}
	return own
}

func (r *billRig) prove(i *store.Invoice, change func(*ProveConfig)) (said []string, err error) {
	r.t.Helper()
	b, err := NewBundle(r.t.Context(), r.store, i)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := ProveConfig{Archive: r.archive, Bundle: b, Say: func(line string) { said = append(said, line) },
		Price: func(version int64) (string, json.RawMessage, error) {
			p, err := r.store.PriceOf(context.Background(), version)
			return p.Model, p.Params, err
		}}
	if change != nil {
		change(&cfg)
	}
	return said, Prove(r.t.Context(), cfg)
}

func TestProve(t *testing.T) {
	r, i := provenRig(t)
	said, err := r.prove(&i, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(said, "\n"))
	}
	if want := 4 + len(i.Lines) + 1; len(said) != want || len(i.Lines) != 3 {
		t.Errorf("got %d lines, want %d:\n%s", len(said), want, strings.Join(said, "\n"))
	}
	// Late rows change nothing of the proof: they lie behind the cut.
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "1000")}, nil, 0)
	if _, err := r.prove(&i, nil); err != nil {
		t.Errorf("behind late rows: %v", err)
	}
	// Without a database: from the bundle as a file has it.
	b, err := NewBundle(t.Context(), r.store, &i)
	if err != nil {
		t.Fatal(err)
	}
	laidOut, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var read Bundle
	if err := json.Unmarshal(laidOut, &read); err != nil {
		t.Fatal(err)
	}
	if _, err := r.prove(&i, func(c *ProveConfig) { c.Bundle, c.Price = &read, nil }); err != nil {
		t.Errorf("from a bundle: %v", err)
	}
}

// rewrite replaces a file by one of other rows, sealed as ours are: what the
// file's own checksums cannot see.
func (r *billRig) rewrite(name string, change func(*archive.Rows) (keep []int32)) {
	r.t.Helper()
	var image bytes.Buffer
	err := r.archive.Read(r.t.Context(), name, archive.Columns(schemas.Usage), func(rows *archive.Rows) error {
		return archive.NewWriter().Write(&image, rows, change(rows))
	})
	if err == nil {
		err = r.bucket.Delete(r.t.Context(), name)
	}
	if err == nil {
		err = r.bucket.Put(r.t.Context(), name, func(w io.Writer) error { _, err := w.Write(image.Bytes()); return err })
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.archive = archive.New(r.bucket) // which knows no footers
}

func all(rows *archive.Rows) (keep []int32) {
	for i := range rows.Len() {
		keep = append(keep, int32(i))
	}
	return keep
}

// forgetHashes lets files pass for what they are now, so that the rows are looked at.
func forgetHashes(t *testing.T, c *ProveConfig) {
	for i := range c.Bundle.Files {
		f := &c.Bundle.Files[i]
		sum, _, err := c.Archive.Hash(t.Context(), f.Name)
		if err != nil {
			t.Fatal(err)
		}
		f.SHA256 = hexOf(sum[:])
	}
}

// Each change of a row, of a number and of a price is found: where files have
// their own hashes by these, and by the rows too.
func TestProveFindsRows(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*archive.Rows) []int32
		want   string
	}{
		"a removed event":  {func(rows *archive.Rows) []int32 { return all(rows)[1:] }, "rows"},
		"an event twice":   {func(rows *archive.Rows) []int32 { return append(all(rows), 0) }, "rows"},
		"another quantity": {func(rows *archive.Rows) []int32 { rows.Quantity[0].Units++; return all(rows) }, "quantity"},
		"another sign":     {func(rows *archive.Rows) []int32 { rows.Sign[0] = -1; return all(rows) }, "events"},
		"another id":       {func(rows *archive.Rows) []int32 { rows.ID.Data[0] ^= 1; return all(rows) }, "hashes"},
		"another time":     {func(rows *archive.Rows) []int32 { rows.Time[0]++; return all(rows) }, "hashes"},
		"another address": {func(rows *archive.Rows) []int32 {
			rows.Offset[0], rows.Offset[1] = rows.Offset[1], rows.Offset[0]
			return all(rows)
		}, "hashes"},
		"another's":           {func(rows *archive.Rows) []int32 { rows.Strings[schemas.Customer][0] = 0; return all(rows) }, "hashes"},
		"of no subscription":  {func(rows *archive.Rows) []int32 { rows.Strings[schemas.Subscription][0] = 0; return all(rows) }, "rows"},
		"of another endpoint": {func(rows *archive.Rows) []int32 { rows.Strings[schemas.Endpoint][0] = 0; return all(rows) }, "rows"},
	} {
		t.Run(name, func(t *testing.T) {
			r, i := provenRig(t)
			var file string
			b, err := NewBundle(t.Context(), r.store, &i)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range b.Files {
				if f.Rows >= 2 && strings.Contains(f.Name, "01-05") {
					file = f.Name
				}
			}
			r.rewrite(file, c.change)
			_, err = r.prove(&i, nil)
			if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), "SHA-256") {
				t.Errorf("by the file's hash: got %v", err)
			}
			_, err = r.prove(&i, func(cfg *ProveConfig) { cfg.Archive = r.archive; forgetHashes(t, cfg) })
			if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("by its rows: got %v, want %q", err, c.want)
			}
		})
	}
}

// A flipped bit in every seventh byte: each is found by the file's hash. Without
// that hash the bytes that no CRC covers may pass, and nothing else goes wrong.
func TestProveFindsFlippedBits(t *testing.T) {
	r, i := provenRig(t)
	b, err := NewBundle(t.Context(), r.store, &i)
	if err != nil {
		t.Fatal(err)
	}
	name := b.Files[0].Name
	whole := r.image(name)
	for at := 0; at < len(whole); at += 7 {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		r.replace(name, flipped)
		if _, err := r.prove(&i, nil); !errors.Is(err, ErrNotProven) {
			t.Fatalf("byte %d: got %v", at, err)
		}
		_, err := r.prove(&i, func(cfg *ProveConfig) { forgetHashes(t, cfg) })
		if err != nil && !errors.Is(err, ErrNotProven) {
			t.Fatalf("byte %d, by its rows: got %v", at, err)
		}
	}
	r.replace(name, whole)
	if _, err := r.prove(&i, nil); err != nil {
		t.Errorf("whole again: %v", err)
	}
	if err := r.bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := r.prove(&i, nil); !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("a missing file: got %v", err)
	}
}

func (r *billRig) image(name string) []byte {
	r.t.Helper()
	f, err := r.archive.OpenFile(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *billRig) replace(name string, image []byte) {
	r.t.Helper()
	err := r.bucket.Put(r.t.Context(), name, func(w io.Writer) error { _, err := w.Write(image); return err })
	if err != nil {
		r.t.Fatal(err)
	}
	r.archive = archive.New(r.bucket)
}

// A file that nobody listed, and what was changed in the document or the catalog.
func TestProveFindsDocuments(t *testing.T) {
	r, i := provenRig(t)
	edit := func(from, to string, sealed bool) func(*ProveConfig) {
		return func(c *ProveConfig) {
			text := strings.Replace(string(c.Bundle.Document), from, to, 1)
			if text == string(c.Bundle.Document) {
				t.Fatalf("the document has no %s", from)
			}
			c.Bundle.Document = json.RawMessage(text)
			if sealed {
				c.Bundle.Digest = digestOf(text)
				c.Price = nil
			}
		}
	}
	twice := func(from, to string) func(*ProveConfig) {
		return func(c *ProveConfig) {
			text := strings.ReplaceAll(string(c.Bundle.Document), from, to)
			c.Bundle.Document, c.Bundle.Digest, c.Price = json.RawMessage(text), digestOf(text), nil
		}
	}
	for name, c := range map[string]struct {
		change func(*ProveConfig)
		want   string
	}{
		"unsealed":            {edit(`"total":"`, `"total":"1`, false), "digest"},
		"total":               {edit(`"total":"`, `"total":"1`, true), "the lines come to"},
		"amount":              {edit(`"amount":"31.00"`, `"amount":"30.00"`, true), "its amount is 31.00"},
		"price of a line":     {edit(`"period":0,"price":{"subscription":"`, `"period":0,"price":{"subscription":"x`, true), "its price is not"},
		"price, everywhere":   {twice(`"amount":"31"`, `"amount":"30"`), "the price comes to 30.00"},
		"unit price":          {twice(`"unit_price":"0.125"`, `"unit_price":"0.126"`), "comes to"},
		"window of the price": {twice(`"end":"2026-02-01T00:00:00Z"}`, `"end":"2026-01-20T00:00:00Z"}`), "comes to"},
		"rows":                {edit(`"rows":1,`, `"rows":2,`, true), "rows"},
	} {
		_, err := r.prove(&i, c.change)
		if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	r.sql(`UPDATE prices SET params = '{"amount":"30"}' WHERE model = 'flat'`)
	if _, err := r.prove(&i, nil); !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), "in the catalog") {
		t.Errorf("a changed price in the catalog: got %v", err)
	}
	r.sql(`UPDATE invoices SET document = replace(document, '"total":"', '"total":"9')`)
	if _, err := r.store.Invoice(t.Context(), i.ID); !errors.Is(err, store.ErrDigest) {
		t.Errorf("a changed document in the store: got %v, want ErrDigest", err)
	}
}

// A bundle that somebody made up, with a digest that fits: rows are billed once,
// as what they are.
func TestProveFindsMadeUpDocuments(t *testing.T) {
	r, i := provenRig(t)
	madeUp := func(change func(d *schemas.Invoice)) func(*ProveConfig) {
		return func(c *ProveConfig) {
			var d schemas.Invoice
			if err := json.Unmarshal(c.Bundle.Document, &d); err != nil {
				t.Fatal(err)
			}
			change(&d)
			if err := rating.SumUp(&d); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			c.Bundle.Document, c.Bundle.Digest = text, digestOf(string(text))
		}
	}
	if _, err := r.prove(&i, madeUp(func(*schemas.Invoice) {})); err != nil {
		t.Fatalf("nothing made up: %v", err)
	}
	again := func(kind schemas.LineKind) func(d *schemas.Invoice) {
		return func(d *schemas.Invoice) {
			d.Periods = append(d.Periods, d.Periods[0])
			for _, l := range d.Lines {
				l.Period, l.Kind = 1, kind
				d.Lines = append(d.Lines, l)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(d *schemas.Invoice)
		want   string
	}{
		"a month twice, as usage":        {again(schemas.LineUsage), "overlap"},
		"a month twice, as adjustment":   {again(schemas.LineAdjustment), "overlap"},
		"another's month":                {func(d *schemas.Invoice) { d.Customer.ID = "another" }, "customer"},
		"another's account":              {func(d *schemas.Invoice) { d.Customer.Account = "another" }, "customer"},
		"an adjustment of the own month": {func(d *schemas.Invoice) { d.Lines[0].Kind = schemas.LineAdjustment }, "kind"},
		"a credit of an invoice":         {func(d *schemas.Invoice) { d.Lines[0].Kind = schemas.LineCredit }, "kind"},
	} {
		_, err := r.prove(&i, madeUp(c.change))
		if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestProveFindsAddedFiles(t *testing.T) {
	r, i := provenRig(t)
	from, err := r.store.Position(t.Context(), usage0)
	if err != nil {
		t.Fatal(err)
	}
	added := r.stageRows(usage0, schemas.Usage, store.Position{Partition: usage0, Epoch: from.Epoch + 1}, 0,
		[]event{r.use(r.customer, "2026-01-08T10:00:00Z", "/a", "3")})
	if err := r.archive.Publish(t.Context(), added[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.prove(&i, nil); !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), added[0].Name) {
		t.Errorf("got %v", err)
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hexOf(sum[:])
}
