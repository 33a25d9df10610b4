package jobs

import (
	"context"
	"fmt"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// VerifyConfig says what Verify checks. Store and Archive are required.
type VerifyConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Topics   []schemas.Topic // nil: all
	Hashes   bool            // compare the SHA-256 of every file too
	Examples int             // differences in detail per topic; 0: 20
	Progress func(string)    // nil: none
}

// Verify recomputes the hour rollups from the archive alone and compares every
// number, per topic, account and window; it also looks for files that are
// missing, damaged or unknown, rows of another date and rows that are there
// twice. Built days and months it compares with the rows that they are built
// from. The error says that the check itself could not be done; what it found is
// in the report.
func Verify(ctx context.Context, cfg VerifyConfig) (VerifyReport, error) {
	if cfg.Topics == nil {
		cfg.Topics = schemas.Topics
	}
	if cfg.Examples == 0 {
		cfg.Examples = 20
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	var report VerifyReport
	for _, topic := range cfg.Topics {
		report.Topics = append(report.Topics, TopicReport{Topic: topic})
		t := &report.Topics[len(report.Topics)-1]
		if err := verifyTopic(ctx, &cfg, t); err != nil {
			return report, fmt.Errorf("verify %s: %w", topic, err)
		}
	}
	if err := verifyBuilt(ctx, &cfg, &report.Built); err != nil {
		return report, fmt.Errorf("verify built rows: %w", err)
	}
	if err := findUnknown(ctx, &cfg, &report); err != nil {
		return report, fmt.Errorf("verify: %w", err)
	}
	return report, nil
}

func verifyTopic(ctx context.Context, cfg *VerifyConfig, t *TopicReport) error {
	var days []schemas.Day
	err := cfg.Store.View(ctx, func(v *store.View) (err error) {
		if days, err = v.Days(t.Topic); err != nil {
			return err
		}
		written, err := v.WrittenDays(t.Topic)
		days = append(days, written...)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(days)
	days = slices.Compact(days)
	for n, day := range days {
		cfg.Progress(fmt.Sprintf("verify %s %s (%d of %d days)", t.Topic, day, n+1, len(days)))
		var check *dayCheck
		err := retryMoved(ctx, func(last bool) error {
			check = newDayCheck(cfg, t.Topic, day)
			return check.run(ctx, last)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", day, err)
		}
		if check.listed || check.written() {
			t.Days++
		}
		t.Files += int64(len(check.files))
		t.Rows += check.rows
		t.RollupRows += check.rollupRows
		t.Found += check.found
		room := cfg.Examples - len(t.Differences)
		t.Differences = append(t.Differences, check.differences[:min(room, len(check.differences))]...)
	}
	return nil
}

// unknownPage is how many names are looked up at a time.
const unknownPage = 1000

// findUnknown looks for published files of known partitions without a row. The
// row comes before the publishing and goes behind the deletion, so that a file
// which is listed first and looked up then must have one; one that is gone by now
// was being moved or deleted.
func findUnknown(ctx context.Context, cfg *VerifyConfig, report *VerifyReport) error {
	owned := map[schemas.Partition]bool{}
	err := cfg.Store.View(ctx, func(v *store.View) error {
		positions, err := v.Positions()
		for _, p := range positions {
			owned[p.Partition] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	var names []string
	lookUp := func() error {
		known, err := cfg.Store.KnownFiles(ctx, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			if known[name] {
				continue
			}
			if err := reportUnknown(ctx, cfg, report, name); err != nil {
				return err
			}
		}
		names = names[:0]
		return nil
	}
	for _, dataset := range schemas.Topics {
		err := cfg.Archive.EachPublished(ctx, dataset, func(name string, src schemas.Partition) error {
			if owned[src] {
				names = append(names, name)
			}
			if len(names) < unknownPage {
				return nil
			}
			return lookUp()
		})
		if err != nil {
			return err
		}
	}
	return lookUp()
}

func reportUnknown(ctx context.Context, cfg *VerifyConfig, report *VerifyReport, name string) error {
	there, err := cfg.Archive.Exists(ctx, name)
	if err != nil || !there {
		return err
	}
	dataset, _, _, _, err := archive.ParseFinal(name)
	if err != nil {
		return err
	}
	for i := range report.Topics {
		if t := &report.Topics[i]; t.Topic == dataset {
			t.Found++
			if len(t.Differences) < cfg.Examples {
				t.Differences = append(t.Differences, Difference{Kind: DiffUnknown, Topic: dataset, File: name,
					Detail: "published, and the store has no row of it"})
			}
		}
	}
	return nil
}

// dayCheck compares one date of one topic's dataset.
type dayCheck struct {
	cfg   *VerifyConfig
	topic schemas.Topic
	day   schemas.Day

	listed     bool              // the store's list of days has it
	manifest   *archive.Manifest // of before the snapshot; nil: none
	files      []store.ArchiveFile
	pairs      map[cell]*pair
	series     map[schemas.SeriesID]*schemas.Series
	seen       map[schemas.Partition]*addresses
	rows       int64
	rollupRows int64
	meters     *meterCheck
	prices     *priceCheck
	extremes   extremeCheck

	found       int64
	differences []Difference
}

// pair is what the two sides say of a cell.
type pair struct{ rollup, archive schemas.Measures }

func newDayCheck(cfg *VerifyConfig, topic schemas.Topic, day schemas.Day) *dayCheck {
	c := &dayCheck{cfg: cfg, topic: topic, day: day, pairs: make(map[cell]*pair),
		series: make(map[schemas.SeriesID]*schemas.Series), seen: make(map[schemas.Partition]*addresses)}
	c.meters, c.prices, c.extremes = newMeterCheck(c), newPriceCheck(c), newExtremeCheck()
	return c
}

// run reads both sides. errMoved asks for another try, from a new snapshot;
// with last a file that is not there is a difference.
func (c *dayCheck) run(ctx context.Context, last bool) error {
	if err := c.readManifest(ctx); err != nil {
		return err
	}
	err := c.cfg.Store.View(ctx, func(v *store.View) (err error) {
		if c.listed, err = v.HasDay(c.topic, c.day); err != nil {
			return err
		}
		if c.files, err = v.Files(store.FileFilter{Dataset: c.topic, Day: &c.day}); err != nil {
			return err
		}
		if err := c.meters.read(v); err != nil {
			return err
		}
		if err := c.extremes.read(v, c.day); err != nil {
			return err
		}
		return v.HourRollups(c.day, c.topic, func(r *store.Rollup) error {
			c.rollupRows++
			c.checkSeries(r)
			c.know(r.Series.ID, r.Series)
			c.at(cell{r.Window, r.Series.ID}).rollup = r.Measures
			return nil
		})
	})
	if err != nil {
		return err
	}
	c.checkListed()
	if err := c.readFiles(ctx, last); err != nil {
		return err
	}
	if err := c.checkManifest(ctx, last); err != nil {
		return err
	}
	if err := c.extremes.finish(ctx, c); err != nil {
		return err
	}
	c.compare()
	c.meters.compare()
	return nil
}

// written: the snapshot has something of the topic's on that date.
func (c *dayCheck) written() bool { return len(c.files) > 0 || c.rollupRows > 0 }

// checkListed: the list of days, the files and the hour rows are written by one
// transaction, and the list decides which days are built and balanced.
func (c *dayCheck) checkListed() {
	d := Difference{Kind: DiffListed, Window: c.day.Time()}
	switch {
	case c.written() && !c.listed:
		d.Detail = fmt.Sprintf("it is not on the list, and the store has %d files and %d rollup rows of it", len(c.files), c.rollupRows)
	case c.listed && !c.written():
		d.Detail = "it is on the list, and the store has no file and no rollup row of it"
	default:
		return
	}
	c.report(d)
}

// checkSeries: questions go by account and dimensions, this check by the id, so
// the id must be theirs.
func (c *dayCheck) checkSeries(r *store.Rollup) {
	s := &r.Series
	if c.series[s.ID] == nil && schemas.MakeSeriesID(s.Family, s.Account, s.Dims) != s.ID {
		c.report(Difference{Kind: DiffRollup, Account: s.Account, Family: s.Family, Window: r.Window.Time(),
			Dims: namedDims(s), Detail: fmt.Sprintf("series %x is not the id of these dimensions", s.ID)})
	}
}

// at is the pair of a cell, made where there is none.
func (c *dayCheck) at(key cell) *pair {
	p := c.pairs[key]
	if p == nil {
		p = new(pair)
		c.pairs[key] = p
	}
	return p
}

// know keeps what a series is, once.
func (c *dayCheck) know(id schemas.SeriesID, s schemas.Series) {
	if c.series[id] == nil {
		s.Dims = append([]string(nil), s.Dims...)
		c.series[id] = &s
	}
}

func (c *dayCheck) report(d Difference) {
	d.Topic = c.topic
	c.found++
	if len(c.differences) < c.cfg.Examples {
		c.differences = append(c.differences, d)
	}
}
