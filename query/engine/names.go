package engine

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// Prefixes of names that the archive answers: a name under data.dimensions, and
// a path of names in what no column holds of data.
const (
	dimensionsPrefix = "dimensions."
	dataPrefix       = "data."
)

// nameReader reads a name from the archive rows of one file. Rows of equal
// keys have equal texts.
type nameReader struct {
	columns []string
	key     func(r *archive.Rows, i int) uint32
	text    func(r *archive.Rows, i int) string
}

// columnName is how the archive rows of a topic have the name; ok is false
// where they cannot. The source is none: a row that takes an event away has
// that of the correction, so that the event would stay in its group.
func columnName(topic schemas.Topic, name string) (nameReader, bool) {
	switch {
	case name == Account:
		return codeReader("account", func(r *archive.Rows) []archive.Code { return r.Account }), true
	case name == "type":
		return codeReader(name, func(r *archive.Rows) []archive.Code { return r.Type }), true
	case name == "status" && topic != schemas.Emails:
		return statusReader(), true
	}
	if rest, ok := strings.CutPrefix(name, dimensionsPrefix); ok && rest != "" && topic == schemas.Usage {
		return dimensionReader(rest), true
	}
	if rest, ok := strings.CutPrefix(name, dataPrefix); ok && rest != "" {
		return dataReader(strings.Split(rest, ".")), true
	}
	field := schemas.Field(slices.Index(schemas.FieldNames[:], name))
	if field >= schemas.Region || !schemas.TopicFields[topic].Has(field) {
		return nameReader{}, false
	}
	return codeReader(name, func(r *archive.Rows) []archive.Code { return r.Strings[field] }), true
}

func codeReader(column string, codes func(*archive.Rows) []archive.Code) nameReader {
	at := func(r *archive.Rows, i int) archive.Code {
		if c := codes(r); i < len(c) {
			return c[i]
		}
		return 0
	}
	return nameReader{columns: []string{column},
		key:  func(r *archive.Rows, i int) uint32 { return uint32(at(r, i)) },
		text: func(r *archive.Rows, i int) string { return r.String(at(r, i)) }}
}

func statusReader() nameReader {
	at := func(r *archive.Rows, i int) int32 {
		if i < len(r.Status) {
			return r.Status[i]
		}
		return archive.NullInt32
	}
	return nameReader{columns: []string{"status"},
		key: func(r *archive.Rows, i int) uint32 { return uint32(at(r, i)) },
		text: func(r *archive.Rows, i int) string {
			if at(r, i) == archive.NullInt32 {
				return ""
			}
			return strconv.Itoa(int(at(r, i)))
		}}
}

// dimensionReader reads a name of data.dimensions, a JSON object of strings.
func dimensionReader(name string) nameReader {
	whole := codeReader("dimensions", func(r *archive.Rows) []archive.Code { return r.Dimensions })
	read := whole.text
	whole.text = func(r *archive.Rows, i int) string {
		text := read(r, i)
		if text == "" {
			return ""
		}
		var all map[string]string
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return "" // no object of strings: it has no such name
		}
		return all[name]
	}
	return whole
}

// mailEventReader reads the event's name, which stands in its type where data
// does not repeat it.
func mailEventReader() nameReader {
	named := codeReader("event", func(r *archive.Rows) []archive.Code { return r.Strings[schemas.MailEvent] })
	kind := codeReader("type", func(r *archive.Rows) []archive.Code { return r.Type })
	const ofType = 1 << 31
	return nameReader{columns: []string{"event", "type"},
		key: func(r *archive.Rows, i int) uint32 {
			if k := named.key(r, i); k != 0 {
				return k
			}
			return kind.key(r, i) | ofType
		},
		text: func(r *archive.Rows, i int) string {
			if text := named.text(r, i); text != "" {
				return text
			}
			return strings.TrimPrefix(kind.text(r, i), schemas.EmailPrefix)
		}}
}

// dataReader reads a path of names in what no column holds of an event's data.
func dataReader(path []string) nameReader {
	text := func(r *archive.Rows, i int) string {
		if i >= len(r.Data.Ends) {
			return ""
		}
		return jsonText(r.Data.At(i), path)
	}
	return nameReader{columns: []string{"data"}, key: interned(text), text: text}
}

// interned numbers the texts of a file.
func interned(text func(*archive.Rows, int) string) func(*archive.Rows, int) uint32 {
	seen := map[string]uint32{}
	return func(r *archive.Rows, i int) uint32 {
		t := text(r, i)
		n, ok := seen[t]
		if !ok {
			n = uint32(len(seen))
			seen[t] = n
		}
		return n
	}
}

// jsonText is the value at a path: a string's content, another value's JSON,
// "" where there is none or null.
func jsonText(data []byte, path []string) string {
	for _, name := range path {
		var object map[string]json.RawMessage
		if len(data) == 0 || json.Unmarshal(data, &object) != nil {
			return ""
		}
		data = object[name]
	}
	if len(data) == 0 || string(data) == "null" {
		return ""
	}
	var text string
	if data[0] == '"' && json.Unmarshal(data, &text) == nil {
		return text
	}
	return string(data)
}
