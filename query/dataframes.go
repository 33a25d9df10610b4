package query

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	maxFramePoints   = 100_000    // that match, of a question
	maxFrameRows     = 50_000_000 // of archive files that are looked through
	noFramesMessage  = "No resource found for provided filters."
	tooManyFramesFor = "ask for a shorter period, or for filters that fewer match"
)

func (q *Server) dataframeEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v2/dataframes", Access: api.Account, Scope: api.Replace, Form: api.MessageForm, Handle: q.getDataframes},
	}
}

// getDataframes answers the points of data frames as they were pushed, from the
// archive: by the begin and end of their periods, then metric. Retracted points
// are not there, amended ones as they are now.
func (q *Server) getDataframes(w http.ResponseWriter, r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.Invalid("", "the query string does not parse: %v", err)
	}
	for _, name := range []string{"groupby", "response_format"} { // the summary's alone
		if values.Has(name) {
			return api.Invalid(name, "unknown parameter %q; allowed are offset, limit, begin, end, filters and filter", name)
		}
	}
	p, err := parseSummaryParams(values, q.cfg.Now())
	if err != nil {
		return err
	}
	s := &frameScan{filters: p.filters, begin: p.begin.UnixMicro(), end: p.end.UnixMicro()}
	if s.accounts = api.CallerOf(r.Context()).Accounts(); s.accounts != nil {
		delete(s.filters, attrAccount) // replaced, whatever was asked for
	} else if named, ok := s.filters[attrAccount]; ok {
		for _, account := range named {
			s.accounts = append(s.accounts, cmp.Or(account, noProject))
		}
	}
	err = engine.Settled(r.Context(), func() error { return q.scanFrames(r.Context(), s) })
	if err != nil {
		return err
	}
	points := s.sorted()
	if len(points) == 0 {
		return api.NotFound(noFramesMessage)
	}
	w.Header().Set("X-Data-Through", engine.Through(s.positions))
	w.Header().Set("X-Data-Source", "archive")
	from := min(p.offset, int64(len(points)))
	page := points[from : from+min(p.limit, int64(len(points))-from)]
	api.WriteJSON(w, http.StatusOK, struct {
		Total  int         `json:"total"`
		Frames []dataframe `json:"dataframes"`
	}{len(points), framesOf(page)})
	return nil
}

// dataframe is the points of one period.
type dataframe struct {
	Period struct {
		Begin string `json:"begin"`
		End   string `json:"end"`
	} `json:"period"`
	Usage map[string][]*framePoint `json:"usage"`
}

// framePoint is a point in the form that it was pushed in.
type framePoint struct {
	Vol struct {
		Unit string          `json:"unit"`
		Qty  schemas.Decimal `json:"qty"`
	} `json:"vol"`
	Rating struct {
		Price schemas.Decimal `json:"price"`
	} `json:"rating"`
	Groupby  map[string]string `json:"groupby"`
	Metadata map[string]string `json:"metadata"`

	account, metric string
	begin, end      int64
	at              eventPlace
}

// framesOf puts sorted points of a period together.
func framesOf(points []*framePoint) []dataframe {
	frames := []dataframe{}
	for i, p := range points {
		if i == 0 || p.begin != points[i-1].begin || p.end != points[i-1].end {
			f := dataframe{Usage: map[string][]*framePoint{}}
			f.Period.Begin, f.Period.End = isoTime(microsTime(p.begin)), isoTime(microsTime(p.end))
			frames = append(frames, f)
		}
		usage := frames[len(frames)-1].Usage
		usage[p.metric] = append(usage[p.metric], p)
	}
	return frames
}

// frameScan looks for points in the archive.
type frameScan struct {
	begin, end int64
	accounts   []string // nil: all
	filters    map[string][]string

	positions []store.Position
	points    []*framePoint
	taken     map[string]int // points that corrections took back, by content
}

var frameColumns = []string{"account", "type", "time", "topic_partition", "topic_offset", "row", "sign", "quantity", "amount", "data"}

func (q *Server) scanFrames(ctx context.Context, s *frameScan) error {
	s.points, s.taken = nil, map[string]int{}
	var files []store.ArchiveFile
	err := q.cfg.Store.View(ctx, func(v *store.View) (err error) {
		if s.positions, err = v.Positions(schemas.Usage); err != nil {
			return err
		}
		if s.begin < s.end {
			files, err = v.Files(store.FileFilter{Dataset: schemas.Usage, From: s.begin, To: s.end})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list files of data frames: %w", err)
	}
	var rows int64
	for i := range files {
		rows += files[i].Rows
	}
	if rows > maxFrameRows {
		return &api.Failure{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf("the period has %d archived events, and at most %d are looked through; "+tooManyFramesFor, rows, maxFrameRows)}
	}
	release, err := q.engine.Slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	for i := range files {
		if err := s.file(ctx, q.cfg.Archive, &files[i]); err != nil {
			return fmt.Errorf("read data frames: %w", err)
		}
	}
	return nil
}

// file reads a file where it is or, when its checkpoint is not yet published,
// where it was staged.
func (s *frameScan) file(ctx context.Context, a *archive.Archive, f *store.ArchiveFile) (err error) {
	begun := false
	for _, name := range []string{f.Name, f.Staged, f.Name} {
		err = a.Scan(ctx, name, archive.ScanQuery{Columns: frameColumns, From: s.begin, To: s.end, Accounts: s.accounts}, func(rows *archive.Rows) error {
			begun = true
			for i := range rows.Len() {
				if rows.String(rows.Type[i]) == schemas.TypeRatedUsage {
					if err := s.row(rows, i); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if !errors.Is(err, fs.ErrNotExist) || begun {
			break
		}
	}
	return err
}

func (s *frameScan) row(rows *archive.Rows, i int) error {
	p := &framePoint{account: rows.String(rows.Account[i]), begin: rows.Time[i], end: rows.Time[i], at: placeOf(rows, i),
		Groupby: map[string]string{}, Metadata: map[string]string{}}
	end, err := p.read(restOf(rows, i))
	if err != nil {
		return fmt.Errorf("data of the event at offset %d: %w", rows.Offset[i], err)
	}
	if micros, ok := schemas.ParseTime([]byte(end)); ok {
		p.end = micros
	}
	p.Vol.Qty = rows.Quantity[i]
	if len(rows.Amount) > 0 && rows.Amount[i] != archive.NullDecimal {
		p.Rating.Price = rows.Amount[i]
	}
	if !s.passes(p) {
		return nil
	}
	if signOf(rows, i) < 0 {
		s.taken[p.content()]++
		return nil
	}
	if len(s.points) == maxFramePoints {
		return &api.Failure{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf("more than %d points match; "+tooManyFramesFor, maxFramePoints)}
	}
	s.points = append(s.points, p)
	return nil
}

// read takes what has no columns from an event's data.
func (p *framePoint) read(data []byte) (end string, err error) {
	var all map[string]json.RawMessage // a struct's names would not be told apart by case
	if err := json.Unmarshal(data, &all); err != nil {
		return "", err
	}
	for name, to := range map[string]any{"metric": &p.metric, "unit": &p.Vol.Unit, "end": &end, "groupby": &p.Groupby, "metadata": &p.Metadata} {
		if text := all[name]; len(text) > 0 && string(text) != "null" {
			if err := json.Unmarshal(text, to); err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return end, nil
}

// passes applies the filters: AND across keys, OR among values.
func (s *frameScan) passes(p *framePoint) bool {
	for key, allowed := range s.filters {
		if !slices.Contains(allowed, p.attribute(key)) {
			return false
		}
	}
	return true
}

// attribute is what the summary calls so, "" where the point has none.
func (p *framePoint) attribute(name string) string {
	switch name {
	case attrType:
		return p.metric
	case attrUnit:
		return p.Vol.Unit
	case attrAccount:
		if p.account == noProject {
			return ""
		}
		return p.account
	}
	if value, ok := p.Groupby[name]; ok {
		return value
	}
	return p.Metadata[name]
}

// content tells points apart as far as an answer does.
func (p *framePoint) content() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return fmt.Sprintf("%s %d %d %q %s", p.account, p.begin, p.end, p.metric, b)
}

// sorted are the points that are left when corrections have taken back theirs.
func (s *frameScan) sorted() []*framePoint {
	slices.SortFunc(s.points, func(a, b *framePoint) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.metric, b.metric),
			cmp.Compare(a.at.partition, b.at.partition), cmp.Compare(a.at.offset, b.at.offset), cmp.Compare(a.at.row, b.at.row))
	})
	if len(s.taken) == 0 {
		return s.points
	}
	return slices.DeleteFunc(s.points, func(p *framePoint) bool {
		key := p.content()
		if s.taken[key] == 0 {
			return false
		}
		s.taken[key]--
		return true
	})
}
