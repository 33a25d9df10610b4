// Package apitest holds HTTP answers in tests against the OpenAPI document.
package apitest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func init() {
	for _, contentType := range []string{"application/vnd.apache.arrow.stream", "text/html", "text/css", "text/javascript", "image/png", "application/x-ndjson"} {
		openapi3filter.RegisterBodyDecoder(contentType, openapi3filter.FileBodyDecoder)
	}
}

// Checker compares answers with a document.
type Checker struct {
	router routers.Router
}

// New is a checker for the document.
func New(t testing.TB, doc *openapi3.T) *Checker {
	t.Helper()
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &Checker{router}
}

// Check reports an answer whose status, headers or body the document does not
// have. Paths and methods that there are not need no description.
func (c *Checker) Check(t testing.TB, r *http.Request, status int, header http.Header, body []byte) {
	t.Helper()
	route, variables, err := c.router.FindRoute(r)
	if errors.Is(err, routers.ErrPathNotFound) && status == http.StatusNotFound ||
		errors.Is(err, routers.ErrMethodNotAllowed) && (status == http.StatusMethodNotAllowed || r.Method == http.MethodHead) {
		return
	}
	if err != nil {
		t.Errorf("%s %s: answered %d, but the document does not have it: %v", r.Method, r.URL.Path, status, err)
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: variables, Route: route},
		Status:                 status, Header: header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		t.Errorf("%s %s: the answer is not as documented: %v\n%d %.500s", r.Method, r.URL, err, status, body)
	}
}

// Handler answers as next does, and checks each answer.
func (c *Checker) Handler(t testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		body := recorded.Body.Bytes()
		_, _ = w.Write(body) // a test that went away does not mind
		c.Check(t, r, recorded.Code, recorded.Header(), body)
	})
}

// Transport is a client's transport that checks each answer.
func (c *Checker) Transport(t testing.TB, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		res, err := next.RoundTrip(r)
		if err != nil {
			return res, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return res, err
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
		c.Check(t, r, res.StatusCode, res.Header, body)
		return res, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
