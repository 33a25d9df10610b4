package query

import "net/http"

// healthz says that the process lives, whatever state its parts are in.
func (q *Server) healthz(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
	return nil
}

// readyz says whether the process does what it was started for.
func (q *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := q.cfg.Ready(); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, "application/json",
			map[string]string{"status": "not ready", "reason": err.Error()})
		return nil
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
	return nil
}
