package query

import (
	"embed"
	"net/http"

	"github.com/swaggest/swgui/v5emb"

	"tallybook/api"
)

// Docs are the endpoints that describe all, themselves too; document is the
// OpenAPI document once it is made.
func Docs(document func() []byte) []api.Endpoint {
	pages := v5emb.New("Tallybook", "/openapi.json", "/docs/")
	page := func(w http.ResponseWriter, r *http.Request) error {
		pages.ServeHTTP(w, r)
		return nil
	}
	return []api.Endpoint{
		{Method: "GET", Path: "/openapi.json", Access: api.Public, Handle: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			_, err := w.Write(document())
			return err
		}},
		{Method: "GET", Path: "/docs/", Also: []string{"/docs"}, Access: api.Public, Handle: page},
		{Method: "GET", Path: "/docs/{file:[A-Za-z0-9._-]+}", Access: api.Public, Handle: page},
	}
}

// OpenAPI describes the endpoints of this package.
//
//go:embed openapi/*.yaml
var OpenAPI embed.FS
