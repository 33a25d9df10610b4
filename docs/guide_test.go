package docs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// block is a fenced one of a guide.
type block struct {
	line  int // of its first fence, from 1
	lang  string
	mark  string // the second word after the fence: a mark, or a file's name
	text  string
	shown *block // what it prints
}

var marks = append([]string{"", "server", "again", "refused", "make"}, parsedOnly...)

// parsedOnly mark what needs more than CI has.
var parsedOnly = []string{"docker", "kubernetes", "elsewhere"}

// guides are the documents.
func guides(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"../README.md"}, names...)
}

func read(name string) ([]*block, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parse(name, text)
}

// parse splits a guide into its blocks. The blocks that are shown answers hang at
// the ones that print them.
func parse(name string, text []byte) (blocks []*block, err error) {
	var open *block
	adjacent := false // nothing but empty lines since the last block
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && fence:
			lang, mark, _ := strings.Cut(strings.TrimSpace(info), " ")
			open = &block{line: n, lang: lang, mark: mark}
		case open == nil:
			adjacent = adjacent && strings.TrimSpace(line) == ""
		case !fence:
			open.text += line + "\n"
		default:
			if adjacent && open.isAnswer() && blocks[len(blocks)-1].lang == "sh" && blocks[len(blocks)-1].shown == nil {
				blocks[len(blocks)-1].shown = open
			} else {
				blocks = append(blocks, open)
			}
			open, adjacent = nil, true
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: a fence that does not end", name, open.line)
	}
	return blocks, lines.Err()
}

func (b *block) isAnswer() bool {
	return b.mark == "" && slices.Contains([]string{"text", "json", "csv"}, b.lang)
}

// check says what is wrong with the form of a block; after are those below it.
func (b *block) check(after []*block) error {
	switch {
	case b.lang == "sh":
		if !slices.Contains(marks, b.mark) {
			return fmt.Errorf("the mark %q is none of %q", b.mark, marks)
		}
		if b.mark == "again" && b.shown == nil {
			return errors.New("without what it prints there is no end to again")
		}
		if b.mark == "make" {
			return checkTargets(b.text)
		}
		return nil
	case slices.Contains(parsedOnly, b.mark), b.lang == "yaml" && b.mark == "":
		return checkYAML(b.text)
	case b.lang == "json" && b.mark == "":
		if !json.Valid([]byte(b.text)) {
			return errors.New("no JSON")
		}
		return nil
	case b.mark == "":
		return errors.New("it is neither a sh block, nor what the one above it prints, nor has it a file's name")
	}
	named := func(later *block) bool { return later.lang == "sh" && strings.Contains(later.text, b.mark) }
	if !slices.ContainsFunc(after, named) {
		return fmt.Errorf("no sh block below uses %s", b.mark)
	}
	return nil
}

func checkYAML(text string) error {
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var any any
		if err := d.Decode(&any); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var command = regexp.MustCompile(`(?m)^    (sudo|bin/tallybook|tallybook|curl|psql|pg_[a-z]+|mv|cp|docker|kubectl|pip|python3) .*`)

// Commands stand in blocks, which are run or at least parsed.
func TestCommandsStandInBlocks(t *testing.T) {
	for _, name := range guides(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range command.FindAllString(prose(string(text)), -1) {
			t.Errorf("%s: this is in no sh block: %s", name, line)
		}
	}
}

var target = regexp.MustCompile(`(?m)^make ([a-z-]+)`)

// checkTargets: every line runs make, for a target that there is.
func checkTargets(text string) error {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		m := target.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("%q does not begin with make TARGET", line)
		}
		if !bytes.Contains(makefile, []byte("\n"+m[1]+": ")) {
			return fmt.Errorf("the Makefile has no %s", m[1])
		}
	}
	return nil
}

func TestBlocks(t *testing.T) {
	for _, name := range guides(t) {
		blocks, err := read(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, b := range blocks {
			if err := b.check(blocks[i+1:]); err != nil {
				t.Errorf("%s:%d: %s %s: %v", name, b.line, b.lang, b.mark, err)
			}
		}
	}
}

var link = regexp.MustCompile(`(?:\]\(|src="|srcset="|href=")([^)"#\s]*)(#[^)"\s]*)?`)

// Every link to a file of ours has one, and each anchor its heading.
func TestLinks(t *testing.T) {
	for _, name := range guides(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(prose(string(text)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			path := name
			if m[1] != "" {
				path = filepath.Join(filepath.Dir(name), m[1])
			}
			target, err := os.ReadFile(path)
			if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: a link: %v", name, err)
			} else if m[2] != "" && !slices.Contains(anchors(string(target)), m[2]) {
				t.Errorf("%s: %s has no heading for %s", name, path, m[2])
			}
		}
	}
}

// prose is a document without its blocks.
func prose(text string) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			inside = !inside
		} else if !inside {
			out.WriteString(line)
		}
	}
	return out.String()
}

var (
	heading     = regexp.MustCompile(`(?m)^#+ +(.*?) *$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those that GitHub gives to the headings of a document.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(prose(text), -1) {
		plain := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, "#"+strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
