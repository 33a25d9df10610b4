package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the stories in testdata/stories tell anew")

// A story is a script of what happens, and in files behind it what is to be seen
// of it; testdata/stories/README.md says how to write one. Beside these files
// each story is held against an account of its own: what was called and taken
// back, at which prices, added up again with other code (storymoney_test.go, storycheck_test.go,
// storyquota_test.go).
func TestStories(t *testing.T) {
	paths, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { tell(t, path) })
	}
}

func tell(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	script, files := splitFiles(text)
	s := newStory(t)
	told := s.run(script)
	s.check()
	if *update {
		if !t.Failed() { // what is known to be wrong is not written
			s.rewrite(path, script, told)
		}
		return
	}
	for _, f := range files {
		got, ok := told[f.name]
		if !ok {
			t.Errorf("%s: no line of the story writes %s", path, f.name)
		} else if got != f.text {
			t.Errorf("%s, %s: %s\nfor all of it: go test . -run TestStories/%s -update, then git diff", path, f.name,
				firstDifference(got, f.text), strings.TrimSuffix(filepath.Base(path), ".txt"))
		}
		delete(told, f.name)
	}
	for name := range told {
		t.Errorf("%s has no file %s; -update writes it", path, name)
	}
}

// storyFile is a file of a txtar archive.
type storyFile struct{ name, text string }

// splitFiles reads the txtar format: text, then files behind lines "-- name --".
func splitFiles(text []byte) (before string, files []storyFile) {
	into := &before
	for line := range bytes.Lines(text) {
		if name, ok := strings.CutPrefix(string(line), "-- "); ok && strings.HasSuffix(name, " --\n") {
			files = append(files, storyFile{name: strings.TrimSuffix(name, " --\n")})
			into = &files[len(files)-1].text
			continue
		}
		*into += string(line)
	}
	return before, files
}

// run does what the lines of a script say, and returns what was to be written.
func (s *story) run(script string) map[string]string {
	s.t.Helper()
	told := map[string]string{}
	n := 0
	for line := range strings.Lines(script) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s.line = fmt.Sprintf("line %d, %s", n, line)
		s.pass()
		line, file, shown := strings.Cut(line, " > ")
		name, rest, _ := strings.Cut(line, " ")
		verb, ok := storyVerbs[name]
		if !ok {
			s.fatal("there is no verb %q", name)
		}
		out := verb(s, strings.Fields(s.numbers(rest)))
		if !shown {
			continue
		}
		if _, more := told[file]; !more {
			s.written = append(s.written, file)
		}
		told[file] += s.names(out)
	}
	s.line = "at the end"
	return told
}

// rewrite puts what was told behind the script.
func (s *story) rewrite(path, script string, told map[string]string) {
	text := script
	for _, name := range s.written {
		text += "-- " + name + " --\n" + told[name]
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			at := func(lines []string) string {
				return strings.Join(lines[min(i, len(lines)):min(i+3, len(lines))], "\n\t")
			}
			return fmt.Sprintf("line %d: got\n\t%s\nwant\n\t%s", i+1, at(g), at(w))
		}
	}
	return "they are the same"
}
