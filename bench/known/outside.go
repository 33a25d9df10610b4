package known

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"tallybook/schemas"
)

// CheckCommand runs a command of tallybook as a person would, and shows its last
// line; another exit code than 0 is a difference.
func (t *Report) CheckCommand(name string, cmd *exec.Cmd) {
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Show(name, "%s", lines[len(lines)-1])
	if err != nil {
		t.Find("%s: %v\n%s", name, err, out)
	}
}

// Outside is what bench/readers/count.py prints of an archive.
type Outside struct {
	Rows     map[schemas.Topic]int64 // events that are left, without refused records
	Distinct map[schemas.Topic]int64 // identities of events and corrections
	Own      int64                   // of the source that was asked for
	Bytes    int64                   // of the others, those of corrections taken off
	Refused  int64                   // records
}

// Events are those of all topics.
func (o *Outside) Events() (n int64) {
	for _, rows := range o.Rows {
		n += rows
	}
	return n
}

// CountOutside counts the Parquet files of an archive folder with DuckDB: by
// "glob" those that are there, by "manifests" those that these name.
func CountOutside(ctx context.Context, python, archive, source, by string) (*Outside, error) {
	cmd := exec.CommandContext(ctx, python, "bench/readers/count.py", archive, source, by)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("outside reader (run from the repository's top folder): %w", err)
	}
	var got Outside
	if err := json.Unmarshal(out, &got); err != nil {
		return nil, fmt.Errorf("outside reader says %q: %w", out, err)
	}
	return &got, nil
}
