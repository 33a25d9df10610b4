package schemas

import "encoding/binary"

// keyOrder remembers the names of an object as the last record had them.
// Producers write the same names in the same order, so that one comparison
// mostly reads a comma, a name and its colon at once. It is a guess: any other
// text is read as if there were none.
type keyOrder [32]learnedKey

// learnedKey is `,"name":` as two little-endian words, of which the masks tell
// the part in use; the first name of an object stands without its comma.
type learnedKey struct {
	words, masks [2]uint64
	size         uint8 // in bytes; 0: nothing learned
	code         uint8
}

const maxToken = 16

// field goes to the value of an object's member k, as scanner.member does, and
// gives the code that lookup has for its name.
func (s *scanner) field(order *keyOrder, k int, lookup func(name []byte) uint8) (code uint8, name []byte, more bool) {
	if i := s.pos; k < len(order) && i+maxToken <= len(s.data) && s.err == "" {
		key, b := &order[k], s.data[i:i+maxToken]
		first := (binary.LittleEndian.Uint64(b) ^ key.words[0]) & key.masks[0]
		second := (binary.LittleEndian.Uint64(b[8:]) ^ key.words[1]) & key.masks[1]
		if first|second == 0 && key.size > 0 {
			end := i + int(key.size) - 1 // at the colon
			if k > 0 {
				i++
			}
			s.name.start, s.name.end = i, end
			s.pos = end + 1
			s.space()
			return key.code, s.data[i+1 : end-1 : end-1], true
		}
	}
	if name, more = s.member(k == 0); !more {
		return 0, nil, false
	}
	code = lookup(name)
	if k < len(order) {
		order[k].learn(s.data[s.name.start:s.name.end], k == 0, code)
	}
	return code, name, true
}

// learn remembers a quoted name, unless it is long or has escapes.
func (key *learnedKey) learn(quoted []byte, first bool, code uint8) {
	var token [maxToken]byte
	t := token[:0]
	if !first {
		t = append(t, ',')
	}
	if len(t)+len(quoted)+1 > maxToken {
		return
	}
	for _, c := range quoted {
		if c == '\\' {
			return
		}
	}
	t = append(append(t, quoted...), ':')
	*key = learnedKey{size: uint8(len(t)), code: code}
	for i, c := range t {
		key.words[i/8] |= uint64(c) << (i % 8 * 8)
		key.masks[i/8] |= 0xff << (i % 8 * 8)
	}
}
