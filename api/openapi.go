package api

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi/base.yaml
var base embed.FS

// Document is the OpenAPI document of the endpoints. Each family of endpoints
// describes its own in YAML fragments (paths and components); what holds for all
// is added from the table here: the credentials, and the refusals that any
// endpoint may answer, in its form. Endpoints that no fragment describes are
// listed; a description without endpoint is an error.
func Document(endpoints []Endpoint, fragments ...fs.FS) (doc *openapi3.T, undescribed []string, err error) {
	return document(endpoints, false, fragments)
}

// PartialDocument is that of a process which has some of the endpoints only:
// descriptions of others are left out.
func PartialDocument(endpoints []Endpoint, fragments ...fs.FS) (*openapi3.T, error) {
	doc, _, err := document(endpoints, true, fragments)
	return doc, err
}

func document(endpoints []Endpoint, partial bool, fragments []fs.FS) (doc *openapi3.T, undescribed []string, err error) {
	merged := map[string]any{}
	for _, fragment := range append([]fs.FS{base}, fragments...) {
		files, err := fs.Glob(fragment, "openapi/*.yaml")
		if err != nil {
			return nil, nil, err
		}
		for _, name := range files {
			text, err := fs.ReadFile(fragment, name)
			if err != nil {
				return nil, nil, err
			}
			var part map[string]any
			if err := yaml.Unmarshal(text, &part); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := merge(merged, part, ""); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if partial {
		prune(merged, endpoints)
	}
	if undescribed, err = complete(merged, endpoints); err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(merged)
	if err != nil {
		return nil, nil, err
	}
	if doc, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		return nil, nil, err
	}
	return doc, undescribed, doc.Validate(context.Background())
}

// merge adds the names of from to those of to; none may be there already.
func merge(to, from map[string]any, path string) error {
	for name, value := range from {
		have, there := to[name]
		a, isMap := have.(map[string]any)
		b, both := value.(map[string]any)
		switch {
		case !there:
			to[name] = value
		case isMap && both:
			if err := merge(a, b, path+"/"+name); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s/%s is described twice", path, name)
		}
	}
	return nil
}

// pattern is the part of a mux variable that OpenAPI does not write.
var pattern = regexp.MustCompile(`\{([^}:]+):[^}]*\}`)

// documented is the path as the document names it.
func documented(path string) string { return pattern.ReplaceAllString(path, "{$1}") }

func complete(doc map[string]any, endpoints []Endpoint) (undescribed []string, err error) {
	paths, _ := doc["paths"].(map[string]any)
	described := map[string]bool{}
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		for method := range methods {
			if method != "parameters" {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	for i := range endpoints {
		e := &endpoints[i]
		path, method := documented(e.Path), strings.ToLower(e.Method)
		methods, _ := paths[path].(map[string]any)
		op, _ := methods[method].(map[string]any)
		if op == nil {
			undescribed = append(undescribed, e.Method+" "+path)
			continue
		}
		delete(described, e.Method+" "+path)
		e.complete(op)
		for n, other := range e.Also { // the other spellings answer the same
			copied, err := clone(op)
			if err != nil {
				return nil, err
			}
			if id, ok := op["operationId"].(string); ok {
				copied["operationId"] = id + "_" + strconv.Itoa(n+2)
			}
			other = documented(other)
			if paths[other] == nil {
				paths[other] = map[string]any{}
				if shared, ok := methods["parameters"]; ok {
					paths[other].(map[string]any)["parameters"] = shared
				}
			}
			paths[other].(map[string]any)[method] = copied
		}
	}
	for missing := range described {
		return nil, fmt.Errorf("a fragment describes %s, which is no endpoint", missing)
	}
	return undescribed, nil
}

// prune takes out what is described and is no endpoint.
func prune(doc map[string]any, endpoints []Endpoint) {
	have := map[string]bool{}
	for i := range endpoints {
		have[strings.ToLower(endpoints[i].Method)+" "+documented(endpoints[i].Path)] = true
	}
	paths, _ := doc["paths"].(map[string]any)
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		left := false
		for method := range methods {
			if method != "parameters" && !have[method+" "+path] {
				delete(methods, method)
			}
			left = left || method != "parameters" && methods[method] != nil
		}
		if !left {
			delete(paths, path)
		}
	}
}

func clone(op map[string]any) (map[string]any, error) {
	text, err := json.Marshal(op)
	if err != nil {
		return nil, err
	}
	var copied map[string]any
	return copied, json.Unmarshal(text, &copied)
}

// complete adds credentials and refusals to an operation's description.
func (e *Endpoint) complete(op map[string]any) {
	op["x-access"] = e.Access.String()
	if e.Scope == Replace {
		op["x-scope"] = "replace"
	}
	responses, _ := op["responses"].(map[string]any)
	if responses == nil {
		responses = map[string]any{}
		op["responses"] = responses
	}
	statuses := []int{http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if op["requestBody"] != nil {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if e.Access == Public || e.Access == Signed {
		op["security"] = []any{}
	} else {
		var any_ []any
		for _, scheme := range []string{"bearer", "apiKey", "token", "basic"} {
			any_ = append(any_, map[string]any{scheme: []any{}})
		}
		op["security"] = any_
		parameters, _ := op["parameters"].([]any)
		op["parameters"] = append(parameters, map[string]any{"$ref": "#/components/parameters/AccountHeader"})
		statuses = append(statuses, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
	}
	schema, contentType := e.Form.schema()
	for _, status := range statuses {
		code := strconv.Itoa(status)
		if _, described := responses[code]; !described {
			responses[code] = map[string]any{"description": http.StatusText(status),
				"content": map[string]any{contentType: map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/" + schema}}}}
		}
	}
}
