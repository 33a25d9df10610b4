package docs

import (
	"strings"
	"testing"
)

// What a guide may not have, each with a word of the reason.
func TestForm(t *testing.T) {
	for text, want := range map[string]string{
		"```\nls\n```":                                "neither a sh block",
		"```sh somewhere\nls\n```":                    "none of",
		"```sh again\nls\n```":                        "no end to again",
		"```sh make\nmake nonsense\n```":              "has no nonsense",
		"```sh make\nls\n```":                         "make TARGET",
		"```text\nhello\n```":                         "neither a sh block",
		"```sh\nls\n```\nthat\n```text\na\n```":       "neither a sh block",
		"```python\nprint(1)\n```":                    "neither a sh block",
		"```python a.py\nprint(1)\n```":               "no sh block below uses a.py",
		"```json\n{\"a\":}\n```":                      "no JSON",
		"```yaml kubernetes\na: [\n```":               "yaml",
		"```sh\nls":                                   "does not end",
		"```sh\nls\n```\n\n```text\na\n```":           "",
		"```go a.go\nx\n```\n```sh\ngo run a.go\n```": "",
		"```sh make\nmake run\n```":                   "",
		"```json\n{}\n```\n```yaml\na: 1\n```":        "",
	} {
		blocks, err := parse("guide.md", []byte(text))
		for i, b := range blocks {
			if err == nil {
				err = b.check(blocks[i+1:])
			}
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
