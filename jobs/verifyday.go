package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// verifyAtOnce is how many files are read at a time, each a row group of all
// columns that are compared: some 20 MiB.
const verifyAtOnce = 4

// readFiles folds the files; with last one that is not there is a difference.
func (c *dayCheck) readFiles(ctx context.Context, last bool) error {
	return archive.InTurn(ctx, make(chan struct{}, verifyAtOnce), len(c.files), func(ctx context.Context, i int, turn func() error) error {
		f := &c.files[i]
		rows, err := c.readFile(ctx, f, turn)
		if turned := turn(); turned != nil {
			return cmp.Or(err, turned)
		}
		c.rows += rows
		switch {
		case errors.Is(err, errMoved) && last:
			c.report(Difference{Kind: DiffMissing, File: f.Name, Detail: "the store names it, the archive does not have it"})
		case errors.Is(err, errMoved), errors.Is(err, fs.ErrNotExist):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			c.report(Difference{Kind: DiffDamaged, File: f.Name, Detail: err.Error()})
		case rows != f.Rows:
			c.report(Difference{Kind: DiffDamaged, File: f.Name, Detail: fmt.Sprintf("it has %d rows, the store says %d", rows, f.Rows)})
		}
		return nil
	})
}

// readFile folds one file, in its turn. A file that does not read, or is not what
// its row says, is a difference and no error: what could be read of it stays
// folded, and the numbers tell the rest.
func (c *dayCheck) readFile(ctx context.Context, f *store.ArchiveFile, turn func() error) (rows int64, err error) {
	err = withFile(f, func(name string) error {
		if err := c.checkHash(ctx, f, name, turn); err != nil {
			return err
		}
		return c.cfg.Archive.Read(ctx, name, c.prices.columns(c.meters.columns()), func(r *archive.Rows) error {
			if err := turn(); err != nil {
				return err
			}
			rows += int64(r.Len())
			return c.foldRows(ctx, f, r)
		})
	})
	return rows, err
}

func (c *dayCheck) checkHash(ctx context.Context, f *store.ArchiveFile, name string, turn func() error) error {
	if !c.cfg.Hashes {
		return nil
	}
	sum, _, err := c.cfg.Archive.Hash(ctx, name)
	if err != nil || sum == f.SHA256 {
		return err
	}
	if err := turn(); err != nil {
		return err
	}
	c.report(Difference{Kind: DiffDamaged, File: f.Name, Detail: fmt.Sprintf("its SHA-256 is %x, the store says %x", sum, f.SHA256)})
	return nil
}

func (c *dayCheck) foldRows(ctx context.Context, f *store.ArchiveFile, rows *archive.Rows) error {
	seen := c.seen[f.Partition]
	if seen == nil {
		seen = newAddresses()
		c.seen[f.Partition] = seen
	}
	for i := range rows.Len() {
		row := int32(0)
		if len(rows.Row) > 0 {
			row = rows.Row[i]
		}
		offset := rows.Offset[i]
		if !seen.add(offset, row) {
			c.report(Difference{Kind: DiffDuplicate, File: f.Name, Detail: fmt.Sprintf("%s/%d offset %d row %d is there twice",
				f.Partition.Topic, f.Partition.ID, offset, row)})
		}
		if offset < f.First || offset > f.Last {
			c.report(Difference{Kind: DiffDamaged, File: f.Name, Detail: fmt.Sprintf("it has offset %d, the store says %d to %d", offset, f.First, f.Last)})
		}
		if day := schemas.DayOf(rows.Time[i]); day != c.day {
			c.report(Difference{Kind: DiffMisplaced, File: f.Name, Detail: fmt.Sprintf("the row at offset %d is of %s", offset, day)})
			continue
		}
		if err := c.meters.add(rows, i); err != nil {
			return fmt.Errorf("row at offset %d: %w", offset, err)
		}
		if err := c.prices.add(ctx, f, rows, i); err != nil {
			return fmt.Errorf("row at offset %d: %w", offset, err)
		}
		x, err := foldRow(rows, i)
		if err != nil {
			return fmt.Errorf("row at offset %d: %w", offset, err)
		}
		if x.family == nil {
			continue
		}
		dims := x.dims[:len(x.family.Dims)]
		id := schemas.MakeSeriesID(x.family.Name, x.account, dims)
		c.know(id, schemas.Series{ID: id, Account: x.account, Family: x.family.Name, Dims: dims})
		key := cell{schemas.HourOf(rows.Time[i]), id}
		c.extremes.take(key, &x)
		if err := addSigned(&c.at(key).archive, &x); err != nil {
			return fmt.Errorf("row at offset %d: %w", offset, err)
		}
	}
	return nil
}

// compare reports the cells on which the sides differ, in order.
func (c *dayCheck) compare() {
	var differ []cell
	for key, p := range c.pairs {
		for _, m := range []*schemas.Measures{&p.rollup, &p.archive} {
			if m.ValueCount == 0 { // no extremes without values
				m.ValueMin, m.ValueMax = schemas.Decimal{}, schemas.Decimal{}
			}
		}
		if p.rollup != p.archive {
			differ = append(differ, key)
		}
	}
	slices.SortFunc(differ, func(a, b cell) int {
		x, y := c.series[a.series], c.series[b.series]
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(x.Account, y.Account),
			cmp.Compare(x.Family, y.Family), slices.Compare(x.Dims, y.Dims))
	})
	for _, key := range differ {
		p, s := c.pairs[key], c.series[key.series]
		c.report(Difference{Kind: DiffRollup, Account: s.Account, Family: s.Family, Window: key.hour.Time(),
			Dims: namedDims(s), Rollup: &p.rollup, Archive: &p.archive, Detail: describe(&p.rollup, &p.archive, "the archive has")})
	}
}

// namedDims are a series' dimensions that have a value.
func namedDims(s *schemas.Series) map[string]string {
	family := schemas.FamilyByName(s.Family)
	dims := make(map[string]string)
	for i, value := range s.Dims {
		if value == "" {
			continue
		}
		name := fmt.Sprint(i)
		if family != nil && i < len(family.Dims) {
			name = family.Dims[i]
		}
		dims[name] = value
	}
	return dims
}
