package query

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
)

func (q *Server) totalsEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v3/accounts/totals", Also: []string{"/v3/account/totals", "/accounts/totals"},
			Access: api.Account, Form: api.MessageForm, Handle: q.totals},
		{Method: "GET", Path: "/v3/stats/total", Access: api.Account, Form: api.MessageForm, Handle: q.stats},
		{Method: "GET", Path: "/v3/{domain}/stats/total", Access: api.Account, Form: api.MessageForm, Handle: q.stats},
	}
}

// totals answers one count for every domain that is registered for the account,
// silent ones too. A domain that is not registered is not there, whatever it sent.
func (q *Server) totals(w http.ResponseWriter, r *http.Request) error {
	account, err := statsAccount(r)
	if err != nil {
		return err
	}
	p, err := q.statsParameters(r, "timestamp")
	if err != nil {
		return err
	}
	from := p.resolution.start(p.timestamp)
	at := statsFormat(from)
	stats := map[string][]*mailCounts{}
	positions, err := q.mails.totals(r.Context(), q.cfg.Store, mailWindow{account, from, p.resolution.next(from)}, func(domain string, counts []int64) {
		c := newMailCounts(at, p.events)
		for cell, n := range counts {
			c.add(mailCell(cell), n)
		}
		stats[domain] = []*mailCounts{c}
	})
	if err != nil {
		return err
	}
	w.Header().Set("X-Data-Through", engine.Through(positions))
	w.Header().Set("X-Data-Source", "rollups")
	api.WriteJSON(w, http.StatusOK, struct {
		Resolution resolution               `json:"resolution"`
		Timestamp  string                   `json:"timestamp"`
		Stats      map[string][]*mailCounts `json:"stats"`
	}{p.resolution, at, stats})
	return nil
}

// statsAccount is the account that is asked for: a blank header is a mistake,
// also beside a key that names one.
func statsAccount(r *http.Request) (string, error) {
	for _, named := range r.Header.Values("X-Account-ID") {
		if strings.TrimSpace(named) == "" {
			return "", api.Invalid("X-Account-ID", "X-Account-ID must name an account")
		}
	}
	return api.CallerOf(r.Context()).RequireAccount()
}

// resolution is the length of the windows of statistics, in UTC.
type resolution string

var resolutions = []resolution{"hour", "day", "month"}

// start is the start of the window that an instant lies in.
func (r resolution) start(micros int64) int64 {
	switch r {
	case "hour":
		return schemas.HourOf(micros).Time().UnixMicro()
	case "day":
		return schemas.DayOf(micros).Time().UnixMicro()
	}
	return schemas.DayOf(micros).MonthStart().Time().UnixMicro()
}

// next is the start of the window behind the one that starts at from.
func (r resolution) next(from int64) int64 {
	switch r {
	case "hour":
		return from + time.Hour.Microseconds()
	case "day":
		return from + 24*time.Hour.Microseconds()
	}
	return schemas.DayOf(from).MonthEnd().Time().UnixMicro()
}

// statsFormat is the form of times in answers: Tue, 22 Jan 2019 00:00:00 UTC.
func statsFormat(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC1123) }

// statsParams are the parameters of totals and stats.
type statsParams struct {
	events         []string // each once
	resolution     resolution
	timestamp      int64 // default now, as end
	start, end     int64
	started, ended bool // start, end was given
	duration       string
}

// statsParameters reads the parameters; names are those that may stand beside
// event and resolution.
func (q *Server) statsParameters(r *http.Request, names ...string) (*statsParams, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.Invalid("", "the query string does not parse: %v", err)
	}
	names = append([]string{"event", "resolution"}, names...)
	for name, list := range values {
		if !slices.Contains(names, name) {
			return nil, api.Invalid(name, "unknown parameter %q; allowed are %s", name, strings.Join(names, ", "))
		}
		if len(list) > 1 && name != "event" {
			return nil, api.Invalid(name, "%s was given %d times", name, len(list))
		}
	}
	now := q.cfg.Now().UnixMicro()
	p := &statsParams{resolution: "day", timestamp: now, end: now, duration: values.Get("duration")}
	for _, event := range values["event"] {
		if !slices.Contains(statsEvents, event) {
			return nil, api.Invalid("event", "event must be one of %s, not %.100q", strings.Join(statsEvents, ", "), event)
		}
		if !slices.Contains(p.events, event) {
			p.events = append(p.events, event)
		}
	}
	if len(p.events) == 0 {
		return nil, api.Invalid("event", "event is required, once or more: %s", strings.Join(statsEvents, ", "))
	}
	if values.Has("resolution") {
		if p.resolution = resolution(values.Get("resolution")); !slices.Contains(resolutions, p.resolution) {
			return nil, api.Invalid("resolution", "resolution must be hour, day or month, not %.100q", p.resolution)
		}
	}
	for name, to := range map[string]*int64{"timestamp": &p.timestamp, "start": &p.start, "end": &p.end} {
		if values.Has(name) {
			if *to, err = statsTime(name, values.Get(name)); err != nil {
				return nil, err
			}
		}
	}
	p.started, p.ended = values.Has("start"), values.Has("end")
	if values.Has("duration") && p.duration == "" {
		return nil, badDuration(p.duration)
	}
	return p, nil
}
