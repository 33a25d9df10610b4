package query

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
)

// The dashboard is plain scripts of the endpoints' answers; nothing builds them.
//
//go:embed dashboard
var dashboardFiles embed.FS

// pagePolicy lets a page run, show and ask for what this server has alone.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

var dashboardTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8",
}

func (q *Server) dashboardEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/", Access: api.Public, Form: api.PlainForm, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return dashboardFile(w, r, "index.html")
		}},
		{Method: "GET", Path: "/dashboard/{file:[A-Za-z0-9._/-]+}", Access: api.Public, Form: api.PlainForm, Handle: func(w http.ResponseWriter, r *http.Request) error {
			return dashboardFile(w, r, mux.Vars(r)["file"])
		}},
		{Method: "POST", Path: "/session", Access: api.Ingest, Form: api.PlainForm, Handle: func(w http.ResponseWriter, r *http.Request) error {
			if err := api.StartSession(w, r); err != nil {
				return err
			}
			return q.whoami(w, r)
		}},
		{Method: "DELETE", Path: "/session", Access: api.Public, Form: api.PlainForm, Handle: func(w http.ResponseWriter, r *http.Request) error {
			api.EndSession(w, r)
			w.WriteHeader(http.StatusNoContent)
			return nil
		}},
	}
}

// dashboardFile is asked for again by each page that is opened; where it has not
// changed the answer is short.
func dashboardFile(w http.ResponseWriter, r *http.Request, name string) error {
	content, err := fs.ReadFile(dashboardFiles, path.Join("dashboard", path.Clean("/"+name)))
	if err != nil {
		return api.NotFound("the dashboard has no file of this name")
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", dashboardTypes[path.Ext(name)])
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	return nil
}
