// Cluster measures tallybook pipeline on Apache Kafka and PostgreSQL: how many
// events a second 1, 2 and 4 processes work off, beside one on SQLite; what
// that costs the processes, Kafka, PostgreSQL and the S3 server in CPU; where
// the processes spend theirs; how soon an event is in an answer at a steady
// rate; and whether a checkpoint is dearer where the history is long.
//
// Each run ends with tallybook balance, and with counts that equal what was sent.
//
// Needs Java 17, Maven and Debian's postgresql. go run ./bench/cluster, from the
// top of the checkout.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tallybook/bench/servers"
)

const partitions = 4

type options struct {
	events, history int64
	parts           []string
	workers         []int
	rates           []int
	lasts           time.Duration
	s3, statements  bool
	profiles        string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("cluster: ")
	o := options{}
	flag.Int64Var(&o.events, "events", 2_000_000, "events of each shape")
	flag.Int64Var(&o.history, "history", 10_000_000, "rollup rows that are there before the part history")
	parts := flag.String("parts", "dense,wide,freshness,history", "dense: one hour; wide: 30 days of independent dimensions")
	workers := flag.String("workers", "1,2,4", "processes on PostgreSQL, by turns")
	rates := flag.String("rates", "5000,20000", "events a second of the part freshness, by turns")
	flag.DurationVar(&o.lasts, "lasts", 30*time.Second, "how long each rate flows")
	flag.BoolVar(&o.s3, "s3", false, "the archive is in an S3 server instead of a folder")
	flag.BoolVar(&o.statements, "statements", false, "say what PostgreSQL spends its time on, by pg_stat_statements")
	flag.StringVar(&o.profiles, "profiles", "", "folder that keeps the processes' CPU profiles")
	limit := flag.Duration("limit", 10*time.Minute, "the longest that all of it may take")
	flag.Parse()
	o.parts = strings.Split(*parts, ",")
	var err error
	if o.workers, err = numbers(*workers); err == nil {
		o.rates, err = numbers(*rates)
	}
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done after %s (--limit)", *limit))
	defer cancel()
	if err := run(ctx, o); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		log.Fatal(err)
	}
}

func numbers(list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q in %q: want whole numbers from 1", text, list)
		}
		all = append(all, n)
	}
	return all, nil
}

// cluster is what all parts share: the binary and the PostgreSQL server, with a
// database for each run.
type cluster struct {
	options
	work, program string
	postgres, s3  *servers.Server
	runs          int
}

func run(ctx context.Context, o options) (err error) {
	c := &cluster{options: o}
	parts := map[string]func(context.Context, *load) error{
		"dense": c.throughput, "wide": c.throughput, "freshness": c.freshness, "history": c.growth,
	}
	for _, name := range o.parts {
		if parts[name] == nil {
			return fmt.Errorf("--parts %q: known are dense, wide, freshness, history", name)
		}
	}
	if c.work, err = os.MkdirTemp("", "tallybook-cluster-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.work)
	if err := os.Chmod(c.work, 0o755); err != nil { // PostgreSQL may run as another user
		return err
	}
	c.program = filepath.Join(c.work, "tallybook")
	build := exec.CommandContext(ctx, "go", "build", "-o", c.program, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build tallybook: %w", err)
	}
	settings := ""
	if o.statements {
		settings = "-c shared_preload_libraries=pg_stat_statements"
	}
	c.postgres, err = servers.Postgres(ctx, filepath.Join(c.work, "postgres"), settings)
	defer stopServer(c.postgres)
	if err != nil {
		return err
	}
	if o.s3 {
		c.s3, err = servers.S3(ctx, filepath.Join(c.work, "s3"))
		defer stopServer(c.s3)
		if err != nil {
			return err
		}
	}
	for _, name := range o.parts {
		if err := c.onKafka(ctx, name, parts[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func stopServer(s *servers.Server) {
	if err := s.Stop(); err != nil {
		log.Print(err)
	}
}

// onKafka runs a part on a Kafka of its own.
func (c *cluster) onKafka(ctx context.Context, name string, part func(context.Context, *load) error) error {
	dir := filepath.Join(c.work, name)
	defer os.RemoveAll(dir)
	kafka, err := servers.Kafka(ctx, filepath.Join(dir, "kafka"))
	defer stopServer(kafka)
	if err != nil {
		return err
	}
	return part(ctx, &load{cluster: c, dir: dir, shape: name, kafka: kafka})
}

// command is tallybook without settings from outside.
func (c *cluster) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TALLYBOOK_") })
	if c.s3 != nil {
		cmd.Env = append(cmd.Env, c.s3.Env...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	return cmd
}
