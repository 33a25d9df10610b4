package schemas

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// schema reads a topic's JSON Schema; numbers stay as text.
func schema(t *testing.T, topic Topic) map[string]any {
	t.Helper()
	text, ok := JSONSchema(string(topic))
	if !ok {
		t.Fatalf("no schema of %s", topic)
	}
	return parseJSON(t, string(text)).(map[string]any)
}

func parseJSON(t *testing.T, text string) (v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return v
}

// checker is as much of JSON Schema 2020-12 as our files use; another keyword
// panics, so that no rule is passed over.
type checker struct{ defs map[string]any }

func (c checker) valid(schema, v any) bool {
	if b, ok := schema.(bool); ok {
		return b
	}
	rules := schema.(map[string]any)
	for keyword, arg := range rules {
		if !c.holds(rules, keyword, arg, v) {
			return false
		}
	}
	return true
}

func (c checker) holds(rules map[string]any, keyword string, arg, v any) bool {
	valid := func(s any) bool { return c.valid(s, v) }
	object, isObject := v.(map[string]any)
	text, isText := v.(string)
	list, isList := v.([]any)
	number, isNumber := new(big.Rat), false
	if n, ok := v.(json.Number); ok {
		number, isNumber = number.SetString(n.String())
	}
	switch keyword {
	case "$schema", "$id", "$defs", "$comment", "title", "description", "format":
		return true
	case "then": // with "if"
		return rules["if"] != nil
	case "if":
		return !valid(arg) || valid(rules["then"])
	case "$ref":
		return valid(c.defs[strings.TrimPrefix(arg.(string), "#/$defs/")])
	case "allOf":
		return !slices.ContainsFunc(arg.([]any), func(s any) bool { return !valid(s) })
	case "anyOf":
		return slices.ContainsFunc(arg.([]any), valid)
	case "not":
		return !valid(arg)
	case "type":
		kinds, ok := arg.([]any)
		if !ok {
			kinds = []any{arg}
		}
		return slices.ContainsFunc(kinds, func(k any) bool {
			return k == "null" && v == nil || k == "object" && isObject || k == "string" && isText || k == "array" && isList ||
				k == "number" && isNumber || k == "integer" && isNumber && number.IsInt()
		})
	case "const":
		return arg == v
	case "enum":
		return slices.Contains(arg.([]any), v)
	case "required":
		return !isObject || !slices.ContainsFunc(arg.([]any), func(name any) bool {
			_, there := object[name.(string)]
			return !there
		})
	case "properties":
		for name, s := range arg.(map[string]any) {
			if member, there := object[name]; there && !c.valid(s, member) {
				return false
			}
		}
		return true
	case "additionalProperties": // where there are no "properties"
		for _, member := range object {
			if !c.valid(arg, member) {
				return false
			}
		}
		return rules["properties"] == nil
	case "pattern":
		return !isText || regexp.MustCompile(arg.(string)).MatchString(text)
	}
	limit, ok := new(big.Rat).SetString(arg.(json.Number).String())
	if !ok {
		panic(arg)
	}
	length := big.NewRat(int64(utf8.RuneCountInString(text)), 1)
	switch keyword {
	case "minProperties":
		return !isObject || len(object) > 0
	case "minItems":
		return !isList || len(list) > 0
	case "minLength":
		return !isText || length.Cmp(limit) >= 0
	case "maxLength":
		return !isText || length.Cmp(limit) <= 0
	case "minimum":
		return !isNumber || number.Cmp(limit) >= 0
	case "maximum":
		return !isNumber || number.Cmp(limit) <= 0
	case "exclusiveMinimum":
		return !isNumber || number.Cmp(limit) > 0
	case "exclusiveMaximum":
		return !isNumber || number.Cmp(limit) < 0
	}
	panic(fmt.Sprintf("keyword %s: %v", keyword, arg))
}

// Schema and code must say the same of every example, but for those that are
// marked beyond a schema's words.
func TestExamplesAgainstJSONSchemas(t *testing.T) {
	for _, e := range ruleExamples {
		s := schema(t, e.topic)
		check := checker{s["$defs"].(map[string]any)}
		got := check.valid(s, parseJSON(t, e.record))
		if want := e.reason == "" || e.beyond; got != want {
			t.Errorf("%s %.300s: schema says %v, want %v", e.topic, e.record, got, want)
		}
	}
}

func TestJSONSchemaNames(t *testing.T) {
	for _, topic := range Topics {
		s := schema(t, topic)
		defs := s["$defs"].(map[string]any)
		properties := defs["data"].(map[string]any)["properties"].(map[string]any)
		for c := range numColumns {
			name := strings.TrimPrefix(columnPaths[c], "data.")
			if _, got := properties[name]; got != topicColumns(topic).has(c) {
				t.Errorf("%s: schema has property %s: %v, want %v", topic, name, got, !got)
			}
		}
		if got, want := len(properties), topicColumnCount(topic); got != want {
			t.Errorf("%s: schema has %d properties of data, want %d", topic, got, want)
		}
		if got, want := s["$id"], "/schemas/"+string(topic)+".json"; got != want {
			t.Errorf("%s: got $id %s, want %s", topic, got, want)
		}
	}
	for _, name := range []string{"", "other", "usage.json", "../event", "json/usage"} {
		if text, ok := JSONSchema(name); ok {
			t.Errorf("%q: got a schema of %d bytes, want none", name, len(text))
		}
	}
}

func topicColumnCount(topic Topic) (n int) {
	for c := range numColumns {
		if topicColumns(topic).has(c) {
			n++
		}
	}
	return n
}

// Leaving out or emptying a field that a rule requires must be refused by both,
// and by nothing else.
func TestJSONSchemaRequired(t *testing.T) {
	for name, rule := range typeRules {
		if rule.refuse != "" || rule.correction || name == TypeMailgunWebhook || name == TypeMandrill {
			continue // the last two have a provider's fields, not ours
		}
		if name == EmailPrefix {
			name += EmailEvents[0]
		}
		s := schema(t, rule.topic)
		check := checker{s["$defs"].(map[string]any)}
		for c := range numColumns {
			if !topicColumns(rule.topic).has(c) {
				continue
			}
			required := c == colStatus && rule.status || slices.Contains(rule.required, Field(c))
			data := map[string]any{}
			for _, f := range rule.required {
				data[FieldNames[f]] = "x"
			}
			if rule.status {
				data["status"] = json.Number("200")
			}
			if name == TypeRatedUsage { // its own fields have no columns
				data["metric"], data["qty"] = "m", json.Number("1")
			}
			if name == TypeAppEvent {
				data["data"] = map[string]any{"x": "y"}
			}
			data[strings.TrimPrefix(columnPaths[c], "data.")] = nil // null is absent
			event := map[string]any{"specversion": "1.0", "id": "i", "source": "s", "type": name, "data": data}
			record, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			var d Decoder
			var ev Event
			if rejection := d.Decode(rule.topic, record, &ev); rejection != nil {
				t.Fatal(rejection)
			}
			rejection := DefaultRules().Validate(rule.topic, &ev, 0)
			if got := rejection != nil && rejection.Reason == MissingField && rejection.Field == columnPaths[c]; got != required {
				t.Errorf("%s without %s: got %v, want required=%v", name, columnPaths[c], rejection, required)
			}
			if got := !check.valid(s, parseJSON(t, string(record))); got != required {
				t.Errorf("%s without %s: schema refuses: %v, want %v", name, columnPaths[c], got, required)
			}
		}
	}
}
