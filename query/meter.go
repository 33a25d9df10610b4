package query

import (
	"net/http"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
)

// meterView is a meter as the API shows it.
type meterView struct {
	Slug          string            `json:"slug"`
	Description   string            `json:"description"`
	EventType     string            `json:"eventType"`
	Aggregation   string            `json:"aggregation"`
	ValueProperty string            `json:"valueProperty,omitempty"`
	GroupBy       map[string]string `json:"groupBy"`
}

var valueProperties = map[schemas.Measure]string{
	schemas.MeasureQuantity: "$.quantity",
	schemas.MeasureValue:    "$.latency_ms",
	schemas.MeasureBytes:    "$.bytes",
}

func viewOf(m schemas.Meter) meterView {
	v := meterView{Slug: m.Slug, Description: m.Description, EventType: m.EventType,
		Aggregation: string(m.Aggregation), ValueProperty: valueProperties[m.Measure],
		GroupBy: make(map[string]string, len(m.GroupBy))}
	for _, d := range m.GroupBy {
		path := "$." + d
		if d == schemas.FieldNames[schemas.Region] {
			path = "$.dimensions." + d
		}
		v.GroupBy[d] = path
	}
	return v
}

func (q *Server) listMeters(w http.ResponseWriter, r *http.Request) error {
	views := make([]meterView, 0, len(schemas.Meters))
	for _, m := range schemas.Meters {
		views = append(views, viewOf(m))
	}
	api.WriteJSON(w, http.StatusOK, views)
	return nil
}

func (q *Server) getMeter(w http.ResponseWriter, r *http.Request) error {
	m, err := meterOf(r)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, viewOf(m))
	return nil
}

func meterOf(r *http.Request) (schemas.Meter, error) {
	slug := mux.Vars(r)["slug"]
	m, ok := schemas.MeterBySlug(slug)
	if !ok {
		return m, api.NotFound("there is no meter %q; GET /api/v1/meters lists them", slug)
	}
	return m, nil
}

// valueOf is what the meter reads of a group's sums; false: it has no value.
func valueOf(m schemas.Meter, x *schemas.Measures) (schemas.Decimal, bool) {
	switch m.Measure {
	case schemas.MeasureValue:
		if x.ValueCount <= 0 {
			return schemas.Decimal{}, false
		}
		if m.Aggregation == schemas.Avg {
			return average(x.ValueSum, x.ValueCount), true
		}
		return x.ValueSum, true
	case schemas.MeasureQuantity:
		return x.Quantity, x.Count != 0
	case schemas.MeasureBytes:
		return schemas.DecimalFromInt(x.Bytes), x.Count != 0
	default:
		return schemas.DecimalFromInt(x.Count), x.Count != 0
	}
}
