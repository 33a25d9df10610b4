//go:build guides

package docs

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	blockPatience = 5 * time.Minute // for one block: installs, builds, on a busy machine
	againPatience = 30 * time.Second
)

// TestGuides does what the guides say, each in a terminal of its own. All of them
// have their copy of the checkout at the same place, one after the other, so that
// Go has built it when one says make run.
func TestGuides(t *testing.T) {
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("guides-%x", crc32.ChecksumIEEE([]byte(here))), "tallybook")
	t.Cleanup(func() { discard(t, filepath.Dir(dir)) })
	checkout(t, dir)
	build := exec.Command("make", "-s", "build")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	binary := filepath.Join(t.TempDir(), "tallybook")
	if err := os.Rename(filepath.Join(dir, "bin/tallybook"), binary); err != nil {
		t.Fatal(err)
	}
	for _, name := range guides(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".md"), func(t *testing.T) {
			blocks, err := read(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(blocks) == 0 {
				return
			}
			checkout(t, dir)
			if out, err := exec.Command("cp", binary, filepath.Join(dir, "bin")).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			follow(t, name, dir, blocks)
		})
	}
}

// follow is the reader of one guide.
func follow(t *testing.T, name, dir string, blocks []*block) {
	ports := newPorts(t, name)
	term := newTerminal(t, dir, ports.environment())
	var server *service
	for _, b := range blocks {
		where := fmt.Sprintf("%s:%d", filepath.Base(name), b.line)
		text := ports.here(b.text)
		if server != nil {
			server.settle(t)
			if key := server.key(); key != "" {
				text = strings.ReplaceAll(text, "tally_…", key)
			}
		}
		switch {
		case b.lang != "sh" && b.mark != "" && !slices.Contains(parsedOnly, b.mark):
			term.write(t, b.mark, text)
		case b.lang != "sh" || b.mark == "make":
		case slices.Contains(parsedOnly, b.mark):
			if out, err := exec.Command("bash", "-n", "-c", text).CombinedOutput(); err != nil {
				t.Fatalf("%s: bash -n: %v\n%s", where, err, out)
			}
		case b.mark == "server":
			known := ""
			if server != nil {
				server.stop(t)
				known = server.key()
			}
			server = serve(t, term, text, ports)
			server.known = known
			server.ready(t, where, known == "" && wantsKey(blocks))
			server.shows(t, where, b.shown)
		default:
			term.step(t, where, text, b, ports)
		}
	}
	term.close(t)
}

func wantsKey(blocks []*block) bool {
	for _, b := range blocks {
		if b.lang == "sh" && strings.Contains(b.text, "tally_…") {
			return true
		}
	}
	return false
}

// step runs a block, and holds what it prints against what the guide shows.
func (term *terminal) step(t *testing.T, where, text string, b *block, ports *ports) {
	for limit := time.Now().Add(againPatience); ; {
		code, out, problems := term.run(t, where, text, b.mark == "refused")
		out, problems = ports.there(out), ports.there(problems)
		t.Logf("%s\n%s%s", where, out, problems)
		same := b.shown == nil || pattern(b.shown.text).MatchString(bare(out))
		if b.mark == "again" && !same && code == 0 && time.Now().Before(limit) {
			term.run(t, where, "sleep 0.2", false)
			continue
		}
		switch {
		case b.mark == "refused" && code == 0:
			t.Fatalf("%s: this was to fail:\n%s", where, b.text)
		case b.mark != "refused" && code != 0:
			t.Fatalf("%s: ended with %d:\n%s%s%s", where, code, b.text, out, problems)
		case !same:
			t.Errorf("%s: printed\n%s\nand not, as shown,\n%s", where, out, b.shown.text)
		}
		return
	}
}

// pattern is what a shown answer stands for.
func pattern(shown string) *regexp.Regexp {
	pieces := strings.Split(bare(shown), "…")
	for i := range pieces {
		pieces[i] = regexp.QuoteMeta(pieces[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(pieces, `.*`) + `$`)
}

// bare is text without its white space.
func bare(text string) string { return strings.Join(strings.Fields(text), "") }

// checkout makes dir a copy of this one's files, as they are now, and of nothing
// else.
func checkout(t *testing.T, dir string) {
	t.Helper()
	discard(t, dir)
	script := `mkdir -p "$1/bin" && cd .. && git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' f; do [ -e "$f" ] && printf '%s\0' "$f"; done | xargs -0 cp --parents -t "$1"`
	if out, err := exec.Command("bash", "-ec", script, "bash", dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the checkout: %v\n%s", err, out)
	}
}

// discard removes a folder, modules of Go in it too, which are read-only.
func discard(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("bash", "-c", `[ ! -e "$1" ] || { chmod -R u+w "$1"; rm -rf "$1"; }`, "bash", dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// ports are those of a guide's text, and the free ones that stand for them.
type ports struct{ to, from *strings.Replacer }

var address = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}\b`)

func newPorts(t *testing.T, name string) *ports {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var to, from []string
	seen := map[string]bool{}
	for _, a := range append(address.FindAllString(string(text), -1), "127.0.0.1:8080", "127.0.0.1:9092") {
		if seen[a] {
			continue
		}
		seen[a] = true
		l := listen(t)
		defer l.Close() // when all are chosen
		to, from = append(to, a, l.Addr().String()), append(from, l.Addr().String(), a)
	}
	return &ports{to: strings.NewReplacer(to...), from: strings.NewReplacer(from...)}
}

// listen takes a port below those that connections get, so that none has it until
// a guide's server does.
func listen(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))); err == nil {
			return l
		}
	}
	t.Fatal("no free port from 20000 to 31999 in 100 tries")
	return nil
}

func (p *ports) here(text string) string  { return p.to.Replace(text) }
func (p *ports) there(text string) string { return p.from.Replace(text) }

// environment makes the service listen on what stands for its own ports.
func (p *ports) environment() []string {
	return []string{"TALLYBOOK_HTTP=" + p.here("127.0.0.1:8080"), "TALLYBOOK_KAFKA_LISTEN=" + p.here("127.0.0.1:9092")}
}
