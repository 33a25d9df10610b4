package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/bench/servers"
	"tallybook/pipeline/broker"
	"tallybook/store"
)

const group = "tallybook" // the pipelines' consumer group

// setup is how a load is worked off.
type setup struct {
	store   string // sqlite or postgres
	workers int
	prepare func(context.Context, *database) error // before they start
}

func (s setup) String() string { return fmt.Sprintf("%s, %d workers", s.store, s.workers) }

// fleet is the processes of one run.
type fleet struct {
	*load
	setup
	dir, url, archive string
	brokers           *broker.Kafka
	database          *database // nil: SQLite
	store             *store.Store
	processes         []*process
}

// process is a tallybook of the fleet.
type process struct {
	cmd     *exec.Cmd
	log     string // file
	profile string
	exited  chan struct{}
}

// start runs a mode of tallybook with a data folder of its own.
func (f *fleet) start(mode string) (*process, error) {
	name := filepath.Join(f.dir, fmt.Sprintf("%s-%d", mode, len(f.processes)+1))
	p := &process{log: name + ".log", profile: name + ".pprof", exited: make(chan struct{})}
	p.cmd = f.command(context.Background(), mode, "--no-auth", "--http", "127.0.0.1:0", "--data", name, "--brokers", f.kafka.Address,
		"--partitions", fmt.Sprint(partitions), "--store", f.url, "--archive", f.archive, "--cpu-profile", p.profile)
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	f.processes = append(f.processes, p)
	go func() {
		_ = p.cmd.Wait() // its state says how it ended
		close(p.exited)
	}()
	return p, nil
}

// startTogether starts the workers; they begin to work when open is called. With
// PostgreSQL none can take a partition over until all have joined the group:
// else the first would have done half before the last has its share.
func (f *fleet) startTogether(ctx context.Context) (open func(), err error) {
	open = func() {}
	if f.database != nil {
		if open, err = f.database.shut(ctx); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			open()
		}
	}()
	for range f.workers {
		if _, err := f.start("pipeline"); err != nil {
			return nil, err
		}
	}
	if f.database == nil {
		return open, f.until(ctx, "the worker is ready", func() (bool, error) { return f.processes[0].ready(), nil })
	}
	return open, f.until(ctx, "all are in the group", func() (bool, error) { return f.joined(ctx) })
}

// joined: the group has a member a worker, each with partitions.
func (f *fleet) joined(ctx context.Context) (bool, error) {
	all, err := f.brokers.Client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || len(all.Groups) != 1 {
		return false, err
	}
	g := &all.Groups[0]
	if g.GroupState != "Stable" || len(g.Members) != f.workers {
		return false, nil
	}
	for i := range g.Members {
		if len(g.Members[i].MemberAssignments.Topics) == 0 {
			return false, nil
		}
	}
	return true, nil
}

var upLine = regexp.MustCompile(`http=(http://\S+)`)

// url is where it listens; empty until it says so.
func (p *process) url() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	if m := upLine.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

func (p *process) ready() bool {
	url := p.url()
	if url == "" {
		return false
	}
	res, err := http.Get(url + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// patience is how long anything may take: on a quiet machine 2 million events
// take some seconds.
const patience = 4 * time.Minute

// until waits; a process that ends meanwhile is an error.
func (f *fleet) until(ctx context.Context, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		good, err := is()
		if good || err != nil {
			return err
		}
		for _, p := range f.processes {
			select {
			case <-p.exited:
				return fmt.Errorf("%s ended while waiting until %s: %s", filepath.Base(p.log), what, p.lastWords())
			default:
			}
		}
		select {
		case <-ctx.Done():
			words := ""
			for _, p := range f.processes {
				words += "\n" + filepath.Base(p.log) + ": " + p.lastWords()
			}
			return fmt.Errorf("waiting until %s: %w%s", what, ctx.Err(), words)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// stop ends the processes as an operator does.
func (f *fleet) stop() error {
	for _, p := range f.processes {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	for _, p := range f.processes {
		select {
		case <-p.exited:
		case <-time.After(time.Minute):
			return fmt.Errorf("%s: still there a minute after SIGTERM", filepath.Base(p.log))
		}
		if !p.cmd.ProcessState.Success() {
			return fmt.Errorf("%s: %s: %s", filepath.Base(p.log), p.cmd.ProcessState, p.lastWords())
		}
	}
	return nil
}

// close leaves nothing of the run, however it ended.
func (f *fleet) close() {
	for _, p := range f.processes {
		_ = p.cmd.Process.Kill() // it has ended as a rule
		<-p.exited
	}
	f.brokers.Close()
	var err error
	if f.store != nil {
		err = f.store.Close()
	}
	if f.database != nil {
		err = errors.Join(err, f.database.drop())
	}
	if err := errors.Join(err, os.RemoveAll(f.dir)); err != nil {
		log.Print(err)
	}
}

// costs are CPU so far.
type costs struct{ workers, kafka, postgres, s3 time.Duration }

func (c costs) minus(d costs) costs {
	return costs{c.workers - d.workers, c.kafka - d.kafka, c.postgres - d.postgres, c.s3 - d.s3}
}

func (f *fleet) costs() (c costs, err error) {
	for _, p := range f.processes {
		cpu, err := servers.CPU(p.cmd.Process.Pid)
		if err != nil {
			return c, err
		}
		c.workers += cpu
	}
	for _, server := range []struct {
		to *time.Duration
		s  *servers.Server
	}{{&c.kafka, f.kafka}, {&c.postgres, f.postgres}, {&c.s3, f.s3}} {
		if *server.to, err = server.s.CPU(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// readMetrics adds up what the processes say of their checkpoints.
func (f *fleet) readMetrics() (steps, error) {
	s := steps{}
	for _, p := range f.processes {
		res, err := http.Get(p.url() + "/metrics")
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			err = s.add(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(p.log), err)
		}
	}
	return s, nil
}
