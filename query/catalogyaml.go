package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// located is a YAML file as JSON, with the line of each value by its path, such
// as routes[0].prices[1].params.unit_price.
type located struct {
	json  []byte
	lines map[string]int
	nodes int
}

const (
	maxYAMLNodes = 1_000_000 // aliases can make a small file an endless one
	maxYAMLDepth = 50
)

// lineError is what is wrong at a line of a file.
type lineError struct {
	line    int
	problem string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.problem) }

// readYAML reads a file of one document. A name that stands twice is refused, and
// so is what JSON cannot hold.
func readYAML(in io.Reader) (*located, error) {
	d := yaml.NewDecoder(in)
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return &located{json: []byte("{}"), lines: map[string]int{}}, nil
	} else if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &lineError{more.Line, "the file must have one document, without --- in it"}
	}
	l := &located{lines: map[string]int{}}
	return l, l.value(doc.Content[0], "", 0)
}

func (l *located) value(n *yaml.Node, path string, depth int) error {
	l.lines[path] = max(l.lines[path], n.Line)
	if l.nodes++; l.nodes > maxYAMLNodes || depth > maxYAMLDepth {
		return &lineError{n.Line, fmt.Sprintf("the file has more than %d values, or one deeper than %d", maxYAMLNodes, maxYAMLDepth)}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return l.value(n.Alias, path, depth+1)
	case yaml.MappingNode:
		return l.mapping(n, path, depth)
	case yaml.SequenceNode:
		l.json = append(l.json, '[')
		for i, item := range n.Content {
			if i > 0 {
				l.json = append(l.json, ',')
			}
			if err := l.value(item, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
				return err
			}
		}
		l.json = append(l.json, ']')
		return nil
	}
	return l.scalar(n, path)
}

func (l *located) mapping(n *yaml.Node, path string, depth int) error {
	had := map[string]bool{}
	l.json = append(l.json, '{')
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		at := key.Value
		if path != "" {
			at = path + "." + at
		}
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			return &lineError{key.Line, "names must be plain texts; << is not supported"}
		case had[key.Value]:
			return &lineError{key.Line, at + " stands twice"}
		}
		had[key.Value] = true
		if i > 0 {
			l.json = append(l.json, ',')
		}
		l.json = append(appendText(l.json, key.Value), ':')
		l.lines[at] = key.Line
		if err := l.value(n.Content[i+1], at, depth+1); err != nil {
			return err
		}
	}
	l.json = append(l.json, '}')
	return nil
}

// scalar: a time is the text that it is written as, a number keeps its digits.
func (l *located) scalar(n *yaml.Node, path string) error {
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		l.json = appendText(l.json, n.Value)
	case "!!null":
		l.json = append(l.json, "null"...)
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return &lineError{n.Line, path + " must be true or false"}
		}
		l.json = strconv.AppendBool(l.json, b)
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			return &lineError{n.Line, fmt.Sprintf("%s: write %s in plain digits, or as a text in quotes", path, n.Value)}
		}
		l.json = append(l.json, n.Value...)
	default:
		return &lineError{n.Line, fmt.Sprintf("%s has the tag %s; allowed are texts, numbers, true, false and null", path, tag)}
	}
	return nil
}

func appendText(to []byte, text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always can
	}
	return append(to, b...)
}

// lineOf is the line of a path, or of the nearest thing that it lies in.
func (l *located) lineOf(path string) int {
	for {
		if line, ok := l.lines[path]; ok || path == "" {
			return max(line, 1)
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// pathOf turns a JSON pointer into a path.
func pathOf(pointer string) string {
	var b strings.Builder
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch _, err := strconv.Atoi(token); {
		case err == nil:
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}
