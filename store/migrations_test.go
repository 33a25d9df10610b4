package store

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// madeBefore are migrations that do more than add, from before the first release:
// nobody upgrades across them while events flow.
var madeBefore = []int64{5, 7, 20, 24, 34, 35, 40, 47, 49}

// A program of before goes on beside one that has migrated: it must find all that
// it reads and writes, and not wait while a table is gone through. A migration
// that cannot keep to that says so in meta ('needs'), which stops those programs.
func TestMigrationsOnlyAdd(t *testing.T) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		file, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		more := beyondAdding(string(file))
		if slices.Contains(madeBefore, version) {
			if more == nil {
				t.Errorf("%s only adds: it need not be among madeBefore", e.Name())
			}
			continue
		}
		for _, what := range more {
			t.Errorf("%s: %s", e.Name(), what)
		}
	}
}

func TestBeyondAdding(t *testing.T) {
	for sql, want := range map[string]bool{
		"CREATE TABLE a (x INTEGER NOT NULL PRIMARY KEY) STRICT; CREATE INDEX b ON a (x); INSERT INTO a (x) VALUES (1);": true,
		"ALTER TABLE a ADD COLUMN x INTEGER;":                                   true,
		"ALTER TABLE a ADD COLUMN x TEXT NOT NULL DEFAULT '[]';":                true,
		"-- postgres: ALTER TABLE a SET (fillfactor = 70);\nSELECT 1;":          true,
		"DROP TABLE a; INSERT INTO meta (key, value) VALUES ('needs', '99');":   true,
		"ALTER TABLE a ADD COLUMN x INTEGER NOT NULL;":                          false,
		"ALTER TABLE a ADD COLUMN x INTEGER NOT NULL DEFAULT 0 CHECK (x >= 0);": false,
		"ALTER TABLE a ADD COLUMN x INTEGER REFERENCES b;":                      false,
		"ALTER TABLE a ADD COLUMN x INTEGER NOT NULL DEFAULT 0 UNIQUE;":         false,
		"ALTER TABLE a ADD COLUMN x TEXT NOT NULL DEFAULT (random());":          false,
		"ALTER TABLE a RENAME COLUMN x TO y;":                                   false,
		"ALTER TABLE a DROP COLUMN x;":                                          false,
		"-- postgres: ALTER TABLE a ALTER COLUMN x SET NOT NULL;":               false,
		"DROP INDEX a;":                                  false,
		"CREATE INDEX b ON a (x);":                       false,
		"CREATE UNIQUE INDEX b ON a (x);":                false,
		"UPDATE a SET x = 1;":                            false,
		"INSERT INTO a (x) SELECT y FROM b;":             false,
		"CREATE TRIGGER b AFTER INSERT ON a BEGIN; END;": false,
	} {
		if got := beyondAdding("-- +goose Up\n" + sql); (got == nil) != want {
			t.Errorf("%s: got %q, want only adding: %t", sql, got, want)
		}
	}
}

var (
	newTable  = regexp.MustCompile(`^CREATE TABLE (\w+) \(`)
	ofTable   = regexp.MustCompile(`^(?:CREATE (?:UNIQUE )?INDEX \w+ ON|INSERT INTO) (\w+) `)
	newColumn = regexp.MustCompile(`^ALTER TABLE \w+ ADD COLUMN \w+ (?:INTEGER|TEXT|REAL|BLOB)(?: NOT NULL DEFAULT (?:-?\d+|'[^']*'))?$`)
	roomy     = regexp.MustCompile(`^ALTER TABLE \w+ SET \(fillfactor = \d+\)$`)
)

// beyondAdding are the statements of a migration that a program of before may
// notice. Tables that it makes itself nobody else knows.
func beyondAdding(file string) (more []string) {
	if strings.Contains(file, "'needs'") {
		return nil
	}
	for _, w := range sqliteWords[:2] { // what is PostgreSQL's is looked at too, comments are not
		file = w.word.ReplaceAllString(file, w.is)
	}
	made := map[string]bool{}
	for statement := range strings.SplitSeq(file, ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		if m := newTable.FindStringSubmatch(statement); m != nil {
			made[m[1]] = true
			continue
		}
		if m := ofTable.FindStringSubmatch(statement); m != nil && made[m[1]] {
			continue
		}
		if statement != "" && statement != "SELECT 1" && !newColumn.MatchString(statement) && !roomy.MatchString(statement) {
			more = append(more, fmt.Sprintf("%q: only new tables, and new columns that are empty or have a constant default, are not noticed by programs of before", statement))
		}
	}
	return more
}
