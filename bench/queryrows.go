package bench

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// queryShape is how many rows the questions are asked of. The last month is the
// one that is asked about as a whole.
type queryShape struct {
	accounts, series int // series of requests, several of an account
	domains          int // of one account, 16 series of e-mails each
	rows             int // hour rows of requests in the last month
	earlier          int // in each of the two months before it
	mails            int // hour rows of e-mails in a month

	asked, starts int // times that a question of one account is asked, and after how many starts
}

var fullShape = queryShape{accounts: 5000, series: 30_000, domains: 500, rows: 5_000_000, earlier: 1_000_000, mails: 400_000, asked: 300, starts: 3}

const mailer = "mailer" // the account that has the domains

var (
	firstMonth = schemas.DayOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	lastMonth  = firstMonth.MonthEnd().MonthEnd()
	// openHour is the hour that is being counted while the last month is open.
	openHour = (lastMonth.MonthEnd() - 1).Hour() + 20
)

// queryRows makes rollup rows and puts them into a store, and into a file for
// others to read. The same number makes the same rows.
type queryRows struct {
	shape   queryShape
	rnd     *rand.Rand
	store   *store.Store
	topics  []*rowTopic
	written int64
	file    *bufio.Writer // hour, series, n; nil: nobody else reads them
	close   func() error
}

// rowTopic is the series of one topic, and where its partition stands.
type rowTopic struct {
	series   []schemas.Series
	number   int // of the first series, in the file
	position store.Position
	all      int64                        // events
	last     int64                        // of them in the last month
	chance   func(h schemas.Hour) float64 // that a series has a row in an hour
}

// newQueryRows makes the series. With a folder, series.csv and rows.csv are
// written there.
func newQueryRows(ctx context.Context, st *store.Store, shape queryShape, folder string) (*queryRows, error) {
	q := &queryRows{shape: shape, rnd: rand.New(rand.NewPCG(4, 4)), store: st, close: func() error { return nil }}
	perHour := func(rows, series int, h schemas.Hour) float64 {
		month := h.Day().MonthStart()
		return float64(rows) / float64(series) / float64(month.MonthEnd().Hour()-month.Hour())
	}
	requests := &rowTopic{series: q.requestSeries(), chance: func(h schemas.Hour) float64 {
		if h < lastMonth.Hour() {
			return perHour(shape.earlier, shape.series, h)
		}
		return perHour(shape.rows, shape.series, h)
	}}
	mails := &rowTopic{series: q.mailSeries(), number: len(requests.series)}
	mails.chance = func(h schemas.Hour) float64 { return perHour(shape.mails, len(mails.series), h) }
	q.topics = []*rowTopic{requests, mails}
	for i, topic := range []schemas.Topic{schemas.Usage, schemas.Emails} {
		var err error
		if q.topics[i].position, err = st.TakeOver(ctx, schemas.Partition{Topic: topic}, 0); err != nil {
			return nil, err
		}
	}
	if folder == "" {
		return q, nil
	}
	if err := q.writeSeries(filepath.Join(folder, "series.csv")); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(folder, "rows.csv"))
	if err != nil {
		return nil, err
	}
	q.file = bufio.NewWriterSize(f, 1<<20)
	q.close = func() error { return errors.Join(q.file.Flush(), f.Close()) }
	return q, nil
}

func series(family *schemas.Family, account string, dims ...string) schemas.Series {
	return schemas.Series{ID: schemas.MakeSeriesID(family.Name, account, dims), Account: account, Family: family.Name, Dims: dims}
}

// requestSeries gives each account a series, and the rest to some more than to
// others.
func (q *queryRows) requestSeries() (all []schemas.Series) {
	seen := map[schemas.SeriesID]bool{}
	for len(all) < q.shape.series {
		account := len(all)
		if account >= q.shape.accounts {
			r := q.rnd.Float64()
			account = int(float64(q.shape.accounts) * r * r)
		}
		s := series(schemas.FamilyRequest, accountName(account), "web", "v"+strconv.Itoa(1+q.rnd.IntN(2)),
			fmt.Sprintf("/things/%d", q.rnd.IntN(50)), []string{"GET", "GET", "GET", "POST"}[q.rnd.IntN(4)],
			[]string{"200", "200", "200", "404", "500"}[q.rnd.IntN(5)], "")
		if !seen[s.ID] {
			seen[s.ID] = true
			all = append(all, s)
		}
	}
	return all
}

func accountName(n int) string { return fmt.Sprintf("account-%04d", n) }

// mailKinds are event, direction, transport, severity and reason.
var mailKinds = [][5]string{
	{"accepted", "incoming", "", "", ""}, {"accepted", "outgoing", "", "", ""},
	{"delivered", "", "smtp", "", ""}, {"delivered", "", "http", "", ""},
	{"failed", "", "", "temporary", "espblock"}, {"failed", "", "", "temporary", "generic"},
	{"failed", "", "", "permanent", "bounce"}, {"failed", "", "", "permanent", "delayed-bounce"},
	{"failed", "", "", "permanent", "suppress-bounce"}, {"failed", "", "", "permanent", "suppress-unsubscribe"},
	{"failed", "", "", "permanent", "suppress-complaint"},
	{"opened", "", "", "", ""}, {"clicked", "", "", "", ""}, {"unsubscribed", "", "", "", ""},
	{"complained", "", "", "", ""}, {"stored", "", "", "", ""},
}

func (q *queryRows) mailSeries() (all []schemas.Series) {
	for d := range q.shape.domains {
		for _, k := range mailKinds {
			all = append(all, series(schemas.FamilyEmail, mailer, append([]string{domainName(d)}, k[:]...)...))
		}
	}
	return all
}

func domainName(n int) string { return fmt.Sprintf("mg%03d.example.com", n) }

// fill writes the hours [from, to), some thousands of rows in a transaction.
func (q *queryRows) fill(ctx context.Context, from, to schemas.Hour) error {
	const together = 8
	for h := from; h < to; h += together {
		var batch []*store.Checkpoint
		for _, t := range q.topics {
			var deltas []store.Delta
			for at := h; at < min(to, h+together); at++ {
				chance := t.chance(at)
				for s := range t.series {
					if q.rnd.Float64() < chance {
						deltas = append(deltas, q.delta(at, s))
					}
				}
			}
			batch = append(batch, t.checkpoint(deltas))
		}
		if err := q.apply(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// live writes rows of the open hour, as a checkpoint of live traffic does.
func (q *queryRows) live(ctx context.Context, rows int) error {
	t := q.topics[0]
	var deltas []store.Delta
	for _, s := range q.rnd.Perm(len(t.series))[:min(rows, len(t.series))] {
		deltas = append(deltas, q.delta(openHour, s))
	}
	return q.apply(ctx, []*store.Checkpoint{t.checkpoint(deltas)})
}

func (q *queryRows) delta(h schemas.Hour, s int) store.Delta {
	n := 1 + int64(q.rnd.ExpFloat64()*20)
	return store.Delta{Hour: h, Series: s, Measures: schemas.Measures{Count: n, Quantity: schemas.DecimalFromInt(n), Bytes: 2000 * n,
		ValueCount: n, ValueSum: schemas.Decimal{Units: 12 * n, Nanos: 345_000_000}, ValueMin: schemas.Decimal{Units: 1}, ValueMax: schemas.Decimal{Units: 12 + n}}}
}

func (t *rowTopic) checkpoint(deltas []store.Delta) *store.Checkpoint {
	n := int64(max(1, len(deltas)))
	c := &store.Checkpoint{From: t.position, To: t.position, Series: t.series, Deltas: deltas, ClosedAt: openHour.Time(),
		Ledger: store.Ledger{First: t.position.Next, Next: t.position.Next + n, Records: n, Counted: n}}
	c.To.Next, c.To.LastOffset, c.To.Clock = c.From.Next+n, c.From.Next+n-1, openHour.Time().UnixMicro()
	return c
}

func (q *queryRows) apply(ctx context.Context, batch []*store.Checkpoint) error {
	results, err := q.store.Checkpoint(ctx, batch)
	if err != nil {
		return err
	}
	var line []byte
	for i, c := range batch {
		if results[i].Outcome != store.Applied {
			return fmt.Errorf("checkpoint of made rows: outcome %d: %w", results[i].Outcome, results[i].Err)
		}
		for _, t := range q.topics {
			if t.position.Partition != c.To.Partition {
				continue
			}
			t.position = c.To
			for k := range c.Deltas {
				d := &c.Deltas[k]
				if t.all += d.Count; d.Hour >= lastMonth.Hour() {
					t.last += d.Count
				}
				line = strconv.AppendInt(line[:0], int64(d.Hour), 10)
				line = strconv.AppendInt(append(line, ','), int64(t.number+d.Series), 10)
				line = append(strconv.AppendInt(append(line, ','), d.Count, 10), '\n')
				if q.file != nil {
					if _, err := q.file.Write(line); err != nil {
						return err
					}
				}
			}
		}
		q.written += int64(len(c.Deltas))
	}
	return nil
}

// writeSeries writes number, account, family and six dimensions.
func (q *queryRows) writeSeries(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	for _, t := range q.topics {
		for i := range t.series {
			s := &t.series[i]
			if err := w.Write(append([]string{strconv.Itoa(t.number + i), s.Account, s.Family}, s.Dims...)); err != nil {
				return errors.Join(err, f.Close())
			}
		}
	}
	w.Flush()
	return errors.Join(w.Error(), f.Close())
}
