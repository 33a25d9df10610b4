package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/segmentio/kafka-go"

	"tallybook/api/apitest"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

// The test binary is tallybook itself when this variable is set.
const asTallybook = "TEST_RUN_AS_TALLYBOOK"

func TestMain(m *testing.M) {
	if os.Getenv(asTallybook) != "" {
		main()
		return
	}
	for _, v := range os.Environ() { // of the shell that runs the tests
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, envPrefix) {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

var patience = time.Minute // of a test that waits for a condition

func tallybookCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asTallybook+"=1")
	return cmd
}

// outcome of a command that ended.
type outcome struct {
	code        int
	out, errors string
}

func tallybook(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, tallybookCommand(t, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (o outcome) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code: got %d, want %d\n%s%s", o.code, code, o.out, o.errors)
	}
	for _, text := range texts {
		if !strings.Contains(o.out+o.errors, text) {
			t.Errorf("got %s%s\nwant in it: %s", o.out, o.errors, text)
		}
	}
}

// server is a tallybook that runs, on ports of its own choice.
type server struct {
	*exec.Cmd
	url, kafka, data string
	key              string       // an administrator's
	http             *http.Client // nil: the default one
	output           *output
	ended            chan struct{}
}

// output is what a process has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

var upLine = regexp.MustCompile(`"tallybook is up" http=(\S+) kafka=(\S+)`)
var keyLine = regexp.MustCompile(`(?m)(?:^ +|KEY=)(tally_\S{43})$`)

// start runs command on a data folder and waits until it is ready.
func start(t *testing.T, command, data string, args ...string) *server {
	t.Helper()
	args = append([]string{command, "--data", data, "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0", "--log-level", "info"}, args...)
	s := &server{Cmd: tallybookCommand(t, args...), data: data, output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	s.until(t, "it is up", func() bool { return upLine.MatchString(s.output.String()) })
	m := upLine.FindStringSubmatch(s.output.String())
	s.url, s.kafka = m[1], m[2]
	if m := keyLine.FindStringSubmatch(s.output.String()); m != nil {
		s.key = m[1]
	} else {
		s.key = strings.TrimSpace(tallybook(t, "keys", "create", "--role", "admin", "--data", data).out)
	}
	s.until(t, "it is ready", func() bool { _, status := s.get("/readyz"); return status == http.StatusOK })
	s.checkAnswers(t)
	return s
}

// checkAnswers holds every answer from now on against the document that the
// process itself shows.
func (s *server) checkAnswers(t *testing.T) {
	t.Helper()
	body, status := s.get("/openapi.json")
	if status != http.StatusOK {
		t.Fatalf("openapi.json: %d %s", status, body)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	s.http = &http.Client{Transport: apitest.New(t, doc).Transport(t, http.DefaultTransport)}
}

// launch starts the process, and sees to its end when the test ends.
func launch(t *testing.T, s *server) {
	t.Helper()
	s.Stdout, s.Stderr = s.output, s.output
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.Wait() // the state says how it ended
	}()
	t.Cleanup(func() {
		_ = s.Process.Kill() // most have ended
		<-s.ended
	})
}

// until waits for a condition; a process that has ended will not fulfil it.
func (s *server) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !condition(); {
		select {
		case <-s.ended:
			t.Fatalf("wait until %s: it ended\n%s", what, s.output)
		case <-limit:
			t.Fatalf("wait until %s: in vain\n%s", what, s.output)
		case <-tick.C:
		}
	}
}

// stop ends it as Ctrl-C does, and returns the exit code.
func (s *server) stop(t *testing.T) int {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	return s.ProcessState.ExitCode()
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

// get answers with status 0 where nobody answers.
func (s *server) get(path string) (body string, status int) {
	return s.ask(http.MethodGet, path, nil)
}

// ask sends a request with the administrator's key.
func (s *server) ask(method, path string, content io.Reader) (body string, status int) {
	req, err := http.NewRequest(method, s.url+path, content)
	if err != nil {
		return err.Error(), 0
	}
	req.Header.Set("apiKey", s.key)
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := s.http
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return err.Error(), 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error(), 0
	}
	return string(b), res.StatusCode
}

// total is the sum of a meter over all time, for an account.
func (s *server) total(t *testing.T, meter, account string) (n int64) {
	t.Helper()
	body, status := s.get("/api/v1/meters/" + meter + "/query?subject=" + account + "&from=2000-01-01T00:00:00Z")
	var answer struct{ Data []meterRow }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("meter %s: %d %v: %s", meter, status, err, body)
	}
	for _, row := range answer.Data {
		n += row.Value
	}
	return n
}

func (s *server) flags() []string { return []string{"--data", s.data, "--kafka-listen", s.kafka} }

// command runs another command on the same data folder.
func (s *server) command(t *testing.T, args ...string) outcome {
	t.Helper()
	return tallybook(t, append(args, s.flags()...)...)
}

// produce sends one record, as any Kafka client may.
func (s *server) produce(t *testing.T, topic schemas.Topic, key, value string) {
	t.Helper()
	k := broker.NewKafka(s.kafka)
	defer k.Close()
	w := k.Writer(topic)
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.WriteMessages(ctx, kafka.Message{Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}
