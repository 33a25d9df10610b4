package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	_ "embed"
)

//go:embed same_questions.py
var questionsScript []byte

// peerAnswers are another's times and sums, by question.
type peerAnswers []struct {
	Seconds []float64
	Sum     int64
}

// peers asks DuckDB the same, of the same rows, and holds its sums against ours.
func (b *queryBench) peers(ctx context.Context) error {
	if b.Python == "" {
		b.printf("DuckDB: left out, no --python with the duckdb package was named\n")
		return nil
	}
	if err := b.rows.close(); err != nil {
		return err
	}
	type question struct {
		SQL      string
		Accounts []string // one for each time
	}
	var asked []question
	for _, q := range b.questions {
		one := question{SQL: q.sql, Accounts: make([]string, q.times)}
		for n := range one.Accounts {
			if q.account != nil {
				one.Accounts[n] = q.account(n)
			}
		}
		asked = append(asked, one)
	}
	var answers struct {
		Own, Parquet peerAnswers
		Version      string
	}
	if err := b.python(ctx, questionsScript, asked, &answers); err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	for i, q := range b.questions {
		for _, form := range []struct {
			name    string
			answers peerAnswers
		}{{"its own file", answers.Own}, {"Parquet", answers.Parquet}} {
			got := form.answers[i]
			sum := got.Sum
			if q.account == nil {
				sum /= int64(q.times)
			}
			if sum != b.sums[i] {
				return fmt.Errorf("%s: DuckDB says %d, we say %d", q.name, sum, b.sums[i])
			}
			t := queryTimes{}
			for _, s := range got.Seconds {
				t.all = append(t.all, time.Duration(s*1e9))
			}
			slices.Sort(t.all)
			b.printf("%-46s %6d %9.2f %9.2f %9.2f %9s %9s  DuckDB %s, %s, in process\n", q.name, len(t.all),
				ms(t.at(0.5)), ms(t.at(0.99)), ms(t.all[len(t.all)-1]), "", "", answers.Version, form.name)
		}
	}
	b.printf("the sums of all answers are equal\n")
	return nil
}

// python runs a script on the folder, with in as JSON, and reads what it prints.
func (b *queryBench) python(ctx context.Context, script []byte, in, out any) error {
	path := b.path("script.py")
	if err := os.WriteFile(path, script, 0o644); err != nil {
		return err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.Python, path, b.dir)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		return err
	}
	return json.Unmarshal(printed, out)
}
