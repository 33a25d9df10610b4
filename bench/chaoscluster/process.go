package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"tallybook/bench/known"
	"tallybook/bench/servers"
)

const stopLimit = 10 * time.Second

// process is a tallybook with its own ways to the store and the bucket.
type process struct {
	name          string
	args          []string
	parts         *parts
	store, bucket *servers.Proxy
	cmd           *exec.Cmd
	log           *os.File
	from          int64 // where the log of this life begins
	exited        chan struct{}
	url           string
}

// newProcess starts tallybook with args, and a data folder of its own.
func newProcess(p *parts, name string, args ...string) (_ *process, err error) {
	c := &process{name: name, parts: p}
	c.args = append(args, "--no-auth", "--data", filepath.Join(p.work, name), "--http", "127.0.0.1:0")
	if c.store, err = servers.StartProxy(p.store.Host); err != nil {
		return nil, err
	}
	if c.bucket, err = servers.StartProxy(p.bucket); err != nil {
		return nil, err
	}
	if c.log, err = os.OpenFile(filepath.Join(p.work, name+".log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	return c, c.start()
}

func (c *process) start() (err error) {
	if c.from, err = c.log.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	c.cmd = exec.Command(c.parts.tallybook, c.args...)
	c.cmd.Env = c.parts.environment(c.store.Addr(), c.bucket.Addr())
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.url = ""
	c.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // the state says how it ended
		close(exited)
	}(c.cmd, c.exited)
	return nil
}

// kill ends it as a power failure does.
func (c *process) kill() {
	if c.cmd.Process == nil {
		return // it never began
	}
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.exited
}

// freeze stops it for a while. It never knows.
func (c *process) freeze(ctx context.Context, d time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, d)
	return errors.Join(err, c.cmd.Process.Signal(syscall.SIGCONT))
}

// cutOff holds back for a while what it and the store, or the bucket, say to each
// other.
func (c *process) cutOff(ctx context.Context, store bool, d time.Duration) error {
	way := c.bucket
	if store {
		way = c.store
	}
	way.SetCut(true)
	defer way.SetCut(false)
	return pause(ctx, d)
}

// end is what an operator does.
func (c *process) end() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.exited:
	case <-time.After(stopLimit):
		return known.Finding(fmt.Sprintf("%s is still there %s after SIGTERM", c.name, stopLimit))
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		return known.Finding(fmt.Sprintf("%s: exit code %d after SIGTERM", c.name, code))
	}
	return nil
}

// lives: one that ended by itself is a finding.
func (c *process) lives() error {
	select {
	case <-c.exited:
		return known.Finding(fmt.Sprintf("%s ended by itself: %s; see %s", c.name, c.cmd.ProcessState, c.log.Name()))
	default:
		return nil
	}
}

var (
	upLine  = regexp.MustCompile(`http=(http://\S+)`)
	prober  = http.Client{Timeout: 2 * time.Second}
	upRange = int64(1 << 20) // of its log, in which it says where it listens
)

// address is where it listens; empty until it says so.
func (c *process) address() string {
	if c.url == "" {
		text, err := io.ReadAll(io.NewSectionReader(c.log, c.from, upRange))
		if err != nil {
			return ""
		}
		if m := upLine.FindSubmatch(text); m != nil {
			c.url = string(m[1])
		}
	}
	return c.url
}

// ready is nil where it does what it was started for.
func (c *process) ready() error {
	if err := c.lives(); err != nil {
		return err
	}
	at := c.address()
	if at == "" {
		return errors.New("it starts")
	}
	res, err := prober.Get(at + "/readyz")
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

func (c *process) close() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	c.kill()
	c.store.Close()
	c.bucket.Close()
	c.log.Close()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
