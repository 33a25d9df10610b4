package engine

import (
	"encoding/json"
	"slices"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// The family of rated.usage events has the dimensions metric, unit, groupby (a
// JSON object of the attributes that a data frame's point is grouped by) and
// metadata (a JSON array of its metadata's keys, whose values the archive
// has). A name of Attribute + X asks for attribute X: of groupby, and, in a
// filter of events that do not group by X, of metadata.
const (
	ratedFamily = "rated"
	Attribute   = "attribute."
)

// inRollups says whether the rollups of a family can tell the name.
func inRollups(f *schemas.Family, name string) bool {
	return f.Dim(name) >= 0 || f.Name == ratedFamily && strings.HasPrefix(name, Attribute)
}

// seriesValue is the value of a name in a series; fromArchive: its events may
// differ in it, and only the archive knows how.
func seriesValue(f *schemas.Family, s *seriesView, name string, filter bool) (value string, fromArchive bool) {
	if name == Account {
		return s.account, false
	}
	if i := f.Dim(name); i >= 0 {
		if i < len(s.dims) {
			return s.dims[i], false
		}
		return "", false // the family got the dimension after the series was made
	}
	attribute, ok := strings.CutPrefix(name, Attribute)
	if !ok {
		return "", true
	}
	if value, ok := s.attributes(f)[attribute]; ok {
		return scalarText(value), false
	}
	return "", filter && slices.Contains(s.metadata(f), attribute)
}

// seriesView is a series as names are read from it.
type seriesView struct {
	account string
	dims    []string
	parsed  map[string]json.RawMessage
}

func (s *seriesView) dim(f *schemas.Family, name string) string {
	if i := f.Dim(name); i >= 0 && i < len(s.dims) {
		return s.dims[i]
	}
	return ""
}

func (s *seriesView) attributes(f *schemas.Family) map[string]json.RawMessage {
	if s.parsed == nil {
		s.parsed = map[string]json.RawMessage{}
		// What is no object has no attributes.
		_ = json.Unmarshal([]byte(s.dim(f, "groupby")), &s.parsed)
	}
	return s.parsed
}

func (s *seriesView) metadata(f *schemas.Family) (keys []string) {
	_ = json.Unmarshal([]byte(s.dim(f, "metadata")), &keys) // as above
	return keys
}

// ratedName reads names of rated.usage events from their data.
func ratedName(name string) (nameReader, bool) {
	path := []string{name}
	switch name {
	case "metric", "unit":
	default:
		attribute, ok := strings.CutPrefix(name, Attribute)
		if !ok {
			return nameReader{}, false
		}
		text := func(r *archive.Rows, i int) string {
			if i >= len(r.Data.Ends) {
				return ""
			}
			data := r.Data.At(i)
			if value := jsonText(data, []string{"groupby", attribute}); value != "" {
				return value
			}
			return jsonText(data, []string{"metadata", attribute})
		}
		return nameReader{columns: []string{"data"}, key: interned(text), text: text}, true
	}
	text := func(r *archive.Rows, i int) string {
		if i >= len(r.Data.Ends) {
			return ""
		}
		return jsonText(r.Data.At(i), path)
	}
	return nameReader{columns: []string{"data"}, key: interned(text), text: text}, true
}
