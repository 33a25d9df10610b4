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
	m, err := q.meterOf(r.Context(), mux.Vars(r)["slug"])
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, viewOf(m))
	return nil
}
