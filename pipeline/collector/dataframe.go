package collector

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"tallybook/api"
	"tallybook/schemas"
)

const (
	dataframesPath = "/v2/dataframes"
	noProject      = "_none" // account of points that name none
	maxIdempotency = 255     // bytes of an Idempotency-Key
)

func (c *Collector) dataframeEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "POST", Path: dataframesPath, Access: api.Admin, Scope: api.Replace, Form: api.MessageForm, Timeout: -1, Handle: c.postDataframes},
	}
}

// postDataframes takes rated usage in CloudKitty's form: every point becomes a
// rated.usage event, or the request is refused and none does.
func (c *Collector) postDataframes(w http.ResponseWriter, r *http.Request) error {
	if c.cfg.Behind() {
		return unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	for name := range r.URL.Query() {
		return api.Invalid(name, "unknown parameter %q; there are none here", name)
	}
	form, p := formOf(r.Header)
	if p == nil && form&oneEvent == 0 {
		p = refuse(http.StatusUnsupportedMediaType, "content type %q is not taken here; application/json is", r.Header.Get("Content-Type"))
	}
	if p != nil {
		return refused(w, p)
	}
	prefix, err := pointPrefix(r.Header.Values("Idempotency-Key"))
	if err != nil {
		return err
	}
	l := c.newLoad()
	defer l.drop()
	body, p := c.read(w, r, l)
	if p != nil {
		return refused(w, p)
	}
	points, err := c.parseDataframes(body)
	if err != nil {
		return err
	}
	in := &intake{events: make([]event, len(points)), received: c.cfg.Now().Truncate(time.Millisecond)}
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	caller := api.CallerOf(r.Context())
	for i := range points {
		e := c.check(d, points[i].event(fmt.Sprint(prefix, i), caller), caller, in.received)
		if e.rejected != nil {
			c.metrics.rejected(e.rejected.Reason)
			return api.Invalid(points[i].path, "%s: %s", points[i].path, e.rejected.Message)
		}
		in.events[i] = e
	}
	if _, lost := c.store(r.Context(), l, in); lost > 0 {
		return unavailable(2*time.Second, again)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pointPrefix is what the ids of a request's points begin with: with an
// Idempotency-Key a repeat of the request has the same ids, and counts nothing.
func pointPrefix(keys []string) (string, error) {
	const name = "Idempotency-Key"
	switch {
	case len(keys) > 1:
		return "", api.Invalid(name, "%s was given twice", name)
	case len(keys) == 0 || keys[0] == "":
		var b [16]byte
		rand.Read(b[:])
		return hex.EncodeToString(b[:]) + "-", nil
	case len(keys[0]) > maxIdempotency:
		return "", api.Invalid(name, "%s may have up to %d bytes", name, maxIdempotency)
	}
	sum := sha256.Sum256([]byte("dataframes\x00" + keys[0]))
	return hex.EncodeToString(sum[:16]) + "-", nil
}

// ratedPoint is a point of a data frame, checked as far as its form goes.
type ratedPoint struct {
	path   string // where it stands in the body
	fields struct {
		Metric   string            `json:"metric"`
		Unit     string            `json:"unit"`
		Qty      json.RawMessage   `json:"qty"`
		Price    json.RawMessage   `json:"price"`
		Groupby  map[string]string `json:"groupby"`
		Metadata map[string]string `json:"metadata"`
		Begin    time.Time         `json:"begin"`
		End      time.Time         `json:"end"`
	}
}

// event is the point as a rated.usage event. Its account is the attribute
// project_id, else the one that the caller names.
func (p *ratedPoint) event(id string, caller api.Caller) []byte {
	account := cmp.Or(p.fields.Groupby["project_id"], caller.Account, noProject)
	own := schemas.Identity{ID: id, Source: dataframesPath, Account: account, Time: p.fields.Begin}
	return marshal(schemas.NewCloudEvent(own, schemas.TypeRatedUsage, &p.fields))
}

// parseDataframes holds a body against the form of summary-v2.md; the points come
// frame by frame, in each by metric.
func (c *Collector) parseDataframes(body []byte) (points []ratedPoint, err error) {
	if !jsontext.Value(body).IsValid() {
		return nil, api.Invalid("", "the body must be one JSON object in UTF-8, no name in it twice")
	}
	top, err := frameObject("", body, "dataframes")
	if err != nil {
		return nil, err
	}
	var frames []json.RawMessage
	if json.Unmarshal(top["dataframes"], &frames) != nil || len(frames) == 0 {
		return nil, api.Invalid("dataframes", "dataframes must be a list of data frames, not empty")
	}
	for i, text := range frames {
		path := fmt.Sprintf("dataframes[%d]", i)
		frame, err := frameObject(path, text, "period", "usage")
		if err != nil {
			return nil, err
		}
		begin, end, err := framePeriod(path+".period", frame["period"])
		if err != nil {
			return nil, err
		}
		var usage map[string][]json.RawMessage
		if json.Unmarshal(frame["usage"], &usage) != nil || usage == nil {
			return nil, api.Invalid(path+".usage", "%s.usage must be an object of lists of points, by metric", path)
		}
		for _, metric := range slices.Sorted(maps.Keys(usage)) {
			for n, text := range usage[metric] {
				if len(points) == c.cfg.MaxEvents {
					return nil, refuse(http.StatusRequestEntityTooLarge, "a request may have up to %d points", c.cfg.MaxEvents)
				}
				p := ratedPoint{path: fmt.Sprintf("%s.usage.%s[%d]", path, metric, n)}
				if err := p.parse(text); err != nil {
					return nil, err
				}
				p.fields.Metric, p.fields.Begin, p.fields.End = metric, begin, end
				points = append(points, p)
			}
		}
	}
	return points, nil
}

func framePeriod(path string, text json.RawMessage) (begin, end time.Time, err error) {
	period, err := frameObject(path, text, "begin", "end")
	if err != nil {
		return begin, end, err
	}
	for name, to := range map[string]*time.Time{"begin": &begin, "end": &end} {
		var said string
		if json.Unmarshal(period[name], &said) != nil {
			return begin, end, api.Invalid(path+"."+name, "%s.%s must be a string, an ISO 8601 date", path, name)
		}
		if *to, err = schemas.ParseISODate(said); err != nil || (*to).Year() < 1 || (*to).Year() > 9999 {
			return begin, end, api.Invalid(path+"."+name, "%s.%s: %.100q must be an ISO 8601 date such as 20190723T122810Z, from year 1 to 9999", path, name, said)
		}
	}
	return begin, end, nil
}

// parse reads {"vol": {"unit", "qty"}, "rating": {"price"}, "groupby", "metadata"}.
func (p *ratedPoint) parse(text json.RawMessage) error {
	point, err := frameObject(p.path, text, "vol", "groupby", "metadata", "rating?")
	if err != nil {
		return err
	}
	vol, err := frameObject(p.path+".vol", point["vol"], "unit", "qty")
	if err != nil {
		return err
	}
	if string(vol["unit"]) == "null" || json.Unmarshal(vol["unit"], &p.fields.Unit) != nil {
		return api.Invalid(p.path+".vol.unit", "%s.vol.unit must be a string", p.path)
	}
	if p.fields.Qty, err = frameNumber(p.path+".vol.qty", vol["qty"]); err != nil {
		return err
	}
	p.fields.Price = json.RawMessage("0")
	if rating, ok := point["rating"]; ok {
		members, err := frameObject(p.path+".rating", rating, "price?")
		if err != nil {
			return err
		}
		if price, ok := members["price"]; ok {
			if p.fields.Price, err = frameNumber(p.path+".rating.price", price); err != nil {
				return err
			}
		}
	}
	if p.fields.Groupby, err = frameTexts(p.path+".groupby", point["groupby"]); err != nil {
		return err
	}
	p.fields.Metadata, err = frameTexts(p.path+".metadata", point["metadata"])
	return err
}

// frameObject reads an object that has the given names and no others; one with
// a ? behind it may be missing.
func frameObject(path string, text json.RawMessage, names ...string) (members map[string]json.RawMessage, err error) {
	at := cmp.Or(path, "the body")
	if json.Unmarshal(text, &members) != nil || members == nil {
		return nil, api.Invalid(path, "%s must be an object", at)
	}
	for _, name := range names {
		if _, ok := members[strings.TrimSuffix(name, "?")]; !ok && !strings.HasSuffix(name, "?") {
			return nil, api.Invalid(strings.TrimPrefix(path+"."+name, "."), "%s: %s is required", at, name)
		}
	}
	for name := range members {
		if !slices.Contains(names, name) && !slices.Contains(names, name+"?") {
			return nil, api.Invalid(strings.TrimPrefix(path+"."+name, "."), "%s: unknown key %.100q", at, name)
		}
	}
	return members, nil
}

// frameNumber reads a number, or a string that holds one, and gives it as a number.
func frameNumber(path string, text json.RawMessage) (json.RawMessage, error) {
	var said string
	if json.Unmarshal(text, &said) == nil && string(text) != "null" {
		text = json.RawMessage(said)
	}
	if _, err := schemas.ParseDecimal(text); err != nil {
		return nil, api.Invalid(path, "%s: %v; it must be a number between -1000000000000 and 1000000000000, or a string of one", path, err)
	}
	return text, nil
}

// frameTexts reads an object of attributes. Values that are no strings become
// the strings that CloudKitty makes of them.
func frameTexts(path string, text json.RawMessage) (map[string]string, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return nil, api.Invalid(path, "%s must be an object of strings", path)
	}
	texts := make(map[string]string, len(members))
	for name, value := range members {
		switch said := string(value); said[0] {
		case '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, err
			}
			texts[name] = s
		case 't':
			texts[name] = "True"
		case 'f':
			texts[name] = "False"
		case 'n':
			texts[name] = "None"
		case '{', '[':
			return nil, api.Invalid(path+"."+name, "%s.%s must be a string", path, name)
		default:
			texts[name] = said
		}
	}
	return texts, nil
}
