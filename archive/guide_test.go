package archive

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tallybook/schemas"
)

// guideTypes are the words of docs/analysts.md for how a column is stored.
var guideTypes = map[kind]string{kindCode: "string", kindText: "string", kindTimestamp: "timestamp", kindInt64: "int64",
	kindInt32: "int32", kindPartition: "int32", kindInt8: "int8", kindDouble: "double", kindDecimal: "decimal(38,9)"}

var (
	guideRow  = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| ([a-z0-9(),]+) \\| (all|[a-z, ]+) \\|")
	guideName = regexp.MustCompile("`([a-z_]+)`")
	required  = regexp.MustCompile(`in one order\. (.*) are always there`)
)

// The guide for analysts has every column of every folder, with its type, and says
// which are never null.
func TestGuideColumns(t *testing.T) {
	text, err := os.ReadFile("../docs/analysts.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := map[string]map[string]string{}
	for _, dataset := range schemas.Topics {
		guide[string(dataset)] = map[string]string{}
	}
	for _, row := range guideRow.FindAllStringSubmatch(string(text), -1) {
		for _, dataset := range strings.Split(strings.Replace(row[3], "all", "usage, errors, emails", 1), ", ") {
			for _, name := range guideName.FindAllStringSubmatch(row[1], -1) {
				if guide[dataset] == nil || guide[dataset][name[1]] != "" {
					t.Fatalf("the guide has %s of %q twice, or there is no such folder", name[1], dataset)
				}
				guide[dataset][name[1]] = row[2]
			}
		}
	}
	always := map[string]bool{}
	if said := required.FindStringSubmatch(string(text)); said != nil {
		for _, name := range guideName.FindAllStringSubmatch(said[1], -1) {
			always[name[1]] = true
		}
	}
	for dataset, columns := range columnsOf {
		for _, c := range columns {
			if got, want := guide[string(dataset)][c.name], guideTypes[c.kind]; got != want {
				t.Errorf("%s of %s is %q in the guide, want %q", c.name, dataset, got, want)
			}
			if always[c.name] != c.required {
				t.Errorf("%s of %s is always there: %v in the guide, want %v", c.name, dataset, always[c.name], c.required)
			}
			delete(guide[string(dataset)], c.name)
		}
		if len(guide[string(dataset)]) > 0 {
			t.Errorf("the guide has columns that %s has not: %v", dataset, guide[string(dataset)])
		}
	}
}
