//go:build python

// Mails as read by a program of somebody else: go test -tags python ./mail/
// Needs python3.
package mail

import (
	"os/exec"
	"testing"
)

func TestReadByPython(t *testing.T) {
	dir := t.TempDir()
	writeSamples(t, dir)
	out, err := exec.Command("python3", "testdata/read_mails.py", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
