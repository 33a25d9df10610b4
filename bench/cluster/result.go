package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is one run, from the take-over of the partitions until the last
// position is at its log's end.
type result struct {
	setup
	took    time.Duration
	records int64
	costs   costs
	steps   steps
	touched touched
	shares  shares

	statements []string
}

// mean of a histogram's observations.
type mean struct{ seconds, count float64 }

func (m mean) millis() float64 { return 1000 * m.seconds / max(1, m.count) }

// steps of the checkpoints by name; commit includes waiting for the committer,
// and the transaction is a part of it.
type steps map[string]mean

var stepLine = regexp.MustCompile(`(?m)^tallybook_checkpoint_(?:step|(transaction))_seconds_(sum|count)(?:\{step="(\w+)"\})? (\S+)$`)

// add takes what a process says at /metrics.
func (s steps) add(metrics []byte) error {
	for _, line := range stepLine.FindAllSubmatch(metrics, -1) {
		value, err := strconv.ParseFloat(string(line[4]), 64)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		name := string(line[1]) + string(line[3])
		m := s[name]
		if string(line[2]) == "sum" {
			m.seconds += value
		} else {
			m.count += value
		}
		s[name] = m
	}
	return nil
}

func printHead() {
	fmt.Printf("%-8s %7s %8s %9s | %9s %7s %10s %5s %7s | %11s %6s %7s %11s %8s\n", "store", "workers", "seconds", "events/s",
		"CPU s/M:", "Kafka", "PostgreSQL", "S3", "all", "checkpoints", "stage", "commit", "transaction", "publish")
}

func (r *result) print() {
	million := float64(r.records) / 1e6
	per := func(d time.Duration) float64 { return d.Seconds() / million }
	c := &r.costs
	fmt.Printf("%-8s %7d %8.1f %9.0f | %9.2f %7.2f %10.2f %5.2f %7.2f | %11.0f %6.0f %7.0f %11.0f %5.0f ms\n", r.store, r.workers, r.took.Seconds(),
		float64(r.records)/r.took.Seconds(), per(c.workers), per(c.kafka), per(c.postgres), per(c.s3),
		per(c.workers+c.kafka+c.postgres+c.s3), r.steps["stage"].count, r.steps["stage"].millis(), r.steps["commit"].millis(),
		r.steps["transaction"].millis(), r.steps["publish"].millis())
	fmt.Printf("         workers' CPU: %s\n", r.shares)
	for _, line := range r.statements {
		fmt.Println("        ", line)
	}
}

// shares are CPU by part, in milliseconds.
type shares map[string]float64

func (s shares) String() string {
	var sum float64
	for _, v := range s {
		sum += v
	}
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(s), func(a, b string) int { return cmp.Compare(s[b], s[a]) }) {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*s[name]/max(1, sum)))
	}
	return strings.Join(parts, ", ")
}

// inFolder is the archive's URL with a folder more.
func inFolder(archive, name string) string {
	u, err := url.Parse(archive)
	if err != nil {
		return archive // the archive says what is wrong with it
	}
	u.Path = path.Join(u.Path, name)
	return u.String()
}
