//go:build python

// The sending client in contrib/ against the running binary:
// go test -tags python -run TestSendingClient .
package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestSendingClient(t *testing.T) {
	s := start(t, "run", t.TempDir())
	send := func(args ...string) (string, error) {
		cmd := exec.Command("python3", append([]string{"contrib/send_mail.py"}, args...)...)
		cmd.Env = append(os.Environ(), "TALLYBOOK_URL="+s.url, "TALLYBOOK_KEY="+s.key, "NO_PROXY=127.0.0.1")
		cmd.Stdin = strings.NewReader("<h1>Your billing amount:</h1><p>$10</p>")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	first, err := send("fake@example.com", "--key", "k")
	if err != nil || !strings.HasPrefix(first, "sent by log ") {
		t.Errorf("got %s%v", first, err)
	}
	if again, err := send("fake@example.com", "--key", "k"); err != nil || again != first {
		t.Errorf("again: got %s%v, want %s", again, err, first)
	}
	if out, err := send("fake"); err == nil || !strings.HasPrefix(out, "400: to must be") {
		t.Errorf("a bad address: got %s%v", out, err)
	}
}
