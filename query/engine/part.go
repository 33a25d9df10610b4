package engine

import (
	"errors"
	"slices"

	"tallybook/schemas"
	"tallybook/store"
)

// part is a question while it is answered.
type part struct {
	q     *Question
	table *table
	plan  plan
	files []store.ArchiveFile
	held  *store.Held
	names []string
	split bool  // a filter asks for metadata that some series have
	first int64 // the first day of the topic's data
}

// notWanted stands for the names of series that are in no group.
const notWanted = -1

// read plans the question and folds the rollups; the archive's part is left to
// be done outside the view.
func (p *part) read(v *store.View) error {
	q := p.q
	if q.From >= q.To || q.Accounts != nil && len(q.Accounts) == 0 {
		return nil
	}
	days, err := v.Days(q.Family.Topic)
	if err != nil || len(days) == 0 {
		return err
	}
	p.first = int64(days[0].Hour()) * hour
	data := span{int64(days[0].Hour()) * hour, int64(days[len(days)-1].Hour()+24) * hour}
	holes, err := p.stale(v, data)
	if err != nil {
		return err
	}
	complete, err := p.complete(v)
	if err != nil {
		return err
	}
	p.plan = planOf(p.table, data, holes, q.fromArchive() || !complete)
	query := store.BlockQuery{Family: q.Family, Accounts: q.Accounts, Columns: q.columns()}
	for _, r := range p.plan.rollups {
		query.Ranges = append(query.Ranges, store.HourRange{From: r.from, To: r.to})
	}
	blocks, err := v.Blocks(query, p.held)
	if err != nil {
		return err
	}
	if err := p.foldBlocks(blocks); err != nil {
		return err
	}
	if err := p.foldSketches(v); err != nil {
		return err
	}
	if p.split {
		for _, r := range p.plan.rollups {
			p.plan.byMetadata = appendSpan(p.plan.byMetadata, int64(r.from)*hour, int64(r.to)*hour)
		}
	}
	p.files, err = p.wantedFiles(v)
	return err
}

// stale are the hours whose extremes corrections have made wrong in rollups.
func (p *part) stale(v *store.View, data span) (hours []schemas.Hour, err error) {
	if p.q.Need&Extremes == 0 || p.q.fromArchive() {
		return nil, nil
	}
	rows, err := v.Stale(store.StaleQuery{Family: p.q.Family.Name, Accounts: p.q.Accounts,
		From: schemas.HourOf(max(p.q.From, data.start)), To: hourOf(min(p.q.To, data.end))})
	for i := range rows {
		if h := rows[i].Window; len(hours) == 0 || hours[len(hours)-1] != h {
			hours = append(hours, h)
		}
	}
	return hours, err
}

// wantedFiles are those whose events may lie in what the archive answers.
func (p *part) wantedFiles(v *store.View) ([]store.ArchiveFile, error) {
	spans := slices.Concat(p.plan.archive, p.plan.byMetadata)
	if len(spans) == 0 {
		return nil, nil
	}
	all := store.FileFilter{Dataset: p.q.Family.Topic, From: spans[0].start, To: spans[0].end}
	for _, s := range spans {
		all.From, all.To = min(all.From, s.start), max(all.To, s.end)
	}
	files, err := v.Files(all)
	return slices.DeleteFunc(files, func(f store.ArchiveFile) bool {
		return !slices.ContainsFunc(spans, func(s span) bool { return f.MinTime < s.end && f.MaxTime >= s.start })
	}), err
}

// complete says whether the rollups of the family hold every event: those of a
// declared meter do when its past is filled in.
func (p *part) complete(v *store.View) (bool, error) {
	if p.q.Meter == nil || p.q.Meter.Definition == nil {
		return true, nil
	}
	m, err := v.Meter(p.q.Meter.Slug)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // deleted meanwhile
	}
	return m.Complete && m.Version == p.q.Meter.Version, err
}

// foldSketches folds the sketches of the plan's pieces.
func (p *part) foldSketches(v *store.View) error {
	family := p.q.sketches()
	if p.q.Need&Quantiles == 0 || family == nil {
		return nil
	}
	names := map[schemas.SeriesID]int32{}
	fold := func(h schemas.Hour, series *schemas.Series, s schemas.Sketch) error {
		n, ok := names[series.ID]
		if !ok {
			n = p.group(&seriesView{family: family, account: series.Account, dims: series.Dims})
			names[series.ID] = n
		}
		if n < 0 {
			return nil
		}
		place := p.table.at(int64(h) * hour)
		c, err := p.table.cell(&place, n)
		if err == nil {
			p.table.cells[c].sums.rest().values.addSketch(s)
		}
		return err
	}
	for i := 0; i < len(p.plan.rollups); {
		from, to := p.plan.rollups[i].from, p.plan.rollups[i].to
		for i++; i < len(p.plan.rollups) && p.plan.rollups[i].from == to; i++ {
			to = p.plan.rollups[i].to
		}
		err := v.Sketches(store.SketchQuery{Family: family, Accounts: p.q.Accounts, From: from, To: to}, fold)
		if err != nil {
			return err
		}
	}
	return nil
}

// group is the number of a series' names, or why it has none.
func (p *part) group(s *seriesView) int32 {
	split := false
	for name, allowed := range p.q.Filters {
		if s.byMetadata(name) {
			split = true
		} else if !slices.Contains(allowed, s.value(name)) {
			return notWanted
		}
	}
	if split {
		p.split = true
		return notWanted
	}
	p.names = p.names[:0]
	for _, name := range p.q.GroupBy {
		p.names = append(p.names, s.value(name))
	}
	return p.table.group(p.names)
}
