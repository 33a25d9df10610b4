package engine

import (
	"encoding/json"
	"slices"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// Attribute begins the names of a data frame point's attributes, in questions
// about FamilyRated: Attribute + "flavor" is what the point is grouped by under
// that name, and in Filters, where it is not grouped by it, its metadata of that
// name. The rollups have of metadata the names alone, so that such a filter
// needs the archive, for the series that have the name.
const Attribute = "attribute."

// inRollups says whether the rollups of a family can tell the name.
func inRollups(f *schemas.Family, name string) bool {
	if f == schemas.FamilyRated {
		return name == Account || name == "metric" || name == "unit" || strings.HasPrefix(name, Attribute)
	}
	return name == Account || f.Dim(name) >= 0
}

// seriesView is a series as names are read from it.
type seriesView struct {
	family  *schemas.Family
	account string
	dims    []string
	parsed  map[string]string
}

// value is that of a name which inRollups knows.
func (s *seriesView) value(name string) string {
	if name == Account {
		return s.account
	}
	if attribute, ok := strings.CutPrefix(name, Attribute); ok && s.family == schemas.FamilyRated {
		return s.attributes()[attribute]
	}
	if i := s.family.Dim(name); i < len(s.dims) {
		return s.dims[i]
	}
	return "" // the family got the dimension after the series was made
}

// byMetadata says that a filter by this name divides the series' events.
func (s *seriesView) byMetadata(name string) bool {
	attribute, ok := strings.CutPrefix(name, Attribute)
	if !ok || s.family != schemas.FamilyRated {
		return false
	}
	if _, grouped := s.attributes()[attribute]; grouped {
		return false
	}
	var names []string
	// What is no list has no names.
	_ = json.Unmarshal([]byte(s.value("metadata")), &names)
	return slices.Contains(names, attribute)
}

func (s *seriesView) attributes() map[string]string {
	if s.parsed == nil {
		s.parsed = map[string]string{}
		// What is no object has no attributes.
		_ = json.Unmarshal([]byte(s.value("groupby")), &s.parsed)
	}
	return s.parsed
}

// ratedPoint is the part of a rated.usage event's data that names are read from.
type ratedPoint struct {
	Metric, Unit      string
	Groupby, Metadata map[string]string
}

// ratedReader decodes a row's point once for all names.
type ratedReader struct {
	row   int
	point ratedPoint
}

func (d *ratedReader) at(r *archive.Rows, i int) *ratedPoint {
	if d.row != i {
		d.row, d.point = i, ratedPoint{}
		if i < len(r.Data.Ends) {
			d.point.read(r.Data.At(i))
		}
	}
	return &d.point
}

// read takes the names that the rules know; a struct would take "Metric" too.
// What came was held against the rules, so that no error is met.
func (p *ratedPoint) read(data []byte) {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(data, &all)
	for name, to := range map[string]any{"metric": &p.Metric, "unit": &p.Unit, "groupby": &p.Groupby, "metadata": &p.Metadata} {
		if text, ok := all[name]; ok {
			_ = json.Unmarshal(text, to)
		}
	}
}

// name reads a name of FamilyRated; filter: metadata too.
func (d *ratedReader) name(name string, filter bool) (nameReader, bool) {
	var of func(p *ratedPoint) string
	attribute, isAttribute := strings.CutPrefix(name, Attribute)
	switch {
	case name == "metric":
		of = func(p *ratedPoint) string { return p.Metric }
	case name == "unit":
		of = func(p *ratedPoint) string { return p.Unit }
	case isAttribute:
		of = func(p *ratedPoint) string {
			value, grouped := p.Groupby[attribute]
			if !grouped && filter {
				value = p.Metadata[attribute]
			}
			return value
		}
	default:
		return nameReader{}, false
	}
	text := func(r *archive.Rows, i int) string { return of(d.at(r, i)) }
	return nameReader{columns: []string{"data"}, key: interned(text), text: text}, true
}

// byMetadata says of a row what seriesView.byMetadata says of its series.
func (d *ratedReader) byMetadata(r *archive.Rows, i int, filters map[string][]string) bool {
	p := d.at(r, i)
	for name := range filters {
		attribute, ok := strings.CutPrefix(name, Attribute)
		_, grouped := p.Groupby[attribute]
		if _, has := p.Metadata[attribute]; ok && !grouped && has {
			return true
		}
	}
	return false
}
