//go:build guides

package docs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	t.Cleanup(func() { end(term.cmd, syscall.SIGKILL) })
	return term
}

// bash has a process group of its own, so that what it starts ends with it.
func (term *terminal) bash(args ...string) *exec.Cmd {
	cmd := exec.Command("bash", args...)
	cmd.Dir, cmd.Env = term.dir, term.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func end(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.ProcessState == nil {
		_ = syscall.Kill(-cmd.Process.Pid, signal) // it may have ended meanwhile
		_ = cmd.Wait()
	}
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

// service is what a block marked server has started.
type service struct {
	cmd   *exec.Cmd
	log   string
	url   string
	known string // the key of the one before it
	gone  chan struct{}
	*ports
}

var keyText = regexp.MustCompile(`tally_[A-Za-z0-9_-]{43}`)

func serve(t *testing.T, term *terminal, text string, p *ports) *service {
	t.Helper()
	term.count++
	s := &service{log: filepath.Join(term.files, fmt.Sprintf("server%d", term.count)), url: "http://" + p.here("127.0.0.1:8080"), gone: make(chan struct{}), ports: p}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = term.bash("-ec", text)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	go func() {
		defer close(s.gone)
		_ = s.cmd.Wait() // what it said is in its log
	}()
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *service) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// key is the last one that was printed, empty where none was.
func (s *service) key() string {
	text, err := os.ReadFile(s.log)
	if all := keyText.FindAllString(string(text), -1); err == nil && len(all) > 0 {
		return all[len(all)-1]
	}
	return s.known
}

func (s *service) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(blockPatience); !done(); {
		select {
		case <-s.gone:
			t.Fatalf("%s: the server has ended:\n%s", what, s.said(t))
		case <-limit:
			t.Fatalf("%s: waited in vain:\n%s", what, s.said(t))
		case <-tick.C:
		}
	}
}

func (s *service) get(path string) (status int, body []byte) {
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, nil
	}
	if key := s.key(); key != "" {
		req.Header.Set("apiKey", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	body, _ = io.ReadAll(res.Body) // a part is no JSON
	return res.StatusCode, body
}

func (s *service) ready(t *testing.T, where string, wantKey bool) {
	t.Helper()
	s.until(t, where+": until it is ready", func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK && (!wantKey || keyText.MatchString(s.said(t)))
	})
}

func (s *service) shows(t *testing.T, where string, b *block) {
	t.Helper()
	if b == nil {
		return
	}
	want := pattern(b.text)
	s.until(t, where+": until it prints\n"+b.text, func() bool { return want.MatchString(bare(s.there(s.said(t)))) })
}

// settle waits until all that is in the log is counted, where the service can be
// asked for it.
func (s *service) settle(t *testing.T) {
	t.Helper()
	select {
	case <-s.gone: // a block has ended it
		return
	default:
	}
	s.until(t, "until all is counted", func() bool {
		status, body := s.get("/v1/pipeline")
		var answer struct{ Partitions []struct{ Lag int } }
		if status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
			return true
		}
		lag := 0
		for _, p := range answer.Partitions {
			lag += p.Lag
		}
		return lag == 0
	})
}

// stop is Ctrl-C, and waits.
func (s *service) stop(t *testing.T) {
	t.Helper()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT) // it may have ended by itself
	select {
	case <-s.gone:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.gone
		t.Error("the server did not end within 20 s of Ctrl-C")
	}
}
