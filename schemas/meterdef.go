package schemas

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MeterDefinition is a meter as it is declared, in the configuration or through
// the API (meters.md).
type MeterDefinition struct {
	Slug          string            `json:"slug"`
	Name          string            `json:"name,omitempty"` // for people, as OpenMeter's SDK sends it
	Description   string            `json:"description,omitempty"`
	EventType     string            `json:"eventType"` // a type, or a prefix of types and ".*"
	Aggregation   Aggregation       `json:"aggregation"`
	ValueProperty string            `json:"valueProperty,omitempty"` // JSONPath; none for COUNT
	GroupBy       map[string]string `json:"groupBy,omitempty"`       // name → JSONPath
	Percentiles   []float64         `json:"percentiles,omitempty"`   // of PERCENTILE
}

// Limits of a meter's definition.
const (
	MaxSlug        = 63
	MaxMeters      = 200 // declared ones that are not deleted
	MaxGroupBy     = 16
	MaxPath        = 512
	MaxPercentiles = 16
	MaxComment     = 1024 // of a description
)

// FieldError is a definition's field that is not allowed, and what is.
type FieldError struct{ Field, Message string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// MeterFamilyPrefix begins the family names of declared meters.
const MeterFamilyPrefix = "meter:"

// MeterFamilyName is the family of one version of a declared meter.
func MeterFamilyName(slug string, version int) string {
	return fmt.Sprintf("%s%s:%d", MeterFamilyPrefix, slug, version)
}

// IsMeterFamily reports whether a family's name is that of a declared meter.
func IsMeterFamily(name string) bool { return strings.HasPrefix(name, MeterFamilyPrefix) }

// Check holds the definition against the rules; its error is a *FieldError.
func (d *MeterDefinition) Check() error {
	if !isName(d.Slug) || d.Slug != strings.ToLower(d.Slug) {
		return &FieldError{"slug", fmt.Sprintf("%q: a slug has 1 to %d characters of a-z, 0-9 and _", d.Slug, MaxSlug)}
	}
	if len(d.Name) > MaxComment {
		return &FieldError{"name", fmt.Sprintf("may have up to %d bytes", MaxComment)}
	}
	if len(d.Description) > MaxComment {
		return &FieldError{"description", fmt.Sprintf("may have up to %d bytes", MaxComment)}
	}
	if err := checkMeterType(d.EventType); err != nil {
		return err
	}
	if !slices.Contains(Aggregations, d.Aggregation) {
		return &FieldError{"aggregation", fmt.Sprintf("must be one of %v", Aggregations)}
	}
	if err := d.checkValue(); err != nil {
		return err
	}
	if len(d.GroupBy) > MaxGroupBy {
		return &FieldError{"groupBy", fmt.Sprintf("may have up to %d names", MaxGroupBy)}
	}
	for _, name := range slices.Sorted(maps.Keys(d.GroupBy)) {
		if !isName(name) {
			return &FieldError{"groupBy", fmt.Sprintf("%q: a name has 1 to %d characters of a-z, A-Z, 0-9 and _", name, MaxSlug)}
		}
		if name == "subject" {
			return &FieldError{"groupBy", "subject stands for the account of an event; choose another name"}
		}
		if _, err := ParsePath(d.GroupBy[name]); err != nil {
			return &FieldError{"groupBy." + name, err.Error()}
		}
	}
	return nil
}

func (d *MeterDefinition) checkValue() error {
	if d.Aggregation == Count {
		if d.ValueProperty != "" {
			return &FieldError{"valueProperty", "COUNT counts events; it takes no valueProperty"}
		}
	} else if _, err := ParsePath(d.ValueProperty); err != nil {
		return &FieldError{"valueProperty", err.Error()}
	}
	switch {
	case d.Aggregation != Percentile && len(d.Percentiles) > 0:
		return &FieldError{"percentiles", "only aggregation PERCENTILE takes percentiles"}
	case d.Aggregation == Percentile && (len(d.Percentiles) == 0 || len(d.Percentiles) > MaxPercentiles):
		return &FieldError{"percentiles", fmt.Sprintf("PERCENTILE needs 1 to %d percentiles, such as [50, 95, 99]", MaxPercentiles)}
	}
	for i, p := range d.Percentiles {
		if !(p >= 0 && p <= 100) || slices.Contains(d.Percentiles[:i], p) { // NaN is neither
			return &FieldError{"percentiles", "must be different numbers from 0 to 100"}
		}
	}
	return nil
}

func isName(text string) bool {
	for _, c := range []byte(text) {
		if lower := c | 0x20; (lower < 'a' || lower > 'z') && !isDigit(c) && c != '_' {
			return false
		}
	}
	return text != "" && len(text) <= MaxSlug
}

// unmetered are the types that never reach a meter, with what to use instead.
var unmetered = map[string]string{
	TypeInternalError:  "use the built-in meter internal_errors",
	TypeRetracted:      "a retraction takes back what its event counted",
	TypeAmended:        "an amendment changes what its event counted",
	TypeMailgunWebhook: "it becomes an " + EmailPrefix + " event; meter that",
	TypeMandrill:       "it becomes an " + EmailPrefix + " event; meter that",
}

func checkMeterType(eventType string) error {
	const field = "eventType"
	name := strings.TrimSuffix(eventType, ".*")
	switch {
	case name == "" || len(eventType) > MaxType:
		return &FieldError{field, fmt.Sprintf("is required: an event type of up to %d bytes, or a prefix and .*", MaxType)}
	case hasControl([]byte(name)) || strings.Contains(name, "*"):
		return &FieldError{field, "must be an event type, or a prefix and .*"}
	case unmetered[eventType] != "":
		return &FieldError{field, "events of this type cannot be metered: " + unmetered[eventType]}
	}
	return nil
}

// MatchesType reports whether a meter of event type pattern counts events of a
// type. Types that are never metered match nothing.
func MatchesType(pattern, eventType string) bool {
	if pattern == eventType {
		return true
	}
	prefix, wild := strings.CutSuffix(pattern, "*")
	return wild && strings.HasPrefix(eventType, prefix) && unmetered[eventType] == ""
}

// MeterTopic is the topic whose events a meter counts: types that are not of
// another topic's own are on usage.
func MeterTopic(eventType string) Topic {
	if rule := typeRules[eventType]; rule != nil && rule.topic != "" {
		return rule.topic
	}
	if strings.HasPrefix(eventType, EmailPrefix) {
		return Emails
	}
	return Usage
}

// SameCount reports whether two definitions count alike: they differ in words
// only.
func (d *MeterDefinition) SameCount(other *MeterDefinition) bool {
	return d.Slug == other.Slug && d.EventType == other.EventType && d.Aggregation == other.Aggregation &&
		d.ValueProperty == other.ValueProperty && maps.Equal(d.GroupBy, other.GroupBy)
}

// NewMeter is a declared meter as queries and workers see it: a family of its
// own, whose dimensions are the sorted names of groupBy.
func NewMeter(d MeterDefinition, version int) (Meter, error) {
	if err := d.Check(); err != nil {
		return Meter{}, err
	}
	dims := slices.Sorted(maps.Keys(d.GroupBy))
	m := Meter{Slug: d.Slug, Description: d.Description, EventType: d.EventType, Aggregation: d.Aggregation,
		Measure: MeasureValue, GroupBy: dims, Percentiles: d.Percentiles, Definition: &d, Version: version,
		Family: &Family{Name: MeterFamilyName(d.Slug, version), Topic: MeterTopic(d.EventType), Dims: dims}}
	if d.Aggregation == Count {
		m.Measure = MeasureCount
	}
	return m, nil
}
