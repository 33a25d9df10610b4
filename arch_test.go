package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type goPackage struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Standard,Imports,TestImports,XTestImports", "-deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// folder is the first folder of one of our import paths: "" is main; ok is
// false for what is not ours.
func folder(path string) (name string, ok bool) {
	if path == "tallybook" {
		return "", true
	}
	rest, ok := strings.CutPrefix(path, "tallybook/")
	name, _, _ = strings.Cut(rest, "/")
	return name, ok
}

// mayImport is the direction of dependencies: main → {pipeline, jobs, query} →
// api → {store, archive, mail} → schemas. A folder that is not named here needs a place.
var mayImport = map[string][]string{
	"":         {"api", "pipeline", "jobs", "query", "store", "archive", "mail", "schemas", "bench"},
	"pipeline": {"pipeline", "api", "store", "archive", "mail", "schemas"},
	"jobs":     {"jobs", "store", "archive", "mail", "schemas"},
	"query":    {"query", "api", "store", "archive", "mail", "schemas"},
	"store":    {"store", "schemas"},
	"api":      {"api", "store", "schemas"},
	"archive":  {"archive", "schemas"},
	"mail":     {"mail", "store", "schemas"},
	"schemas":  {"schemas"},
	"client":   {"client"},
	"docs":     {},
	"bench":    {"bench", "api", "pipeline", "jobs", "query", "store", "archive", "mail", "schemas", "client"},
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		from, ours := folder(p.ImportPath)
		if !ours {
			continue
		}
		seen[from] = true
		allowed, known := mayImport[from]
		if !known {
			t.Errorf("%s: the folder %s has no place in mayImport", p.ImportPath, from)
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if to, ours := folder(imported); ours && imported != p.ImportPath && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %q may import %q", p.ImportPath, imported, from, allowed)
			}
		}
	}
	for _, must := range []string{"", "pipeline", "jobs", "query", "store", "archive", "schemas", "client"} {
		if !seen[must] {
			t.Errorf("go list shows no package of %q: does this test still look at anything?", must)
		}
	}
}

// What others import must not bring anything along, and rules must do no I/O.
func TestOutsideImports(t *testing.T) {
	packages := listPackages(t)
	standard := map[string]bool{}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		from, ours := folder(p.ImportPath)
		if !ours {
			continue
		}
		for _, imported := range p.Imports {
			switch {
			case from == "client" && !standard[imported]:
				t.Errorf("%s imports %s: client is for others' programs, standard library only", p.ImportPath, imported)
			case from == "schemas" && slices.Contains([]string{"os", "net", "net/http", "database/sql", "time/tzdata"}, imported):
				t.Errorf("%s imports %s: schemas has rules and no I/O", p.ImportPath, imported)
			case imported == "C":
				t.Errorf("%s uses cgo", p.ImportPath)
			}
		}
	}
}
