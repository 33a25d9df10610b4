package jobs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tallybook/archive"
	"tallybook/schemas"
)

// billedColumns are those that are read for a bill.
var billedColumns = []string{"id", "source", "account", "type", "time", "topic_partition", "topic_offset", "row", "sign", "target_id",
	"customer", "subscription", "api", "version", "endpoint", "quantity", "amount", "currency", "price_version"}

// sheet collects what a period's prices are to be rated on, from archive rows.
type sheet struct {
	period   *schemas.InvoicePeriod
	cut      []schemas.CutPosition
	from, to int64 // of the period, µs
	prices   map[priceKey][]int
	totals   []total // by price
	unrated  total

	// Of the account's requests in whole hours, whoever's they are: what rollups
	// must say too.
	hourFrom, hourTo int64
	inHours          total
}

// priceKey finds prices; subscription "" stands for those of any.
type priceKey struct{ subscription, api, version, endpoint string }

// total is what rows come to.
type total struct {
	rows, events int64
	quantity     schemas.Decimal
	sum          schemas.RowSum
	single       bool // values holds them one by one, for prices that ask for each
	values       []valueRow
}

// valueRow is the quantity of one event, or of one that a correction took away.
type valueRow struct {
	time, offset   int64
	partition, row int32
	sign           int8
	quantity       schemas.Decimal
}

// perEvent is the pricing model that asks for each event's quantity.
const perEvent = "percentage_per_event"

// maxValues bounds the events of all sheets that are kept one by one, about 56
// bytes each.
const maxValues = 20_000_000

var errValues = fmt.Errorf("more than %d events of prices per event", maxValues)

func newSheet(p *schemas.InvoicePeriod, cut []schemas.CutPosition) *sheet {
	s := &sheet{period: p, cut: cut, from: p.Start.UnixMicro(), to: p.End.UnixMicro(),
		prices: map[priceKey][]int{}, totals: make([]total, len(p.Prices))}
	const hour = 3600 * 1_000_000
	s.hourFrom, s.hourTo = (s.from+hour-1)/hour*hour, s.to/hour*hour
	for i := range p.Prices {
		x := &p.Prices[i]
		s.totals[i].single = x.Model == perEvent
		for _, sub := range []string{x.Subscription, ""} {
			key := priceKey{sub, x.API, x.Version, x.Endpoint}
			s.prices[key] = append(s.prices[key], i)
		}
	}
	return s
}

// price is the price that a row counts for, -1: none. A row that names its
// customer counts for the subscription that it names, or for none. The price that
// a row was rated with when it was counted is its price, whatever the catalog
// says of its time since; other rows have the one that holds at their time.
func (s *sheet) price(r *schemas.BilledRow) int {
	if r.Customer != "" && r.Subscription == "" {
		return -1
	}
	holds := -1
	for _, endpoint := range []string{r.Endpoint, ""} {
		for _, i := range s.prices[priceKey{r.Subscription, r.API, r.Version, endpoint}] {
			p := &s.period.Prices[i]
			if r.HasPrice && p.PriceVersion == int64(r.PriceVersion) {
				return i
			}
			if holds < 0 && r.Time >= p.Start.UnixMicro() && r.Time < p.End.UnixMicro() {
				holds = i
			}
		}
		if holds >= 0 && !r.HasPrice {
			break
		}
	}
	return holds
}

func (s *sheet) add(r *schemas.BilledRow) error {
	if r.Time >= s.hourFrom && r.Time < s.hourTo {
		if err := s.inHours.count(r); err != nil {
			return err
		}
	}
	if r.Time < s.from || r.Time >= s.to || r.Customer != s.period.Customer && (r.Customer != "" || !s.period.Unnamed) {
		return nil
	}
	to := &s.unrated
	if i := s.price(r); i >= 0 {
		to = &s.totals[i]
	}
	if err := to.count(r); err != nil {
		return err
	}
	to.sum = to.sum.Add(r.Hash())
	if to.single && r.HasQuantity {
		if len(to.values) >= maxValues {
			return errValues
		}
		to.values = append(to.values, valueRow{r.Time, r.Offset, r.Partition, r.Row, r.Sign, r.Quantity})
	}
	return nil
}

func (t *total) count(r *schemas.BilledRow) (err error) {
	t.rows++
	t.events += int64(r.Sign)
	if r.HasQuantity {
		q := r.Quantity
		if r.Sign < 0 {
			q = q.Neg()
		}
		t.quantity, err = t.quantity.Add(q)
	}
	return err
}

// merge adds what another worker read for the same sheet.
func (t *total) merge(o *total) (err error) {
	t.rows, t.events, t.sum = t.rows+o.rows, t.events+o.events, t.sum.Add(o.sum)
	t.values = append(t.values, o.values...)
	t.quantity, err = t.quantity.Add(o.quantity)
	return err
}

// left are the quantities of the events that are there, in the order of time
// and log. Each that was taken away pays for one of its time and quantity.
func (t *total) left() []schemas.Decimal {
	type key struct {
		time     int64
		quantity schemas.Decimal
	}
	taken := map[key]int{}
	for _, v := range t.values {
		if v.sign < 0 {
			taken[key{v.time, v.quantity}]++
		}
	}
	slices.SortFunc(t.values, func(a, b valueRow) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset), cmp.Compare(a.row, b.row))
	})
	var left []schemas.Decimal
	for _, v := range t.values {
		k := key{v.time, v.quantity}
		switch {
		case v.sign < 0:
		case taken[k] > 0:
			taken[k]--
		default:
			left = append(left, v.quantity)
		}
	}
	return left
}

// billWorkers is how many files are read at a time.
const billWorkers = 2

// rowCheck decides of each row whether it counts. A row of the log counts once,
// whatever number of files it is in. It remembers them all, about 40 bytes each.
type rowCheck struct {
	mu     sync.Mutex
	seen   map[rowAddress]uint64 // part of the row's hash
	decide func(file string, r *schemas.BilledRow, fresh bool) (counts bool, err error)
}

type rowAddress struct {
	offset         int64
	partition, row int32
}

// fileCheck is a rowCheck for one file, which has no row twice. nil: all count.
type fileCheck struct {
	*rowCheck
	name string
	own  map[int32]*addresses // by partition
}

func (c *rowCheck) file(name string) *fileCheck {
	if c == nil {
		return nil
	}
	return &fileCheck{rowCheck: c, name: name, own: map[int32]*addresses{}}
}

func (c *fileCheck) counts(r *schemas.BilledRow) (bool, error) {
	if c == nil {
		return true, nil
	}
	if c.own[r.Partition] == nil {
		c.own[r.Partition] = newAddresses()
	}
	if !c.own[r.Partition].add(r.Offset, r.Row) {
		return false, differs("rows of file %s are there twice: offset %d, row %d", c.name, r.Offset, r.Row)
	}
	at, hash := rowAddress{r.Offset, r.Partition, r.Row}, r.Hash().Lo
	c.mu.Lock()
	defer c.mu.Unlock()
	was, seen := c.seen[at]
	if seen && was != hash {
		return false, differs("rows of file %s are not those of other files: offset %d, row %d", c.name, r.Offset, r.Row)
	}
	c.seen[at] = hash
	return c.decide(c.name, r, !seen)
}

// scanSheets adds the rows of n files, as far as they lie below the cuts, to
// sheets, in one pass. with calls use with the name of file i, as withFile does.
func scanSheets(ctx context.Context, ar *archive.Archive, sheets []*sheet, n int, with func(i int, use func(name string) error) error) error {
	return scanChecked(ctx, ar, sheets, n, nil, with)
}

// scanChecked is scanSheets for the rows that a check counts.
func scanChecked(ctx context.Context, ar *archive.Archive, sheets []*sheet, n int, check *rowCheck, with func(i int, use func(name string) error) error) error {
	if len(sheets) == 0 {
		return nil
	}
	q := archive.ScanQuery{Columns: billedColumns, From: sheets[0].from, To: sheets[0].to, Accounts: []string{}}
	for _, s := range sheets {
		q.From, q.To = min(q.From, s.from), max(q.To, s.to)
		q.Accounts = append(q.Accounts, s.period.Account)
	}
	var mu sync.Mutex
	next := 0
	work, scan := errgroup.WithContext(ctx)
	for range min(billWorkers, n) {
		work.Go(func() error {
			own := make([]*sheet, len(sheets))
			byAccount := map[string][]*sheet{}
			for i, s := range sheets {
				own[i] = newSheet(s.period, s.cut)
				for j := range s.totals {
					own[i].totals[j].single = s.totals[j].single
				}
				byAccount[s.period.Account] = append(byAccount[s.period.Account], own[i])
			}
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n || scan.Err() != nil {
					break
				}
				err := with(i, func(name string) error {
					file := check.file(name)
					return ar.Scan(scan, name, q, func(rows *archive.Rows) error { return addRows(byAccount, file, rows) })
				})
				if err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			return mergeSheets(sheets, own)
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func mergeSheets(to, from []*sheet) error {
	values := 0
	for i, s := range to {
		o := from[i]
		for j := range s.totals {
			if err := s.totals[j].merge(&o.totals[j]); err != nil {
				return err
			}
			values += len(s.totals[j].values)
		}
		if err := s.unrated.merge(&o.unrated); err != nil {
			return err
		}
		if err := s.inHours.merge(&o.inHours); err != nil {
			return err
		}
	}
	if values > maxValues {
		return errValues
	}
	return nil
}

// addRows gives rows to the sheets of their accounts.
func addRows(byAccount map[string][]*sheet, file *fileCheck, rows *archive.Rows) error {
	var r schemas.BilledRow
	for i := range rows.Len() {
		if rows.String(rows.Type[i]) != schemas.TypeRequest {
			continue
		}
		first := true
		for _, s := range byAccount[rows.String(rows.Account[i])] {
			if t := rows.Time[i]; t < s.from || t >= s.to || !schemas.Below(s.cut, schemas.Usage, rows.Partition, rows.Offset[i]) {
				continue
			}
			if first {
				first = false
				billedRow(&r, rows, i)
				if counts, err := file.counts(&r); err != nil {
					return err
				} else if !counts {
					break
				}
			}
			if err := s.add(&r); err != nil {
				return fmt.Errorf("row at offset %d of partition %d: %w", r.Offset, r.Partition, err)
			}
		}
	}
	return nil
}

// billedRow takes row i; what it points to is valid as long as rows.
func billedRow(r *schemas.BilledRow, rows *archive.Rows, i int) {
	text := func(codes []archive.Code) string { return rows.String(codes[i]) }
	r.ID, r.TargetID = rows.ID.At(i), []byte(text(rows.TargetID))
	r.Account, r.Source, r.Type = text(rows.Account), text(rows.Source), text(rows.Type)
	r.Customer, r.Subscription = text(rows.Strings[schemas.Customer]), text(rows.Strings[schemas.Subscription])
	r.API, r.Version, r.Endpoint = text(rows.Strings[schemas.API]), text(rows.Strings[schemas.Version]), text(rows.Strings[schemas.Endpoint])
	r.Currency = text(rows.Currency)
	r.Time, r.Partition, r.Offset, r.Row, r.Sign = rows.Time[i], rows.Partition, rows.Offset[i], rows.Row[i], rows.Sign[i]
	r.Quantity, r.HasQuantity = known(rows.Quantity[i])
	r.Amount, r.HasAmount = known(rows.Amount[i])
	r.PriceVersion, r.HasPrice = rows.PriceVersion[i], rows.PriceVersion[i] != archive.NullInt32
}

func known(d schemas.Decimal) (schemas.Decimal, bool) {
	if d == archive.NullDecimal {
		return schemas.Decimal{}, false
	}
	return d, true
}
