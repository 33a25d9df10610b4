package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Path is a JSONPath (RFC 9535) that names at most one value of an event's
// data: names and array indexes only.
type Path struct {
	text  string
	steps []pathStep
}

// pathStep is a name, or where name is nil an index; below 0 it counts from
// the array's end.
type pathStep struct {
	name  []byte
	index int
}

var errPath = errors.New(`must be a JSONPath that names one value: $.name, $['a name'], $.list[0]`)

// ParsePath reads $.a.b, $['a b'], $["a"] and $.a[0] in any mixture.
func ParsePath(text string) (*Path, error) {
	if len(text) > MaxPath {
		return nil, fmt.Errorf("may have up to %d bytes", MaxPath)
	}
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || rest == "" {
		return nil, errPath
	}
	p := &Path{text: text}
	for rest != "" {
		var step pathStep
		var err error
		switch {
		case rest[0] == '.':
			step, rest, err = shorthand(rest[1:])
		case strings.HasPrefix(rest, "['"), strings.HasPrefix(rest, `["`):
			step, rest, err = quotedName(rest[1:])
		case rest[0] == '[':
			step, rest, err = arrayIndex(rest[1:])
		default:
			err = errPath
		}
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, step)
	}
	if p.steps[0].name == nil {
		return nil, errors.New("data is an object: a JSONPath into it begins with a name")
	}
	return p, nil
}

// String is the path as it was written.
func (p *Path) String() string { return p.text }

// shorthand is a name behind a dot: letters, digits, _ and all beyond ASCII;
// hyphens too, which RFC 9535 wants quoted and everybody writes.
func shorthand(text string) (pathStep, string, error) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return !(r == '_' || r == '-' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r >= 0x80)
	})
	if end < 0 {
		end = len(text)
	}
	if end == 0 || text[0] == '-' || isDigit(text[0]) {
		return pathStep{}, "", errPath
	}
	return pathStep{name: []byte(text[:end])}, text[end:], nil
}

// quotedName reads 'a name'] or "a name"] with JSON's escapes, and \'.
func quotedName(text string) (pathStep, string, error) {
	quote := text[0]
	json := []byte{'"'}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			rest, ok := strings.CutPrefix(text[i+1:], "]")
			if !ok {
				return pathStep{}, "", errPath
			}
			var s scanner
			s.start(append(json, '"'))
			name := s.str()
			if s.end(); s.err != "" {
				return pathStep{}, "", fmt.Errorf("a quoted name: %s", s.err)
			}
			return pathStep{name: append([]byte{}, name...)}, rest, nil
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] != '\'' {
				json = append(json, '\\')
			}
			json = append(json, text[i])
		case c == '"': // within single quotes
			json = append(json, '\\', '"')
		default:
			json = append(json, c)
		}
	}
	return pathStep{}, "", errPath
}

func arrayIndex(text string) (pathStep, string, error) {
	digits, rest, ok := strings.Cut(text, "]")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || strconv.Itoa(n) != digits || n > math.MaxInt32 || n < math.MinInt32 {
		return pathStep{}, "", errPath
	}
	return pathStep{index: n}, rest, nil
}

// pathKind is what stands at a path.
type pathKind uint8

const (
	pathNothing pathKind = iota // missing, null, an object or an array
	pathText
	pathNumber
	pathBool
)

// find follows steps through a JSON text. The value is a view, into s where a
// string had escapes, good until s is used again. A text that is no JSON has
// nothing.
func (s *scanner) find(data []byte, steps []pathStep) (value []byte, kind pathKind) {
	s.start(data)
	s.space()
	for i := range steps {
		found := false
		switch step := &steps[i]; {
		case step.name != nil && s.peek() == '{':
			found = s.seekName(step.name)
		case step.name == nil && s.peek() == '[':
			found = s.seekIndex(step.index)
		}
		if !found || s.err != "" {
			return nil, pathNothing
		}
	}
	start := s.pos
	switch c := s.peek(); {
	case c == '"':
		value, kind = s.str(), pathText
	case c == 't' || c == 'f':
		s.value(1)
		value, kind = data[start:s.pos], pathBool
	case c == '-' || isDigit(c):
		s.value(1)
		value, kind = data[start:s.pos], pathNumber
	}
	if s.err != "" {
		return nil, pathNothing
	}
	return value, kind
}

// seekName goes to the value of a member of the object at pos.
func (s *scanner) seekName(name []byte) bool {
	s.pos++
	for at, more := s.member(true); more; at, more = s.member(false) {
		if string(at) == string(name) {
			return true
		}
		s.value(1)
	}
	return false
}

// seekIndex goes to an element of the array at pos.
func (s *scanner) seekIndex(index int) bool {
	if index < 0 {
		start := s.pos
		if index += s.elements(math.MaxInt); index < 0 || s.err != "" {
			return false
		}
		s.pos = start
	}
	return s.elements(index) == index && s.err == "" && s.peek() != ']'
}

// elements passes up to n elements of the array at pos and says how many; it
// stops at the next value, or at the array's end.
func (s *scanner) elements(n int) (passed int) {
	s.pos++
	s.space()
	for passed < n && s.err == "" && s.peek() != ']' {
		s.value(1)
		passed++
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
			s.space()
		case ']':
		default:
			s.fail("want ',' or ']'")
		}
	}
	return passed
}
