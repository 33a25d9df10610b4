package jobs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tallybook/archive"
)

// ratedDims are the dimensions of a rated.usage event, from its data.
func ratedDims(data []byte) (dims [6]string, err error) {
	var all map[string]json.RawMessage // a struct's names would not be told apart by case
	if err := json.Unmarshal(data, &all); err != nil {
		return dims, fmt.Errorf("data %q: %w", data, err)
	}
	var groupby, metadata map[string]string
	for name, to := range map[string]any{"metric": &dims[0], "unit": &dims[1], "groupby": &groupby, "metadata": &metadata} {
		if text, ok := all[name]; ok {
			if err := json.Unmarshal(text, to); err != nil {
				return dims, fmt.Errorf("data.%s %q: %w", name, text, err)
			}
		}
	}
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	var members, names []string
	for _, name := range slices.Sorted(maps.Keys(groupby)) {
		members = append(members, quote(name)+":"+quote(groupby[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		names = append(names, quote(name))
	}
	dims[2], dims[3] = "{"+strings.Join(members, ",")+"}", "["+strings.Join(names, ",")+"]"
	return dims, nil
}

// dataOf is row i's data, nil where it has none.
func dataOf(rows *archive.Rows, i int) []byte {
	if len(rows.Data.Ends) == 0 {
		return nil
	}
	return rows.Data.At(i)
}
