//go:build python

// Mails as read by a program of somebody else: go test -tags python ./mail/
// Needs python3.
package mail

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
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

// writeSamples is for readers outside of this program: each mail and what it says.
func writeSamples(t *testing.T, dir string) {
	t.Helper()
	for name, r := range hardMails() {
		m := messageOf(t, r)
		text, err := m.mime()
		if err != nil {
			t.Fatal(err)
		}
		said, err := json.Marshal(map[string]string{"to_name": r.ToName, "from_name": r.FromName, "subject": r.Subject, "html": r.Body, "text": m.text,
			"message_id": m.headerID})
		if err != nil {
			t.Fatal(err)
		}
		base := dir + "/" + strings.ReplaceAll(name, " ", "-")
		if err := os.WriteFile(base+".eml", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(base+".json", said, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
