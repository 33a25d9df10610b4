package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// DefaultGrace is how long behind its period's end an invoice becomes final.
const DefaultGrace = 72 * time.Hour

// billBatch is how many customers one pass over the archive is made for.
const billBatch = 20

// InvoicesConfig of a run of Invoices. Store, Archive and Lease are required.
type InvoicesConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Lease    store.Lease // on the job
	Now      time.Time
	Grace    time.Duration
	Progress func(string) // nil: none
	Issuer   string       // stands on every document: name, address, tax number
	Note     string       // such as how to pay
	// LogEnds are the ends of the log's partitions, from which on it has no
	// records. A partition that was read up to there has no log clock to wait
	// for. nil: every partition's log clock is waited for.
	LogEnds func(context.Context) (map[schemas.Partition]int64, error)

	// Fault is a hook for tests, called before and behind each step that writes:
	// "draft", "final".
	Fault func(step string) (before, after error)
}

// Invoices makes what is due: for each customer and calendar month in its zone a
// draft when the month has ended, which becomes final with a number when the
// grace time is over and every partition's log clock is past that too. Late
// events and corrections of months that were billed before come into the next
// invoice, or, where that would fall below zero, into a credit note beside it.
// Drafts are made anew while they are drafts, when requests came in for them or
// what they are made from has changed.
//
// It may die at any step and run again, or beside itself: a month has one
// invoice by its key, a draft becomes final once by its version, numbers are
// given within that transaction. A customer whose invoice cannot be made keeps
// no other from theirs.
func Invoices(ctx context.Context, cfg InvoicesConfig) error {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	b := &biller{InvoicesConfig: cfg}
	if cfg.LogEnds != nil {
		ends, err := cfg.LogEnds(ctx)
		if err != nil {
			cfg.Progress(fmt.Sprintf("every partition's log clock is waited for, since the ends of the log are not known: %v", err))
		}
		b.ends = ends
	}
	var faults []error
	for after, more := "", true; more; {
		// A pass makes one month of each customer of the batch; again until no
		// month is due.
		failed := map[string]bool{}
		for again := true; again; {
			var pass *billPass
			err := retryMoved(ctx, func(bool) (err error) {
				pass, err = b.pass(ctx, after, failed)
				return err
			})
			if err != nil {
				return errors.Join(append(faults, err)...)
			}
			again, err = pass.write(ctx)
			if err != nil {
				return errors.Join(append(faults, err)...)
			}
			faults = append(faults, pass.faults...)
			if !again {
				after, more = pass.last, pass.count == billBatch
			}
		}
	}
	return errors.Join(faults...)
}

// InvoicesJob makes invoices every hour; Lease, Now and Progress are the run's.
func InvoicesJob(cfg InvoicesConfig) Job {
	return Job{Name: "invoices", Schedule: "7 * * * *", Leased: func(ctx context.Context, l store.Lease, now time.Time, progress func(string)) error {
		run := cfg
		run.Lease, run.Now, run.Progress = l, now, progress
		return Invoices(ctx, run)
	}}
}

type biller struct {
	InvoicesConfig
	ends map[schemas.Partition]int64
}

// billPass is a batch of customers in one state of store and archive.
type billPass struct {
	*biller
	after, last string
	count       int
	failed      map[string]bool // customers that are left out
	broken      []string        // customers that nothing can be made for
	faults      []error
	positions   []store.Position
	cut         []schemas.CutPosition
	bills       []*bill
	files       map[string][]store.ArchiveFile // by month
	spans       map[[2]int64]bool              // whose files are in files
	beyond      map[string][]store.ArchiveFile
	routes      map[[2]string][]store.Route
}

// bill is one customer's month.
type bill struct {
	*store.Billing
	currency string
	issuer   string
	note     string
	draft    *store.Invoice // nil: none yet
	final    bool           // it is to become final now
	own      *sheet
	hours    schemas.Measures // what rollups have of the account's whole hours
	adjusted []adjustedPeriod
	since    []adjustedPeriod // of a draft that stays one: its periods, with the files behind its cut
}

// adjustedPeriod is one that was billed before; beyond are the files that came
// in since.
type adjustedPeriod struct {
	*store.BilledPeriod
	beyond []store.ArchiveFile
	sheet  *sheet
}

func (b *biller) pass(ctx context.Context, after string, failed map[string]bool) (*billPass, error) {
	p := &billPass{biller: b, after: after, failed: failed, files: map[string][]store.ArchiveFile{},
		spans: map[[2]int64]bool{}, beyond: map[string][]store.ArchiveFile{}, routes: map[[2]string][]store.Route{}}
	if err := b.Store.View(ctx, func(v *store.View) error { return p.read(ctx, v) }); err != nil {
		return nil, fmt.Errorf("read what is to be billed: %w", err)
	}
	return p, p.scan(ctx)
}

// read finds what is due, with the rollups, the files and the positions of one state.
func (p *billPass) read(ctx context.Context, v *store.View) (err error) {
	if p.positions, err = v.Positions(schemas.Usage); err != nil {
		return err
	}
	p.cut = cutOf(p.positions)
	billings, err := v.Billings(p.after, billBatch)
	if err != nil {
		return err
	}
	p.count = len(billings)
	for i := range billings {
		p.last = billings[i].Customer.ID
		if p.failed[p.last] {
			continue
		}
		err := billings[i].Fault
		if err == nil {
			err = p.plan(v, &billings[i])
		}
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			p.broken = append(p.broken, p.last)
			p.faults = append(p.faults, fmt.Errorf("invoice of customer %s: %w", p.last, err))
		}
	}
	return nil
}

// plan adds the customer's next month, if there is one to make or to finish.
func (p *billPass) plan(v *store.View, c *store.Billing) error {
	zone, err := time.LoadLocation(c.Customer.Timezone)
	if err != nil {
		return err
	}
	b := &bill{Billing: c, currency: c.Customer.Currency, issuer: p.Issuer, note: p.Note}
	var period schemas.InvoicePeriod
	if c.Last != nil && c.Last.Status == "draft" {
		// The period stays as it was drafted, its prices and terms are those of now.
		b.draft, period = c.Last, c.Last.Periods[0]
		period.Minimum, period.Taxes = c.Customer.Minimum, c.Customer.Taxes
		if period.Prices, err = p.prices(v, &period, c); err != nil {
			return err
		}
	} else {
		var due bool
		if period, due, err = p.nextDue(v, c, zone); err != nil || !due {
			return err
		}
	}
	b.final = p.isPast(period.End)
	b.own = newSheet(&period, p.cut)
	if err := p.adjust(v, b); err != nil {
		return err
	}
	if len(period.Prices) == 0 && len(b.adjusted) == 0 && b.draft == nil {
		return nil
	}
	if err := p.addFiles(v, b.own); err != nil {
		return err
	}
	if err := p.hoursOf(v, b); err != nil {
		return err
	}
	if b.draft != nil && !b.final {
		if err := p.sinceDraft(v, b); err != nil {
			return err
		}
	}
	p.bills = append(p.bills, b)
	return nil
}

// nextDue is the next month with prices that has ended, or the last that has
// ended, in which earlier ones may be adjusted.
func (p *billPass) nextDue(v *store.View, c *store.Billing, zone *time.Location) (period schemas.InvoicePeriod, due bool, err error) {
	month, ok := firstMonth(c, zone)
	if !ok {
		return period, false, nil
	}
	if c.Last != nil {
		last, err := schemas.ParseMonth(c.Last.Month)
		if err != nil {
			return period, false, err
		}
		month = last.Next()
	}
	for ; ; month = month.Next() {
		next := nextPeriod(c, month, zone)
		if p.Now.Before(next.End) {
			return period, due, nil
		}
		period, due = next, true
		if period.Prices, err = p.prices(v, &period, c); err != nil || len(period.Prices) > 0 {
			return period, due, err
		}
	}
}

// maxPrices bounds the prices of a document.
const maxPrices = 10_000

func (p *billPass) prices(v *store.View, period *schemas.InvoicePeriod, c *store.Billing) ([]schemas.InvoicePrice, error) {
	prices, err := pricesOf(period, c.Subscriptions, func(api, version string) ([]store.Route, error) {
		key := [2]string{api, version}
		if list, ok := p.routes[key]; ok {
			return list, nil
		}
		list, err := v.RoutesOf(api, version)
		p.routes[key] = list
		return list, err
	})
	if len(prices) > maxPrices {
		err = fmt.Errorf("%s has %d prices of routes, more than %d", period.Month, len(prices), maxPrices)
	}
	return prices, err
}

// isPast reports whether an invoice of a period that ended then is final now.
func (p *billPass) isPast(end time.Time) bool {
	at := end.Add(p.Grace)
	if p.Now.Before(at) {
		return false
	}
	for _, pos := range p.positions {
		logEnd, known := p.ends[pos.Partition]
		read := pos.LastOffset < 0 // as far as is known
		if known {
			read = pos.Next >= logEnd
		}
		if read || pos.Clock >= at.UnixMicro() {
			continue
		}
		p.Progress(fmt.Sprintf("invoices of a period that ended at %s wait for the log clock of %s/%d, which is %s",
			end.Format(time.RFC3339), pos.Topic, pos.ID, time.UnixMicro(pos.Clock).UTC().Format(time.RFC3339)))
		return false
	}
	return true
}

// adjust adds the earlier periods of which rows came in behind the cut that they
// were billed at.
func (p *billPass) adjust(v *store.View, b *bill) error {
	for i := range b.Earlier {
		e := &b.Earlier[i]
		files, err := p.filesBeyond(v, e)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			continue
		}
		s := newSheet(&e.Period, p.cut)
		if err := p.addFiles(v, s); err != nil {
			return err
		}
		b.adjusted = append(b.adjusted, adjustedPeriod{e, files, s})
	}
	return nil
}

// sinceDraft notes the files that came in since the draft was made.
func (p *billPass) sinceDraft(v *store.View, b *bill) error {
	own := store.BilledPeriod{Period: *b.own.period}
	for _, e := range append([]store.BilledPeriod{own}, b.Earlier...) {
		e.Billed.Cut = b.draft.Cut
		files, err := p.filesBeyond(v, &e)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			b.since = append(b.since, adjustedPeriod{&e, files, newSheet(&e.Period, p.cut)})
		}
	}
	return nil
}

// filesBeyond are asked for once for all customers of the same period and cut.
func (p *billPass) filesBeyond(v *store.View, e *store.BilledPeriod) ([]store.ArchiveFile, error) {
	key := fmt.Sprint(e.Period.Start.UnixMicro(), e.Period.End.UnixMicro(), e.Billed.Cut)
	if files, ok := p.beyond[key]; ok {
		return files, nil
	}
	files, err := v.FilesBeyond(schemas.Usage, e.Period.Start.UnixMicro(), e.Period.End.UnixMicro(), e.Billed.Cut)
	p.beyond[key] = files
	return files, err
}

// addFiles notes the files that a sheet's rows lie in.
func (p *billPass) addFiles(v *store.View, s *sheet) error {
	if span := [2]int64{s.from, s.to}; p.spans[span] {
		return nil
	} else {
		p.spans[span] = true
	}
	files, err := v.Files(store.FileFilter{Dataset: schemas.Usage, From: s.from, To: s.to})
	if err != nil {
		return err
	}
	all := append(p.files[s.period.Month], files...) // a month begins at different times in different zones
	slices.SortFunc(all, func(a, b store.ArchiveFile) int { return strings.Compare(a.Name, b.Name) })
	p.files[s.period.Month] = slices.CompactFunc(all, func(a, b store.ArchiveFile) bool { return a.Name == b.Name })
	return nil
}

// hoursOf is what rollups say of the account's requests in the period's whole hours.
func (p *billPass) hoursOf(v *store.View, b *bill) error {
	q := store.RollupQuery{Family: schemas.FamilyRequest, Accounts: []string{b.Customer.Account},
		From: schemas.HourOf(b.own.hourFrom), To: schemas.HourOf(b.own.hourTo), Resolution: store.Monthly}
	if q.From >= q.To {
		return nil
	}
	return v.Rollups(q, func(r *store.Rollup) error { return b.hours.Add(&r.Measures) })
}
