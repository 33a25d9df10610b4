package query

import (
	"net/http"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
)

// schema answers /schemas/{name}.json, the JSON Schema of a topic's events.
func (q *Server) schema(w http.ResponseWriter, r *http.Request) error {
	name := mux.Vars(r)["name"]
	text, ok := schemas.JSONSchema(name)
	if !ok {
		return api.NotFound("there is no schema %q; there are usage, errors and emails", name)
	}
	w.Header().Set("Content-Type", "application/schema+json")
	_, err := w.Write(text)
	return err
}
