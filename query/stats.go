package query

import (
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

// maxStats bounds the windows of an answer.
const maxStats = 10_000

// stats answers counts of a domain of the account, or of all that the account
// sent, window by window: those of start and of end and what lies between, whole.
func (q *Server) stats(w http.ResponseWriter, r *http.Request) error {
	account, err := statsAccount(r)
	if err != nil {
		return err
	}
	p, err := q.statsParameters(r, "start", "end", "duration")
	if err != nil {
		return err
	}
	starts, err := p.windows()
	if err != nil {
		return err
	}
	filters := map[string][]string{"event": p.events}
	if domain, ok := mux.Vars(r)["domain"]; ok {
		domain = schemas.MailDomain(domain)
		if err := q.ownDomain(r, account, domain); err != nil {
			return err
		}
		filters["domain"] = []string{domain}
	}
	first, last := starts[0], starts[len(starts)-1]
	answers, err := q.engine.Ask(r.Context(), &engine.Question{Family: schemas.FamilyEmail, From: first, To: p.resolution.next(last),
		Accounts: []string{account}, Filters: filters, GroupBy: mailNames, Window: engine.Window{Size: p.resolution.size()}})
	if err != nil {
		return err
	}
	stats := make([]*mailCounts, len(starts))
	for i, start := range starts {
		stats[i] = newMailCounts(statsFormat(start), p.events)
	}
	for _, g := range answers.Groups[0] {
		if i, ok := slices.BinarySearch(starts, g.Start); ok {
			stats[i].add(cellOf(g.Names), g.Count)
		}
	}
	answers.SetHeaders(w.Header())
	api.WriteJSON(w, http.StatusOK, struct {
		Start      string        `json:"start"`
		End        string        `json:"end"`
		Resolution resolution    `json:"resolution"`
		Stats      []*mailCounts `json:"stats"`
	}{statsFormat(first), statsFormat(last), p.resolution, stats})
	return nil
}

// size is the engine's word for the windows.
func (r resolution) size() engine.Size {
	return map[resolution]engine.Size{"hour": engine.Hour, "day": engine.Day, "month": engine.Month}[r]
}

// windows are the starts of all windows that are asked for.
func (p *statsParams) windows() (starts []int64, err error) {
	switch {
	case p.duration != "":
		if p.start, err = before(p.end, p.duration); err != nil {
			return nil, err
		}
	case !p.started:
		p.start = p.end - 7*24*time.Hour.Microseconds()
	}
	if p.start > p.end {
		return nil, api.Invalid("start", "start must not be after end")
	}
	end := p.resolution.start(p.end)
	for at := p.resolution.start(max(p.start, firstInstant)); at <= end; at = p.resolution.next(at) {
		if len(starts) == maxStats {
			return nil, api.Invalid("start", "from start to end there may be %d windows of a %s; ask for fewer", maxStats, p.resolution)
		}
		starts = append(starts, at)
	}
	return starts, nil
}

func badDuration(text string) error {
	return api.Invalid("duration", "duration must be a whole number and h, d or m (month), such as 24h, 7d or 1m, not %.100q", text)
}

// before is the instant a duration before end. It takes the place of start.
func before(end int64, duration string) (int64, error) {
	n, ok := digits(duration[:len(duration)-1], 1, 6)
	if !ok {
		return 0, badDuration(duration)
	}
	t := time.UnixMicro(end).UTC()
	switch duration[len(duration)-1] {
	case 'h':
		t = t.Add(-time.Duration(n) * time.Hour)
	case 'd':
		t = t.AddDate(0, 0, -n)
	case 'm':
		t = monthsBefore(t, n)
	default:
		return 0, badDuration(duration)
	}
	return t.UnixMicro(), nil
}

// monthsBefore is the same day of an earlier month, or that month's last.
func monthsBefore(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()-time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// ownDomain is a 404 where the domain is not the account's.
func (q *Server) ownDomain(r *http.Request, account, domain string) error {
	all, err := q.cfg.Store.Domains(r.Context(), account, "", 0)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(d store.Domain) bool { return d.Domain == domain }) {
		return api.NotFound("the account has no domain %.255q", domain)
	}
	return nil
}
