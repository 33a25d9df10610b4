package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// parts are the processes that are not ours. They come back with their data, at
// the addresses that they had.
type parts struct {
	work      string
	tallybook string
	brokers   string
	store     string // URL
	bucket    string // URL of the S3 server
	archive   string // folder that the S3 server keeps the archive's objects in
	log       *os.File
}

const (
	accessKey = "tallybook" // scripts/s3.sh
	secretKey = "tallybook-secret"
)

func startParts(ctx context.Context, work string) (_ *parts, err error) {
	p := &parts{work: work, tallybook: filepath.Join(work, "tallybook")}
	if p.log, err = os.Create(filepath.Join(work, "parts.log")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	build := exec.CommandContext(ctx, "go", "build", "-o", p.tallybook, "tallybook")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build tallybook: %w", err)
	}
	if p.brokers, err = p.script("kafka", "start"); err != nil {
		return nil, err
	}
	if p.store, err = p.script("postgres", "start"); err != nil {
		return nil, err
	}
	if _, err = p.script("s3", "start"); err != nil {
		return nil, err
	}
	port, err := os.ReadFile(filepath.Join(work, "s3", "port"))
	if err != nil {
		return nil, err
	}
	p.bucket = "127.0.0.1:" + strings.TrimSpace(string(port))
	p.archive = filepath.Join(work, "s3", "buckets", "tallybook", "archive")
	return p, nil
}

// script runs scripts/NAME.sh COMMAND with the part's folder; the last line of
// what it prints is the answer.
func (p *parts) script(name, command string, more ...string) (string, error) {
	cmd := exec.Command(filepath.Join("scripts", name+".sh"), append([]string{command, filepath.Join(p.work, name)}, more...)...)
	cmd.Stderr = p.log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/%s.sh %s: %w; see %s", name, command, err, p.log.Name())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// restart kills a part as a power failure does, and starts it again.
func (p *parts) restart(name string) error {
	how := []string{"kill"}
	if name == "postgres" {
		how = []string{"stop", "immediate"}
	}
	if _, err := p.script(name, how[0], how[1:]...); err != nil {
		return err
	}
	_, err := p.script(name, "start")
	return err
}

func (p *parts) stop() {
	var errs []error
	for _, name := range []string{"kafka", "s3", "postgres"} {
		_, err := p.script(name, "stop")
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "chaoscluster:", err)
	}
	p.log.Close()
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
	return append(env, "TALLYBOOK_BROKERS="+p.brokers, "TALLYBOOK_PARTITIONS=6", "TALLYBOOK_STORE="+store,
		"TALLYBOOK_ARCHIVE=s3://tallybook/archive?pathstyle=true&endpoint=http://"+bucket,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
}

// command is tallybook, past all proxies.
func (p *parts) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.tallybook, append(args, "--data", filepath.Join(p.work, "command"))...)
	cmd.Env = p.environment(p.store, p.bucket)
	return cmd
}
