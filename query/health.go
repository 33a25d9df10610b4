package query

import (
	"net/http"

	"tallybook/api"
)

// healthz says that the process lives, whatever state its parts are in.
func (q *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	api.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readyz says whether the process does what it was started for.
func (q *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := q.cfg.Ready(); err != nil {
		api.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return nil
	}
	api.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}
