package query

import (
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/store"
)

// jobRuns is how many runs of each job are shown.
const jobRuns = 20

func (q *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	states, err := q.cfg.Store.JobStates(r.Context(), jobRuns)
	if err != nil {
		return err
	}
	for i := range states {
		if states[i].Runs == nil {
			states[i].Runs = []store.JobRun{}
		}
	}
	if states == nil {
		states = []store.JobState{}
	}
	api.WriteJSON(w, http.StatusOK, map[string]any{"jobs": states})
	return nil
}

// runJob asks for a run; a process that runs jobs begins it within a second or so,
// under the job's lease.
func (q *Server) runJob(w http.ResponseWriter, r *http.Request) error {
	name := mux.Vars(r)["job"]
	asked, err := q.cfg.Store.AskJob(r.Context(), name)
	if errors.Is(err, store.ErrNotFound) {
		return api.NotFound("there is no job %q with a schedule; GET /v1/jobs lists them", name)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/jobs")
	api.WriteJSON(w, http.StatusAccepted, struct {
		Name  string    `json:"name"`
		Asked time.Time `json:"asked"`
	}{asked.Job, asked.At})
	return nil
}
