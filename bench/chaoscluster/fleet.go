package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"tallybook/bench/known"
)

const (
	pipelines     = 3
	recoveryLimit = 3 * time.Minute // then it does not recover by itself
	stopLimit     = 10 * time.Second
)

// fleet are the pipelines, of which one or the other is dead.
type fleet struct {
	parts   *parts
	workers []*pipeline
	made    int
	client  http.Client
}

// pipeline is a process with workers, and its own ways to the store and the bucket.
type pipeline struct {
	name          string
	parts         *parts
	store, bucket *proxy
	cmd           *exec.Cmd
	log           *os.File
	from          int64 // where the log of this life begins
	exited        chan struct{}
	url           string
}

func newFleet(p *parts) *fleet {
	return &fleet{parts: p, client: http.Client{Timeout: 2 * time.Second}}
}

// add starts one more.
func (f *fleet) add() (*pipeline, error) {
	f.made++
	p := &pipeline{name: fmt.Sprintf("pipeline-%d", f.made), parts: f.parts}
	store, err := url.Parse(f.parts.store)
	if err != nil {
		return nil, err
	}
	if p.store, err = startProxy(store.Host); err != nil {
		return nil, err
	}
	if p.bucket, err = startProxy(f.parts.bucket); err != nil {
		return nil, err
	}
	if p.log, err = os.OpenFile(filepath.Join(f.parts.work, p.name+".log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	f.workers = append(f.workers, p)
	return p, p.start()
}

func (p *pipeline) start() error {
	store, err := url.Parse(p.parts.store)
	if err != nil {
		return err
	}
	store.Host = p.store.addr()
	if p.from, err = p.log.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	p.cmd = exec.Command(p.parts.tallybook, "pipeline", "--no-auth", "--data", filepath.Join(p.parts.work, p.name), "--http", "127.0.0.1:0")
	p.cmd.Env = p.parts.environment(store.String(), p.bucket.addr())
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.url = ""
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // the state says how it ended
		close(exited)
	}(p.cmd, p.exited)
	return nil
}

// kill ends it as a power failure does.
func (p *pipeline) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

var upLine = regexp.MustCompile(`"tallybook is up" http=(\S+)`)

// address is where it listens; empty until it says so.
func (p *pipeline) address() string {
	if p.url == "" {
		text, err := os.ReadFile(p.log.Name())
		if err != nil {
			return ""
		}
		if m := upLine.FindSubmatch(text[p.from:]); m != nil {
			p.url = string(m[1])
		}
	}
	return p.url
}

// ready is nil where it reads partitions and can write them.
func (f *fleet) ready(p *pipeline) error {
	select {
	case <-p.exited:
		return known.Finding(fmt.Sprintf("%s ended by itself: %s; see %s", p.name, p.cmd.ProcessState, p.log.Name()))
	default:
	}
	at := p.address()
	if at == "" {
		return errors.New("it starts")
	}
	res, err := f.client.Get(at + "/readyz")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var body [300]byte
		n, _ := res.Body.Read(body[:])
		return fmt.Errorf("%s: %s", res.Status, body[:n])
	}
	return nil
}

// recovered waits until all are ready, and says how long that took.
func (f *fleet) recovered(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		var why error
		for _, p := range f.workers {
			if err := f.ready(p); err != nil {
				if errors.As(err, new(known.Finding)) {
					return 0, err
				}
				why = fmt.Errorf("%s: %w", p.name, err)
				break
			}
		}
		took := time.Since(began)
		if why == nil {
			return took, nil
		}
		if took > recoveryLimit {
			return 0, known.Finding(fmt.Sprintf("not ready again after %s: %v", recoveryLimit, why))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// remove takes one away as an operator does.
func (f *fleet) remove(p *pipeline) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		return known.Finding(fmt.Sprintf("%s is still there %s after SIGTERM", p.name, stopLimit))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return known.Finding(fmt.Sprintf("%s: exit code %d after SIGTERM", p.name, code))
	}
	f.workers = slices.DeleteFunc(f.workers, func(other *pipeline) bool { return other == p })
	p.close()
	return nil
}

func (p *pipeline) close() {
	p.store.close()
	p.bucket.close()
	p.log.Close()
}

func (f *fleet) close() {
	for _, p := range f.workers {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.kill()
		p.close()
	}
	f.workers = nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
