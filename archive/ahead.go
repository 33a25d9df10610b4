package archive

import (
	"cmp"
	"slices"

	"golang.org/x/sync/errgroup"
)

// A request to an object store takes as long as hundreds of KiB of an answer, so
// that sections which will be needed are read together: those that lie near each
// other in one request, with what lies between.
const (
	aheadGap    = 256 << 10 // bytes read in vain rather than begin another request
	aheadRun    = 8 << 20   // of one request
	aheadSmall  = 1 << 20   // of a row group: all columns are read before rows are chosen
	aheadAtOnce = 4         // requests
)

// run is a stretch of the file that was read ahead.
type run struct {
	offset int64
	length int64
	bytes  []byte
}

// isFar tells whether each read of the file is a request.
func (r *reader) isFar() bool {
	_, far := r.file.(*blobFile)
	return far
}

// ahead reads sections ahead, as far as that was not done yet.
func (r *reader) ahead(sections []section) error {
	sections = slices.DeleteFunc(sections, func(s section) bool { return s.length == 0 || r.inMemory(s) != nil })
	if len(sections) == 0 {
		return nil
	}
	slices.SortFunc(sections, func(a, b section) int { return cmp.Compare(a.offset, b.offset) })
	runs := []run{{offset: sections[0].offset}}
	for _, s := range sections {
		last, end := &runs[len(runs)-1], s.offset+int64(s.length)
		if s.offset > last.offset+last.length+aheadGap || end-last.offset > aheadRun && last.length > 0 {
			runs = append(runs, run{offset: s.offset})
			last = &runs[len(runs)-1]
		}
		last.length = max(last.length, end-last.offset)
	}
	var g errgroup.Group
	g.SetLimit(aheadAtOnce)
	for i := range runs {
		g.Go(func() error {
			runs[i].bytes = make([]byte, runs[i].length)
			return r.readAt(runs[i].bytes, runs[i].offset)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.runs = append(r.runs, runs...)
	return nil
}

// inMemory is a section that was read already, nil for others.
func (r *reader) inMemory(s section) []byte {
	end := s.offset + int64(s.length)
	if start := r.file.Size() - int64(len(r.tail)); s.offset >= start {
		return r.tail[s.offset-start:][:s.length]
	}
	for _, run := range r.runs {
		if s.offset >= run.offset && end <= run.offset+run.length {
			return run.bytes[s.offset-run.offset:][:s.length]
		}
	}
	return nil
}

// aheadOfPick reads all that a small row group is asked for; of a large one the
// columns that rows are chosen by may make the others needless.
func (r *reader) aheadOfPick(g *group, f *filter) error {
	if !r.isFar() {
		return nil
	}
	r.runs = nil
	accounts, times := r.accountsIn(g, f), r.timesIn(g, f)
	if accounts == no || times == no || f.id != nil {
		return nil
	}
	for _, by := range []struct {
		verdict
		column string
	}{{accounts, "account"}, {times, "time"}} {
		if by.verdict == unknown {
			if _, err := r.need(by.column); err != nil {
				return err
			}
		}
	}
	all := r.sectionsOf(g, func(*neededColumn) bool { return true })
	size := 0
	for _, s := range all {
		size += s.length
	}
	if size > aheadSmall {
		return nil
	}
	return r.ahead(all)
}

// aheadOfLoad reads the columns that are asked for, once rows are picked.
func (r *reader) aheadOfLoad(g *group) error {
	if !r.isFar() {
		return nil
	}
	return r.ahead(r.sectionsOf(g, func(c *neededColumn) bool { return c.asked && !c.loaded }))
}

func (r *reader) sectionsOf(g *group, wanted func(*neededColumn) bool) (all []section) {
	for i := range r.needed {
		if c := &r.needed[i]; wanted(c) {
			all = append(all, g.chunks[c.index].section)
		}
	}
	return all
}
