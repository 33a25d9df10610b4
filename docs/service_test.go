//go:build guides

package docs

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// service is what a block marked server has started.
type service struct {
	cmd   *exec.Cmd
	log   string
	url   string
	known string // the key of the one before it
	gone  chan struct{}
	*ports
}

var (
	keyText = regexp.MustCompile(`tally_[A-Za-z0-9_-]{43}`)
	listens = regexp.MustCompile(`--http (127\.0\.0\.1:\d+)`)
)

func serve(t *testing.T, term *terminal, text string, p *ports) *service {
	t.Helper()
	term.count++
	s := &service{log: filepath.Join(term.files, fmt.Sprintf("server%d", term.count)), url: "http://" + p.here("127.0.0.1:8080"), gone: make(chan struct{}), ports: p}
	if own := listens.FindStringSubmatch(text); own != nil {
		s.url = "http://" + own[1]
	}
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
