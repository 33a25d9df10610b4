package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tallybook/bench/known"
)

// child is the process under test. Its addresses and its data folder stay, it
// comes and goes.
type child struct {
	program, data string
	http, kafka   string
	log           *os.File

	cmd     *exec.Cmd
	started time.Time
	exited  chan struct{}
	readyIn *atomic.Int64 // of this start, in ns; 0: not yet
}

func newChild(program, work, data string) (*child, error) {
	log, err := os.Create(filepath.Join(work, "tallybook.log"))
	if err != nil {
		return nil, err
	}
	c := &child{program: program, data: data, log: log}
	if c.http, err = freeAddr(); err == nil {
		c.kafka, err = freeAddr()
	}
	return c, err
}

// freeAddr is an address on loopback that nobody listens on, below the ports
// that connections get: one of those could be taken, while the process is
// dead, by a client that tries to reach it.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no free port between 20000 and 32000")
}

// command is tallybook with the data folder, without settings from outside.
func (c *child) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program, append(args, "--data", c.data)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TALLYBOOK_") })
	return cmd
}

// start runs it with the usual interval between checkpoints, or with a short
// one, so that more of its life is checkpoint.
func (c *child) start(interval time.Duration) error {
	fmt.Fprintf(c.log, "---- start at %s\n", time.Now().UTC().Format(time.RFC3339Nano))
	cmd := c.command(context.Background(), "run", "--no-auth", "--http", c.http, "--kafka-listen", c.kafka, "--log-level", "warn",
		"--checkpoint-interval", interval.String())
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	c.cmd, c.started, c.exited, c.readyIn = cmd, time.Now(), exited, new(atomic.Int64)
	go func() {
		cmd.Wait() // its state is read where exited is waited for
		close(exited)
	}()
	go c.poll(exited, c.started, c.readyIn)
	return nil
}

// poll notes when the process is ready.
func (c *child) poll(exited chan struct{}, started time.Time, readyIn *atomic.Int64) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-exited:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if status, _, _ := get(client, "http://"+c.http+"/readyz"); status == http.StatusOK {
			readyIn.Store(int64(time.Since(started)))
			return
		}
	}
}

// live waits; a process that ends by itself is a finding.
func (c *child) live(ctx context.Context, life time.Duration) error {
	select {
	case <-time.After(life):
		return nil
	case <-c.exited:
		return known.Finding(fmt.Sprintf("the process ended by itself: %s", c.cmd.ProcessState))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitReady waits until the process is ready, or says why it is not.
func (c *child) waitReady(ctx context.Context, limit time.Duration) error {
	for deadline := time.Now().Add(limit); c.readyIn.Load() == 0; {
		if err := c.live(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			_, body, err := get(http.DefaultClient, "http://"+c.http+"/readyz")
			return known.Finding(fmt.Sprintf("not ready after %s: %s%v", limit, body, err))
		}
	}
	return nil
}

// kill sends SIGKILL and says how long the process took to become ready.
func (c *child) kill() (ready time.Duration, wasReady bool) {
	c.cmd.Process.Kill()
	<-c.exited
	ready = time.Duration(c.readyIn.Load())
	return ready, ready > 0
}

// stop is what a person does: Ctrl-C.
func (c *child) stop(limit time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-c.exited:
	case <-time.After(limit):
		return known.Finding(fmt.Sprintf("still there %s after SIGINT", limit))
	}
	if !c.cmd.ProcessState.Success() {
		return known.Finding(fmt.Sprintf("after SIGINT: %s", c.cmd.ProcessState))
	}
	return nil
}

// close ends the process where something went wrong.
func (c *child) close() {
	if c.cmd != nil && c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		<-c.exited
	}
	c.log.Close()
}

func get(client *http.Client, url string) (status int, body string, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return resp.StatusCode, string(b), err
}
