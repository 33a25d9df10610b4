package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// scan folds the archive's part of a question. Files are decoded side by side
// and folded one at a time.
func (e *Engine) scan(ctx context.Context, p *part) error {
	files := p.wantedFiles()
	if len(files) == 0 {
		return nil
	}
	if e.cfg.Archive == nil {
		return tooMuch("this question needs the archive, which this process does not have; ask for whole hours and dimensions of rollups")
	}
	var rows int64
	for _, f := range files {
		rows += f.Rows
	}
	if rows > e.cfg.MaxScanRows {
		return tooMuch("the question has to read %d archived events, and at most %d are read; ask for a shorter range, whole hours, or dimensions that rollups have", rows, e.cfg.MaxScanRows)
	}
	select {
	case e.scans <- struct{}{}:
		defer func() { <-e.scans }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s := &scanner{part: p, maxValues: e.cfg.MaxValues}
	if err := e.scanAll(ctx, s, files); err != nil {
		return err
	}
	if len(s.taken) == 0 || p.q.Need&(Extremes|Latest) == 0 {
		return nil
	}
	// Corrections took events away. Which ones are left shows when all that was
	// taken is known: once more, for extremes and latest alone.
	s.again = true
	for i := range p.table.cells {
		p.table.cells[i].sums.forget()
	}
	return e.scanAll(ctx, s, files)
}

// wantedFiles are those whose events may lie in the archive's part.
func (p *part) wantedFiles() []store.ArchiveFile {
	return slices.DeleteFunc(slices.Clone(p.files), func(f store.ArchiveFile) bool {
		return !slices.ContainsFunc(p.plan.archive, func(s span) bool { return f.MinTime < s.end && f.MaxTime >= s.start })
	})
}

func (e *Engine) scanAll(ctx context.Context, s *scanner, files []store.ArchiveFile) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.cfg.ScanWorkers)
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return e.scanFile(ctx, s, &files[i]) })
	}
	return g.Wait()
}

// scanFile reads a file where it is or, when its checkpoint is not yet
// published, where it was staged.
func (e *Engine) scanFile(ctx context.Context, s *scanner, f *store.ArchiveFile) error {
	var err error
	for _, name := range []string{f.Name, f.Staged, f.Name} {
		fold := s.file()
		err = e.cfg.Archive.Read(ctx, name, fold.columns, func(r *archive.Rows) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return fold.rows(r)
		})
		if !errors.Is(err, fs.ErrNotExist) || fold.begun {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("scan the archive: %w", err)
	}
	return nil
}

// scanner folds archive rows into a part's table.
type scanner struct {
	*part
	mu        sync.Mutex
	again     bool            // the second time: extremes and latest only
	taken     map[taken]int64 // events that corrections took away
	values    int             // kept so far
	maxValues int
}

// taken says of an event that was taken away what tells it from others of its
// cell.
type taken struct {
	cell  int32
	time  int64
	value schemas.Decimal
}

// fileFold folds one file.
type fileFold struct {
	*scanner
	columns []string
	tuple   []nameReader // account, type, then names of filters and groups
	groups  map[string]int32
	key     []byte
	last    []byte
	lastTo  int32
	lastAt  place
	cellOf  int32
	spanAt  int
	begun   bool
	text    *nameReader // of Distinct
}

func (s *scanner) file() *fileFold {
	f := &fileFold{scanner: s, groups: map[string]int32{}, lastTo: notWanted, cellOf: -1}
	add := func(r nameReader) {
		f.tuple = append(f.tuple, r)
		f.columns = append(f.columns, r.columns...)
	}
	for _, name := range append([]string{"type", Account}, s.q.tupleNames()...) {
		r, _ := readerOf(s.q.Family, name)
		add(r)
	}
	if s.q.Distinct != "" {
		r, _ := readerOf(s.q.Family, s.q.Distinct)
		f.text = &r
		f.columns = append(f.columns, r.columns...)
	}
	f.columns = append(append(f.columns, "time", "sign"), measureColumns(s.q)...)
	if s.q.Need&Latest != 0 {
		f.columns = append(f.columns, "topic_offset", "row", "log_time")
	}
	slices.Sort(f.columns)
	f.columns = slices.Compact(f.columns)
	return f
}

// readerOf adds the type to the names of a family.
func readerOf(f *schemas.Family, name string) (nameReader, bool) {
	if name == "type" && f.Name == ratedFamily {
		return codeReader("type", func(r *archive.Rows) []archive.Code { return r.Type }), true
	}
	return archiveName(f, name)
}

func (q *Question) tupleNames() []string {
	names := slices.Clone(q.GroupBy)
	for name := range q.Filters {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (f *fileFold) rows(r *archive.Rows) error {
	f.begun = true
	for i := range r.Time {
		at := r.Time[i]
		if !f.covers(at) {
			continue
		}
		names := f.group(r, i)
		if names < 0 {
			continue
		}
		if err := f.row(r, i, names); err != nil {
			return err
		}
	}
	return nil
}

// covers says whether the instant is in the archive's part.
func (f *fileFold) covers(t int64) bool {
	spans := f.plan.archive
	if s := spans[f.spanAt]; t >= s.start && t < s.end {
		return true
	}
	i, _ := slices.BinarySearchFunc(spans, t, func(s span, t int64) int {
		if s.end <= t {
			return -1
		}
		return 1
	})
	if i < len(spans) && spans[i].start <= t {
		f.spanAt = i
		return true
	}
	return false
}

// group is the number of a row's names; rows mostly repeat what the row before
// them had.
func (f *fileFold) group(r *archive.Rows, i int) int32 {
	f.key = f.key[:0]
	for k := range f.tuple {
		f.key = binary.LittleEndian.AppendUint32(f.key, f.tuple[k].key(r, i))
	}
	if len(f.last) > 0 && string(f.key) == string(f.last) {
		return f.lastTo
	}
	n, ok := f.groups[string(f.key)]
	if !ok {
		n = f.names(r, i)
		f.groups[string(f.key)] = n
	}
	f.last, f.lastTo, f.cellOf = append(f.last[:0], f.key...), n, -1
	return n
}

func (f *fileFold) names(r *archive.Rows, i int) int32 {
	q := f.q
	if !ofFamily(q.Family, f.tuple[0].text(r, i)) {
		return notWanted
	}
	if account := f.tuple[1].text(r, i); q.Accounts != nil && !slices.Contains(q.Accounts, account) {
		return notWanted
	}
	value := func(name string) string {
		reader, _ := archiveName(q.Family, name)
		return reader.text(r, i)
	}
	for name, allowed := range q.Filters {
		if !slices.Contains(allowed, value(name)) {
			return notWanted
		}
	}
	f.part.names = f.part.names[:0]
	for _, name := range q.GroupBy {
		f.part.names = append(f.part.names, value(name))
	}
	return f.table.group(f.part.names)
}

// ofFamily says whether events of the type are measured by the family.
func ofFamily(f *schemas.Family, kind string) bool {
	switch {
	case f == schemas.FamilyRequest:
		return kind == schemas.TypeRequest
	case f == schemas.FamilyError:
		return kind == schemas.TypeAPIError
	case f == schemas.FamilyInternalError:
		return kind == schemas.TypeInternalError
	case f == schemas.FamilyEmail:
		return strings.HasPrefix(kind, schemas.EmailPrefix)
	case f.Name == ratedFamily:
		return kind == schemas.TypeRatedUsage
	}
	return false
}

func measureColumns(q *Question) (columns []string) {
	usage := q.Family.Topic == schemas.Usage
	if q.Need&(Values|Extremes|Quantiles|Latest) != 0 && q.Family.Topic != schemas.Emails {
		columns = append(columns, "latency_ms")
	}
	if q.Need&Quantity != 0 && usage {
		columns = append(columns, "quantity")
	}
	if q.Need&Bytes != 0 && usage {
		columns = append(columns, "bytes")
	}
	if q.Need&Amount != 0 && usage {
		columns = append(columns, "amount")
	}
	if q.Family == schemas.FamilyInternalError {
		columns = append(columns, "records")
	}
	return columns
}
