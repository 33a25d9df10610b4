package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// MaxBody is the limit of a request that brings one thing, in bytes.
const MaxBody = 1 << 20

// smallBody is what memory is taken for before it has come.
const smallBody = 64 << 10

// ReadBody reads a body of up to limit bytes; a larger one is answered 413.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if 0 < r.ContentLength && r.ContentLength <= min(limit, smallBody) {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}

// DecodeJSON reads the body, one JSON object, into a struct. An unknown field, a
// field of another type and anything behind the object are 400s that name it.
func DecodeJSON(w http.ResponseWriter, r *http.Request, to any) error {
	body, err := ReadBody(w, r, MaxBody)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Invalid("", "the body must be one JSON object and nothing behind it")
	}
	return nil
}

func jsonError(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		if kind.Field == "" {
			return Invalid("", "the body must be a JSON object, not %s", article(kind.Value))
		}
		return Invalid(kind.Field, "%s must be %s, not %s", kind.Field, article(jsonName(kind.Type.Kind().String())), article(kind.Value))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return Invalid(name, "unknown field %q", name)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return Invalid("", "the body must be a whole JSON object")
	}
	return Invalid("", "the body is not valid: %v", err)
}

func article(noun string) string {
	if strings.IndexByte("aeiou", noun[0]) >= 0 {
		return "an " + noun
	}
	return "a " + noun
}

// jsonName is what JSON calls a Go kind.
func jsonName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "whole number"
	case strings.HasPrefix(kind, "float"):
		return "number"
	case kind == "bool":
		return "boolean"
	case kind == "slice" || kind == "array":
		return "list"
	case kind == "struct" || kind == "map":
		return "object"
	}
	return kind
}
