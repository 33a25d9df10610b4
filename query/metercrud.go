package query

import (
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// meterView is a meter as the API shows it; the last fields are of declared ones.
type meterView struct {
	Slug          string            `json:"slug"`
	Name          string            `json:"name,omitempty"`
	Description   string            `json:"description"`
	EventType     string            `json:"eventType"`
	Aggregation   string            `json:"aggregation"`
	ValueProperty string            `json:"valueProperty,omitempty"`
	GroupBy       map[string]string `json:"groupBy"`
	Percentiles   []float64         `json:"percentiles,omitempty"`

	Version   int        `json:"version,omitempty"`
	Origin    string     `json:"origin,omitempty"`
	CreatedAt *time.Time `json:"createdAt,omitempty"`
	// Complete: the past is filled in; until then the archive answers.
	Complete *bool `json:"complete,omitempty"`
}

var valueProperties = map[schemas.Measure]string{
	schemas.MeasureQuantity: "$.quantity",
	schemas.MeasureValue:    "$.latency_ms",
	schemas.MeasureBytes:    "$.bytes",
}

func builtInView(m schemas.Meter) meterView {
	v := meterView{Slug: m.Slug, Description: m.Description, EventType: m.EventType, Percentiles: m.Percentiles,
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

func declaredView(m store.DeclaredMeter) meterView {
	d := m.Definition
	v := meterView{Slug: d.Slug, Name: d.Name, Description: d.Description, EventType: d.EventType, Aggregation: string(d.Aggregation),
		ValueProperty: d.ValueProperty, GroupBy: d.GroupBy, Percentiles: d.Percentiles,
		Version: m.Version, Origin: string(m.Origin), CreatedAt: &m.CreatedAt, Complete: &m.Complete}
	if v.GroupBy == nil {
		v.GroupBy = map[string]string{}
	}
	return v
}

func (q *Server) meterEndpoints() []api.Endpoint {
	const list, one = "/api/v1/meters", "/api/v1/meters/{slug}"
	return []api.Endpoint{
		{Method: "GET", Path: list, Access: api.Account, Form: api.ProblemForm, Handle: q.listMeters},
		{Method: "POST", Path: list, Access: api.Admin, Form: api.ProblemForm, Handle: q.createMeter},
		{Method: "GET", Path: one, Access: api.Account, Form: api.ProblemForm, Handle: q.getMeter},
		{Method: "PUT", Path: one, Access: api.Admin, Form: api.ProblemForm, Handle: q.putMeter},
		{Method: "PATCH", Path: one, Access: api.Admin, Form: api.ProblemForm, Handle: q.patchMeter},
		{Method: "DELETE", Path: one, Access: api.Admin, Form: api.ProblemForm, Handle: q.deleteMeter},
	}
}

func (q *Server) listMeters(w http.ResponseWriter, r *http.Request) error {
	views := make([]meterView, 0, len(schemas.Meters))
	for _, m := range schemas.Meters {
		views = append(views, builtInView(m))
	}
	err := q.cfg.Store.View(r.Context(), func(v *store.View) error {
		declared, err := v.Meters()
		for _, m := range declared {
			views = append(views, declaredView(m))
		}
		return err
	})
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, views)
	return nil
}

func (q *Server) getMeter(w http.ResponseWriter, r *http.Request) error {
	slug := mux.Vars(r)["slug"]
	if m, ok := schemas.MeterBySlug(slug); ok {
		api.WriteJSON(w, http.StatusOK, builtInView(m))
		return nil
	}
	m, err := q.declaredMeter(r, slug)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, declaredView(m))
	return nil
}

func (q *Server) declaredMeter(r *http.Request, slug string) (m store.DeclaredMeter, err error) {
	err = q.cfg.Store.View(r.Context(), func(v *store.View) (err error) {
		m, err = v.Meter(slug)
		return err
	})
	return m, meterFailure(slug, err)
}

// meterFailure tells the caller what stands in the way of a change.
func meterFailure(slug string, err error) error {
	var bad *schemas.FieldError
	switch {
	case errors.As(err, &bad):
		return api.Invalid(bad.Field, "%s: %s", bad.Field, bad.Message)
	case errors.Is(err, store.ErrNotFound):
		return api.NotFound("there is no meter %q; GET /api/v1/meters lists them", slug)
	case errors.Is(err, store.ErrMeterBuiltIn):
		return api.Conflict("slug", "meter %q is built in and stays as it is; choose another slug", slug)
	case errors.Is(err, store.ErrMeterExists):
		return api.Conflict("slug", "there is a meter %q; change it with PUT or PATCH, or choose another slug", slug)
	case errors.Is(err, store.ErrMeterConfigured):
		return api.Conflict("slug", "meter %q is declared in the configuration; change it there", slug)
	case errors.Is(err, store.ErrTooManyMeters):
		return api.Conflict("", "at most %d meters may be declared; delete one first", schemas.MaxMeters)
	}
	return err
}

func (q *Server) createMeter(w http.ResponseWriter, r *http.Request) error {
	var d schemas.MeterDefinition
	if err := api.DecodeJSON(w, r, &d); err != nil {
		return err
	}
	if err := d.Check(); err != nil {
		return meterFailure(d.Slug, err)
	}
	m, err := q.cfg.Store.CreateMeter(r.Context(), api.CallerOf(r.Context()).Actor(), d)
	if err != nil {
		return meterFailure(d.Slug, err)
	}
	w.Header().Set("Location", "/api/v1/meters/"+d.Slug)
	api.WriteJSON(w, http.StatusCreated, declaredView(m))
	return nil
}

// putMeter replaces a definition whole; the slug is the path's.
func (q *Server) putMeter(w http.ResponseWriter, r *http.Request) error {
	d := schemas.MeterDefinition{}
	if err := api.DecodeJSON(w, r, &d); err != nil {
		return err
	}
	return q.changeMeter(w, r, d)
}

// patchMeter changes the fields that the body names.
func (q *Server) patchMeter(w http.ResponseWriter, r *http.Request) error {
	var patch struct {
		Slug          *string              `json:"slug"`
		Name          *string              `json:"name"`
		Description   *string              `json:"description"`
		EventType     *string              `json:"eventType"`
		Aggregation   *schemas.Aggregation `json:"aggregation"`
		ValueProperty *string              `json:"valueProperty"`
		GroupBy       *map[string]string   `json:"groupBy"`
		Percentiles   *[]float64           `json:"percentiles"`
	}
	if err := api.DecodeJSON(w, r, &patch); err != nil {
		return err
	}
	slug := mux.Vars(r)["slug"]
	if _, ok := schemas.MeterBySlug(slug); ok {
		return meterFailure(slug, store.ErrMeterBuiltIn)
	}
	m, err := q.declaredMeter(r, slug)
	if err != nil {
		return err
	}
	d := *m.Definition
	set(&d.Slug, patch.Slug)
	set(&d.Name, patch.Name)
	set(&d.Description, patch.Description)
	set(&d.EventType, patch.EventType)
	set(&d.Aggregation, patch.Aggregation)
	set(&d.ValueProperty, patch.ValueProperty)
	set(&d.GroupBy, patch.GroupBy)
	set(&d.Percentiles, patch.Percentiles)
	return q.changeMeter(w, r, d)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (q *Server) changeMeter(w http.ResponseWriter, r *http.Request, d schemas.MeterDefinition) error {
	slug := mux.Vars(r)["slug"]
	if d.Slug != "" && d.Slug != slug {
		return api.Invalid("slug", "slug %q is not the path's, %q; a meter keeps its slug", d.Slug, slug)
	}
	d.Slug = slug
	if _, ok := schemas.MeterBySlug(slug); ok {
		return meterFailure(slug, store.ErrMeterBuiltIn)
	}
	if _, err := q.declaredMeter(r, slug); err != nil { // 404 before what the body has wrong
		return err
	}
	if err := d.Check(); err != nil {
		return meterFailure(slug, err)
	}
	m, err := q.cfg.Store.UpdateMeter(r.Context(), api.CallerOf(r.Context()).Actor(), d)
	if err != nil {
		return meterFailure(slug, err)
	}
	api.WriteJSON(w, http.StatusOK, declaredView(m))
	return nil
}

func (q *Server) deleteMeter(w http.ResponseWriter, r *http.Request) error {
	slug := mux.Vars(r)["slug"]
	if err := q.cfg.Store.DeleteMeter(r.Context(), api.CallerOf(r.Context()).Actor(), slug); err != nil {
		return meterFailure(slug, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
