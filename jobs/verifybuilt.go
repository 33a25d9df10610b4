package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tallybook/schemas"
	"tallybook/store"
)

// verifyBuilt compares the rows of built days and months with the sums of their
// sources, a bounded number of rows in a View. One that changes meanwhile is
// counted as skipped: a job builds it again, and the next run compares it.
func verifyBuilt(ctx context.Context, cfg *VerifyConfig, report *BuiltReport) error {
	var windows []store.BuiltWindow
	err := cfg.Store.View(ctx, func(v *store.View) (err error) {
		windows, err = v.BuiltWindows()
		return err
	})
	if err != nil {
		return err
	}
	for n, w := range windows {
		cfg.Progress(fmt.Sprintf("verify built %s %s (%d of %d windows)", windowName(w.Resolution), w.Start.Day(), n+1, len(windows)))
		c := &builtCheck{window: w, examples: cfg.Examples - len(report.Differences)}
		switch err := c.run(ctx, cfg.Store); {
		case errors.Is(err, store.ErrWindowChanged):
			report.Skipped++
			continue
		case err != nil:
			return fmt.Errorf("%s of %s: %w", windowName(w.Resolution), w.Start.Day(), err)
		case w.Resolution == store.Monthly:
			report.Months++
		default:
			report.Days++
		}
		report.Rows += c.rows
		report.Found += c.found
		report.Differences = append(report.Differences, c.differences...)
	}
	return nil
}

// builtCheck compares one built window.
type builtCheck struct {
	window   store.BuiltWindow
	examples int

	rows        int64
	found       int64
	differences []Difference
}

// builtPair are a built row and the sum of its sources.
type builtPair struct{ built, sources builtSide }

// builtSide has its extremes as sort keys: that of a number and none differ.
type builtSide struct {
	schemas.Measures
	least, greatest string
}

func (s *builtSide) add(r *store.BuiltRow) error {
	if r.Least != "" && (s.least == "" || r.Least < s.least) {
		s.least = r.Least
	}
	s.greatest = max(s.greatest, r.Greatest)
	return s.Measures.Add(&r.Measures)
}

// settle: no extremes without values.
func (s *builtSide) settle() {
	if s.ValueCount <= 0 {
		s.least, s.greatest = "", ""
	}
}

func (c *builtCheck) run(ctx context.Context, st *store.Store) error {
	for at := new(store.RowPlace); at != nil; {
		err := st.View(ctx, func(v *store.View) (err error) {
			at, err = c.part(v, *at)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// part compares some rows behind a place, in one snapshot.
func (c *builtCheck) part(v *store.View, after store.RowPlace) (*store.RowPlace, error) {
	pairs := map[store.RowPlace]*builtPair{}
	pair := func(r *store.BuiltRow) *builtPair {
		p := pairs[r.RowPlace]
		if p == nil {
			p = new(builtPair)
			pairs[r.RowPlace] = p
		}
		return p
	}
	next, err := v.BuiltRows(c.window, after, func(r *store.BuiltRow) error {
		c.rows++
		pair(r).built = builtSide{r.Measures, r.Least, r.Greatest} // as it is: a sum that is not in its normal form differs
		return nil
	}, func(r *store.BuiltRow) error {
		if err := pair(r).sources.add(r); err != nil {
			return fmt.Errorf("account %s, series %x: %w", r.Account, r.Series, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	places := slices.SortedFunc(maps.Keys(pairs), func(a, b store.RowPlace) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Series, b.Series))
	})
	for _, place := range places {
		p := pairs[place]
		p.built.settle()
		p.sources.settle()
		if p.built == p.sources {
			continue
		}
		c.found++
		if len(c.differences) >= c.examples {
			continue
		}
		d, err := c.difference(v, place, p)
		if err != nil {
			return nil, err
		}
		c.differences = append(c.differences, d)
	}
	return next, nil
}

func (c *builtCheck) difference(v *store.View, place store.RowPlace, p *builtPair) (Difference, error) {
	d := Difference{Kind: DiffDay, Account: place.Account, Window: c.window.Start.Time(), Rollup: &p.built.Measures, Sources: &p.sources.Measures}
	who := "its hours have"
	if c.window.Resolution == store.Monthly {
		d.Kind, who = DiffMonth, "its days and hours have"
	}
	d.Detail = describe(d.Rollup, d.Sources, who)
	for _, x := range []struct{ name, built, sources string }{
		{"value minimum", p.built.least, p.sources.least}, {"value maximum", p.built.greatest, p.sources.greatest}} {
		if x.built != x.sources {
			if d.Detail != "" {
				d.Detail += "; "
			}
			d.Detail += fmt.Sprintf("%s is %s, %s %s", x.name, keyText(x.built), who, keyText(x.sources))
		}
	}
	for _, s := range []*builtSide{&p.built, &p.sources} { // for the JSON; what is no number stays 0 there
		s.ValueMin, _ = schemas.DecimalFromSortKey([]byte(s.least))
		s.ValueMax, _ = schemas.DecimalFromSortKey([]byte(s.greatest))
	}
	series, there, err := v.SeriesAt(place)
	if err != nil {
		return d, err
	}
	if !there {
		d.Detail += fmt.Sprintf("; there is no series %x", place.Series)
		return d, nil
	}
	d.Family, d.Dims = series.Family, namedDims(&series)
	if family := schemas.FamilyByName(series.Family); family != nil {
		d.Topic = family.Topic
	}
	return d, nil
}

// keyText is the number of a sort key.
func keyText(key string) string {
	if key == "" {
		return "none"
	}
	n, err := schemas.DecimalFromSortKey([]byte(key))
	if err != nil {
		return fmt.Sprintf("%x, which is no number", key)
	}
	return fmt.Sprint(n)
}
