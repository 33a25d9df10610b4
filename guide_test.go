package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	commandStart = regexp.MustCompile(`\b(?:ask|shop|curl) `)
	commandPath  = regexp.MustCompile(`\$URL(/[^\s"'?|)]*)`)
	methodFlag   = regexp.MustCompile(` -X ([A-Z]+)`)
	bodyFlag     = regexp.MustCompile(` (?:-d|--data-urlencode|--data-binary) `)
	shellPart    = regexp.MustCompile(`\$\([^)]*\)+|\$\w+`)
	pathVariable = regexp.MustCompile(`\\\{[^}]*\\\}`)
)

// asked are the requests of a guide's commands, as "GET /v1/usage".
func asked(t *testing.T, name string) (requests []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	starts := commandStart.FindAllStringIndex(string(text), -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		command := string(text[at[0]:end])
		path := commandPath.FindStringSubmatch(shellPart.ReplaceAllStringFunc(command, func(part string) string {
			if part == "$URL" {
				return part
			}
			return "x"
		}))
		if path == nil {
			continue
		}
		method := "GET"
		switch m := methodFlag.FindStringSubmatch(command); {
		case m != nil:
			method = m[1]
		case strings.Contains(command, " --head "):
			method = "HEAD"
		case bodyFlag.MatchString(command):
			method = "POST"
		}
		requests = append(requests, method+" "+withoutSlash(path[1]))
	}
	return requests
}

// withoutSlash is a path without the slash at its end: those that have one do without, too.
func withoutSlash(path string) string { return "/" + strings.Trim(path, "/") }

// docs/api.md has an example of every operation that the running service
// documents; docs/run_test.go runs them.
func TestGuideAsksEveryOperation(t *testing.T) {
	s := start(t, "run", t.TempDir())
	operations, requests := s.operations(t), asked(t, "docs/api.md")
	for _, op := range operations {
		path := pathVariable.ReplaceAllString(regexp.QuoteMeta(withoutSlash(op.path)), `[^/]+`)
		if pattern := regexp.MustCompile("^" + op.method + " " + path + "$"); !slices.ContainsFunc(requests, pattern.MatchString) {
			t.Errorf("docs/api.md has no example of %s %s", op.method, op.path)
		}
	}
}
