package schemas

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// maxDepth limits how deep objects and arrays may nest; a record's own object
// is the first level.
const maxDepth = 64

// scanner reads strict JSON (RFC 8259) in one pass: UTF-8 only, no lone
// surrogates, no name twice in an object. The first error sticks in err, with
// pos where it was found; a caller may look at err after several steps.
type scanner struct {
	data []byte
	pos  int
	err  string // what is allowed at pos; empty: all well

	// name is where the last member's name stands, with its quotes.
	name struct{ start, end int }
	// spaced is set when white space is skipped, and cleared by the caller.
	spaced bool

	text  []byte   // strings that had escapes
	names [][]byte // names seen in the objects that are open
}

// Memory beyond these sizes is for one huge record and is not kept for the next.
const (
	keepText  = 1 << 20
	keepNames = 1 << 14
)

// start turns the scanner to another text. Views into earlier ones end here.
func (s *scanner) start(data []byte) {
	s.data, s.pos, s.err = data, 0, ""
	s.text, s.names = s.text[:0], s.names[:0]
	if cap(s.text) > keepText {
		s.text = nil
	}
	if cap(s.names) > keepNames {
		s.names = nil
	}
}

func (s *scanner) fail(allowed string) {
	if s.err == "" {
		s.err = allowed
	}
}

// peek is the next byte, 0 at the end (a NUL is no JSON either).
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	if s.pos < len(s.data) && s.data[s.pos] <= ' ' {
		s.skipSpace()
	}
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			s.spaced = true
		default:
			return
		}
	}
}

// end holds that nothing but white space is left.
func (s *scanner) end() {
	if s.err != "" {
		return
	}
	if s.space(); s.pos < len(s.data) {
		s.fail("nothing may follow the value")
	}
}

// member goes to the value of an object's next member; first says that pos is
// behind the '{'. more is false behind the '}' and on an error.
func (s *scanner) member(first bool) (name []byte, more bool) {
	if s.err != "" {
		return nil, false
	}
	s.space()
	switch c := s.peek(); {
	case c == '}':
		s.pos++
		return nil, false
	case first:
	case c == ',':
		s.pos++
		s.space()
	default:
		s.fail("want ',' or '}'")
		return nil, false
	}
	if s.peek() != '"' {
		s.fail("want a name in double quotes")
		return nil, false
	}
	s.name.start = s.pos
	name = s.str()
	s.name.end = s.pos
	if s.err != "" {
		return nil, false
	}
	s.space()
	if s.peek() != ':' {
		s.fail("want ':'")
		return nil, false
	}
	s.pos++
	s.space()
	return name, true
}

// distinct closes an object: the names since base must differ.
func (s *scanner) distinct(base int) {
	names := s.names[base:]
	s.names = s.names[:base]
	if s.err != "" {
		return
	}
	if len(names) > 8 {
		slices.SortFunc(names, bytes.Compare)
		for i := 1; i < len(names); i++ {
			if bytes.Equal(names[i-1], names[i]) {
				s.fail("names in an object must differ")
			}
		}
		return
	}
	for i := range names {
		for _, earlier := range names[:i] {
			if bytes.Equal(earlier, names[i]) {
				s.fail("names in an object must differ")
			}
		}
	}
}

// value checks and passes any value; depth is the level that an object or
// array there would have.
func (s *scanner) value(depth int) {
	switch c := s.peek(); c {
	case '{', '[':
		if depth > maxDepth {
			s.fail("values may nest 64 deep")
			return
		}
		s.pos++
		if c == '{' {
			s.object(depth)
		} else {
			s.array(depth)
		}
	case '"':
		mark := len(s.text)
		s.str()
		s.text = s.text[:mark]
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		var n number
		s.number(&n)
	}
}

func (s *scanner) object(depth int) {
	base := len(s.names)
	for name, more := s.member(true); more; name, more = s.member(false) {
		s.names = append(s.names, name)
		s.value(depth + 1)
	}
	s.distinct(base)
}

func (s *scanner) array(depth int) {
	if s.space(); s.peek() == ']' {
		s.pos++
		return
	}
	for s.err == "" {
		s.space()
		s.value(depth + 1)
		if s.err != "" {
			return
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return
		default:
			s.fail("want ',' or ']'")
		}
	}
}

func (s *scanner) literal(word string) {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		s.fail("want a JSON value")
		return
	}
	s.pos += len(word)
}

func (s *scanner) number(n *number) {
	if !n.read(s.data[s.pos:]) {
		s.fail("want a JSON value")
	}
	s.pos += len(n.text)
}

// smallInteger reads 1 to 9 digits with a ',' or '}' behind them, and nothing
// else.
func (s *scanner) smallInteger() (v uint32, ok bool) {
	data, start := s.data, s.pos
	for i := start; i < len(data); i++ {
		c := data[i]
		if !isDigit(c) {
			if c != ',' && c != '}' || i == start || i > start+9 || i > start+1 && data[start] == '0' {
				return 0, false
			}
			s.pos = i
			return v, true
		}
		v = v*10 + uint32(c-'0')
	}
	return 0, false
}

// str reads the string at pos, where a '"' stands: a view into the data, or
// into text where there are escapes.
func (s *scanner) str() []byte {
	data, start := s.data, s.pos+1
	i := start
	for i+8 <= len(data) {
		if special := specials(binary.LittleEndian.Uint64(data[i:])); special != 0 {
			i += bits.TrailingZeros64(special) / 8
			if data[i] == '"' {
				s.pos = i + 1
				return data[start:i:i]
			}
			break
		}
		i += 8
	}
	return s.escaped(start, i)
}

// specials has a bit set in the bytes of w that end a string's run of printable
// ASCII: a quote, a backslash, a control character, a byte of UTF-8. The lowest
// is exact, as a borrow only goes up from a byte that was found.
func specials(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, back := w^(ones*'"'), w^(ones*'\\')
	return ((quote-ones)&^quote | (back-ones)&^back | (w-ones*0x20)&^w | w) & tops
}

// plain is the first special byte from i on, or the end.
func plain(data []byte, i int) int {
	for i+8 <= len(data) {
		if special := specials(binary.LittleEndian.Uint64(data[i:])); special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
		i += 8
	}
	for i < len(data) {
		if c := data[i]; c == '"' || c == '\\' || c < 0x20 || c >= utf8.RuneSelf {
			break
		}
		i++
	}
	return i
}

// escaped is str from i on, behind a plain run that began at start. Strings of
// UTF-8 without escapes stay views.
func (s *scanner) escaped(start, i int) []byte {
	from := -1 // of the string in text, once it is copied
	for run := start; ; {
		i = plain(s.data, i)
		s.pos = i
		switch {
		case i == len(s.data):
			s.fail("a string must end with '\"'")
			return nil
		case s.data[i] == '"':
			s.pos++
			if from < 0 {
				return s.data[start:i:i]
			}
			s.text = append(s.text, s.data[run:i]...)
			return s.text[from:len(s.text):len(s.text)]
		case s.data[i] == '\\':
			if from < 0 {
				from = len(s.text)
			}
			s.text = append(s.text, s.data[run:i]...)
			size := s.escape(s.data[i:])
			if size == 0 {
				s.fail(`escapes are \" \\ \/ \b \f \n \r \t and \uXXXX, surrogates in pairs`)
				return nil
			}
			i += size
			run = i
		case s.data[i] < 0x20:
			s.fail("control characters in a string must be escaped")
			return nil
		default:
			r, size := utf8.DecodeRune(s.data[i:])
			if r == utf8.RuneError && size == 1 {
				s.fail("text must be UTF-8")
				return nil
			}
			i += size
		}
	}
}

// escape appends what the escape sequence at b's start stands for to text and
// returns its length, 0 where it is none.
func (s *scanner) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	c := b[1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, size := escapedRune(b)
		s.text = utf8.AppendRune(s.text, r)
		return size
	default:
		return 0
	}
	s.text = append(s.text, c)
	return 2
}

// escapedRune reads \uXXXX, or two of them that are a surrogate pair; size is 0
// where it is neither.
func escapedRune(b []byte) (r rune, size int) {
	r = hex4(b)
	switch {
	case r < 0:
		return 0, 0
	case r < 0xD800 || r > 0xDFFF:
		return r, 6
	case r > 0xDBFF:
		return 0, 0
	}
	low := hex4(b[6:])
	if low < 0xDC00 || low > 0xDFFF {
		return 0, 0
	}
	return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, 12
}

// hex4 is the code of the \uXXXX that b begins with, or -1.
func hex4(b []byte) (r rune) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// appendCompact appends valid JSON without the white space between its tokens.
func appendCompact(dst, src []byte) []byte {
	quoted := false
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case c == '"':
			quoted = !quoted
		case !quoted && c <= ' ':
			continue
		case quoted && c == '\\': // the next byte may be a quote
			dst = append(dst, c)
			i++
			c = src[i]
		}
		dst = append(dst, c)
	}
	return dst
}
