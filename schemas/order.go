package schemas

// keyOrder remembers the names of an object as the last record had them.
// Producers write the same names in the same order, so that one comparison
// mostly reads a comma, a name and its colon at once. It is a guess: any other
// text is read as if there were none.
type keyOrder struct {
	keys [32]struct {
		token []byte // `,"name":`, the first without its comma
		code  uint8
	}
}

// maxToken is the longest name, with what stands around it, worth learning.
const maxToken = 64

// field goes to the value of an object's member k, as scanner.member does, and
// gives the code that lookup has for its name.
func (s *scanner) field(order *keyOrder, k int, lookup func(name []byte) uint8) (code uint8, name []byte, more bool) {
	if k < len(order.keys) && s.err == "" {
		key := &order.keys[k]
		size := len(key.token)
		if size > 0 && len(s.data)-s.pos >= size && string(s.data[s.pos:s.pos+size]) == string(key.token) {
			start := s.pos
			if k > 0 {
				start++
			}
			end := s.pos + size - 1 // at the colon
			s.name.start, s.name.end = start, end
			s.pos = end + 1
			s.space()
			return key.code, s.data[start+1 : end-1 : end-1], true
		}
	}
	if name, more = s.member(k == 0); !more {
		return 0, nil, false
	}
	code = lookup(name)
	s.learn(order, k, name, code)
	return code, name, true
}

// learn remembers the name just read, unless it had escapes.
func (s *scanner) learn(order *keyOrder, k int, name []byte, code uint8) {
	quoted := s.data[s.name.start:s.name.end]
	if k >= len(order.keys) || len(quoted) != len(name)+2 || len(quoted) > maxToken-2 {
		return
	}
	key := &order.keys[k]
	key.code, key.token = code, key.token[:0]
	if k > 0 {
		key.token = append(key.token, ',')
	}
	key.token = append(append(key.token, quoted...), ':')
}
