package schemas

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/robfig/cron/v3"
)

// FieldProblem is what is wrong with one field, and what is allowed.
type FieldProblem struct {
	Field   string `json:"field"`
	Problem string `json:"error"`
}

// Quota is a subscription's limit.
type Quota struct {
	Limit      json.Number `json:"limit"`
	Period     string      `json:"period"`          // hour, day, month, or a cron expression of five fields
	Route      string      `json:"route,omitempty"` // an endpoint; "": all of the API version together
	Hard       *bool       `json:"hard"`            // nil: true
	Thresholds []int       `json:"thresholds"`      // percent of the limit; nil: 80 and 100
}

const maxThresholds = 10

// Check names the fields at fault, and fills in what was left out.
func (q *Quota) Check(at string) []FieldProblem {
	var bad []FieldProblem
	fault := func(field, format string, args ...any) {
		bad = append(bad, FieldProblem{at + field, at + field + " " + fmt.Sprintf(format, args...)})
	}
	if d, err := ParseDecimal([]byte(q.Limit)); err != nil || d.Cmp(Decimal{}) < 0 {
		fault("limit", "must be a number of 0 or more")
	}
	switch q.Period {
	case "hour", "day", "month":
	default:
		if len(q.Period) > 100 || strings.HasPrefix(q.Period, "@") || strings.Contains(q.Period, "TZ=") {
			fault("period", "must be hour, day, month or a cron expression of five fields")
		} else if _, err := cron.ParseStandard(q.Period); err != nil {
			fault("period", "must be hour, day, month or a cron expression of five fields")
		}
	}
	if q.Hard == nil {
		hard := true
		q.Hard = &hard
	}
	if q.Thresholds == nil {
		q.Thresholds = []int{80, 100}
	}
	for i, t := range q.Thresholds {
		if t < 1 || t > 1000 || len(q.Thresholds) > maxThresholds || i > 0 && t <= q.Thresholds[i-1] {
			fault("thresholds", "must be up to %d rising percentages from 1 to 1000", maxThresholds)
			break
		}
	}
	return bad
}
