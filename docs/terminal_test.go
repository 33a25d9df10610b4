//go:build guides

package docs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// terminal is the shell of a guide.
type terminal struct {
	dir   string // of the checkout
	files string // scripts and what they print
	env   []string
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan string // a line for each block: its exit code
	count int
}

func newTerminal(t *testing.T, dir string, settings []string) *terminal {
	t.Helper()
	term := &terminal{dir: dir, files: t.TempDir(), ended: make(chan string)}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TALLYBOOK_") {
			term.env = append(term.env, v)
		}
	}
	curlrc := []byte("fail-with-body\nsilent\nshow-error\n")
	if err := os.WriteFile(filepath.Join(term.files, ".curlrc"), curlrc, 0o644); err != nil {
		t.Fatal(err)
	}
	term.env = append(term.env, settings...)
	term.env = append(term.env, "CURL_HOME="+term.files, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1")
	codes, code, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	term.cmd = term.bash("-e")
	term.cmd.ExtraFiles = []*os.File{code}
	if term.in, err = term.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code.Close()
	go func() {
		defer close(term.ended)
		defer codes.Close()
		for lines := bufio.NewScanner(codes); lines.Scan(); {
			term.ended <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-term.cmd.Process.Pid, syscall.SIGKILL) // what a guide left running, too
		_ = term.cmd.Wait()
	})
	return term
}

// bash has a process group of its own, so that what it starts ends with it.
func (term *terminal) bash(args ...string) *exec.Cmd {
	cmd := exec.Command("bash", args...)
	cmd.Dir, cmd.Env = term.dir, term.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// run lets the shell do a block; refused ones in a shell below it, since they
// end it.
func (term *terminal) run(t *testing.T, where, text string, refused bool) (code int, out, problems string) {
	t.Helper()
	term.count++
	base := filepath.Join(term.files, strconv.Itoa(term.count))
	if err := os.WriteFile(base, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf(". %[1]s </dev/null >%[1]s.out 2>%[1]s.err 3>&-; echo $? >&3\n", base)
	if refused {
		line = fmt.Sprintf("set +e; (set -e; . %[1]s) </dev/null >%[1]s.out 2>%[1]s.err 3>&-; echo $? >&3; set -e\n", base)
	}
	if _, err := io.WriteString(term.in, line); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	read := func(suffix string) string {
		b, err := os.ReadFile(base + suffix)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	select {
	case said, ok := <-term.ended:
		if !ok { // bash -e has ended
			return 1, read(".out"), read(".err")
		}
		code, err := strconv.Atoi(said)
		if err != nil {
			t.Fatal(err)
		}
		return code, read(".out"), read(".err")
	case <-time.After(blockPatience):
		t.Fatalf("%s: no end after %v:\n%s%s%s", where, blockPatience, text, read(".out"), read(".err"))
	}
	return 0, "", ""
}

// write puts a file where the shell is.
func (term *terminal) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(term.files, "file")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, problems := term.run(t, name, fmt.Sprintf("cp %s %s", path, name), false); code != 0 {
		t.Fatalf("write %s: %s", name, problems)
	}
}

func (term *terminal) close(t *testing.T) {
	t.Helper()
	term.in.Close()
	if err := term.cmd.Wait(); err != nil {
		t.Errorf("the shell ended with %v", err)
	}
}
