package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tallybook/bench/servers"
)

// parts are the processes that are not ours, and where ours find them.
type parts struct {
	work                string
	tallybook           string // program
	kafka, postgres, s3 *servers.Server
	store, archive      *url.URL
	bucket              string // address of the S3 server
	objects             string // folder that it keeps the archive in
}

// start also begins where something goes wrong: stop must follow.
func (p *parts) start(ctx context.Context, work string) (err error) {
	p.work, p.tallybook = work, filepath.Join(work, "tallybook")
	if err := os.Chmod(work, 0o755); err != nil { // PostgreSQL may have a user of its own
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.tallybook, "tallybook")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build tallybook: %w", err)
	}
	if p.kafka, err = servers.Kafka(ctx, filepath.Join(work, "kafka")); err != nil {
		return err
	}
	if p.postgres, err = servers.Postgres(ctx, filepath.Join(work, "postgres"), ""); err != nil {
		return err
	}
	if p.s3, err = servers.S3(ctx, filepath.Join(work, "s3")); err != nil {
		return err
	}
	if p.store, err = url.Parse(p.postgres.Address); err != nil {
		return err
	}
	if p.archive, err = url.Parse(p.s3.Address); err != nil {
		return err
	}
	endpoint, err := url.Parse(p.archive.Query().Get("endpoint"))
	if err != nil {
		return err
	}
	p.bucket = endpoint.Host
	p.objects = filepath.Join(work, "s3", "buckets", p.archive.Host, p.archive.Path)
	return nil
}

func (p *parts) stop() {
	for _, s := range []*servers.Server{p.kafka, p.s3, p.postgres} {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "chaoscluster:", err)
		}
	}
}

// environment is that of a process which reaches the store and the bucket at
// these addresses.
func (p *parts) environment(store, bucket string) []string {
	var env []string
	for _, s := range os.Environ() {
		if !strings.HasPrefix(s, "TALLYBOOK_") && !strings.HasPrefix(s, "AWS_") {
			env = append(env, s)
		}
	}
	database, archive, query := *p.store, *p.archive, p.archive.Query()
	database.Host = store
	query.Set("endpoint", "http://"+bucket)
	archive.RawQuery = query.Encode()
	env = append(env, "TALLYBOOK_BROKERS="+p.kafka.Address, "TALLYBOOK_PARTITIONS=6",
		"TALLYBOOK_STORE="+database.String(), "TALLYBOOK_ARCHIVE="+archive.String())
	return append(env, p.s3.Env...)
}

// command is tallybook, past all proxies.
func (p *parts) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.tallybook, append(args, "--data", filepath.Join(p.work, "command"))...)
	cmd.Env = p.environment(p.store.Host, p.bucket)
	return cmd
}
