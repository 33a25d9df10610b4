package worker

import (
	"github.com/zeebo/xxh3"

	"tallybook/archive"
)

// interner gives each distinct string a small number that archive columns and
// fold keys are made of. It only grows; its owner starts a new one between
// batches when it is full. strings[:n] may be read by others while it grows.
type interner struct {
	strings []string // by code; code 0 is null
	slots   []internSlot
	bytes   int
}

// internSlot has 32 bits of the hash beside the code, so that a look-up rarely
// follows the code to a string in vain.
type internSlot struct {
	hash uint32
	code archive.Code // 0: empty
}

const (
	maxInterned      = 1 << 16  // strings
	maxInternedBytes = 64 << 20 // of their text
)

func newInterner() *interner {
	return &interner{strings: make([]string, 1, 1024), slots: make([]internSlot, 2048)}
}

func (in *interner) full() bool {
	return len(in.strings) > maxInterned || in.bytes > maxInternedBytes
}

func (in *interner) code(s []byte) archive.Code {
	h := uint32(xxh3.Hash(s))
	mask := uint32(len(in.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := in.slots[i]
		if slot.code == 0 {
			return in.add(s, h, i)
		}
		if slot.hash == h && in.strings[slot.code] == string(s) {
			return slot.code
		}
	}
}

func (in *interner) add(s []byte, h, at uint32) archive.Code {
	c := archive.Code(len(in.strings))
	in.strings = append(in.strings, string(s))
	in.bytes += len(s)
	in.slots[at] = internSlot{h, c}
	if 2*len(in.strings) > len(in.slots) {
		in.grow()
	}
	return c
}

func (in *interner) grow() {
	old := in.slots
	in.slots = make([]internSlot, 2*len(old))
	mask := uint32(len(in.slots) - 1)
	for _, slot := range old {
		if slot.code == 0 {
			continue
		}
		i := slot.hash & mask
		for in.slots[i].code != 0 {
			i = (i + 1) & mask
		}
		in.slots[i] = slot
	}
}

// lastSeen skips the look-up where a field has the value that it had before.
type lastSeen struct {
	text string
	code archive.Code
}

func (l *lastSeen) of(in *interner, s []byte) archive.Code {
	if l.code != 0 && l.text == string(s) {
		return l.code
	}
	l.code = in.code(s)
	l.text = in.strings[l.code]
	return l.code
}
