// Package servers starts the programs that a cluster stands on, by the scripts
// of the checkout, for benchmarks that run at its top. It tells what they cost.
package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is one that runs in a folder of its own. Stop must follow, also where
// the start was interrupted.
type Server struct {
	script, dir string
	pidFile     string   // where the script leaves its process
	kill        []string // what ends it as a power failure does
	env         []string // of the script
	Address     string   // of Kafka host:port, of PostgreSQL a URL, of S3 the archive's URL
	Env         []string // that its clients need
	pid         int
}

// Kafka starts a broker.
func Kafka(ctx context.Context, dir string) (*Server, error) {
	s := &Server{script: "scripts/kafka.sh", dir: dir, pidFile: filepath.Join("1", "pid"), kill: []string{"kill"}}
	out, err := s.start(ctx)
	s.Address = strings.TrimSpace(out)
	return s, err
}

// Postgres starts a PostgreSQL server that syncs, with more options of it.
func Postgres(ctx context.Context, dir, options string) (*Server, error) {
	s := &Server{script: "scripts/postgres.sh", dir: dir, pidFile: filepath.Join("data", "postmaster.pid"), kill: []string{"stop", "immediate"},
		env: []string{"PGOPTIONS_SERVER=" + options}}
	out, err := s.start(ctx)
	s.Address = strings.TrimSpace(out)
	return s, err
}

// S3 starts an object store.
func S3(ctx context.Context, dir string) (*Server, error) {
	s := &Server{script: "scripts/s3.sh", dir: dir, pidFile: "pid", kill: []string{"kill"}}
	out, err := s.start(ctx)
	for line := range strings.Lines(out) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if url, ok := strings.CutPrefix(line, "S3_ARCHIVE="); ok {
			s.Address = strings.Trim(url, "'")
		} else {
			s.Env = append(s.Env, strings.Fields(line)...)
		}
	}
	return s, err
}

func (s *Server) start(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, s.script, "start", s.dir)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who stop it
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s start: %w", s.script, errors.Join(err, ctx.Err()))
	}
	text, err := os.ReadFile(filepath.Join(s.dir, s.pidFile))
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	s.pid, err = strconv.Atoi(strings.TrimSpace(first))
	return string(out), err
}

// Restart ends it as a power failure does, and starts it with its data and at its
// address.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Kill ends it as a power failure does.
func (s *Server) Kill() error { return s.run(s.kill[0], s.kill[1:]...) }

// Start brings it back with its data and at its address.
func (s *Server) Start(ctx context.Context) error {
	_, err := s.start(ctx)
	return err
}

// Stop ends it; what it held stays in its folder.
func (s *Server) Stop() error {
	if s == nil {
		return nil
	}
	return s.run("stop")
}

func (s *Server) run(command string, more ...string) error {
	cmd := exec.Command(s.script, append([]string{command, s.dir}, more...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", s.script, command, err, out)
	}
	return nil
}

// CPU is what the server has used so far; 0 where there is none.
func (s *Server) CPU() (time.Duration, error) {
	if s == nil {
		return 0, nil
	}
	return CPU(s.pid)
}

// CPU is what a process has used so far, with its children: those that run, and
// those that it has waited for.
func CPU(pid int) (time.Duration, error) {
	own, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	ticks := own.self + own.waited
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if st, err := readStat(n); err == nil && st.parent == pid { // others end meanwhile
			ticks += st.self + st.waited
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // Linux counts in hundredths
}

type stat struct {
	parent       int
	self, waited int64
}

// readStat reads /proc/PID/stat; its fields are counted from behind the name,
// which may hold anything.
func readStat(pid int) (st stat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return st, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return st, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if st.parent, err = strconv.Atoi(fields[1]); err != nil {
		return st, err
	}
	var ticks [4]int64 // utime, stime, and of children cutime, cstime
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return st, err
		}
	}
	st.self, st.waited = ticks[0]+ticks[1], ticks[2]+ticks[3]
	return st, nil
}
