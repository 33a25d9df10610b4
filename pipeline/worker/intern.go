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
	hashes  []uint64 // by code
	slots   []archive.Code
	bytes   int
}

const (
	maxInterned      = 1 << 20  // strings
	maxInternedBytes = 64 << 20 // of their text
)

func newInterner() *interner {
	return &interner{strings: make([]string, 1, 1024), hashes: make([]uint64, 1, 1024), slots: make([]archive.Code, 2048)}
}

func (in *interner) full() bool {
	return len(in.strings) > maxInterned || in.bytes > maxInternedBytes
}

func (in *interner) code(s []byte) archive.Code {
	h := xxh3.Hash(s)
	mask := uint64(len(in.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		c := in.slots[i]
		if c == 0 {
			return in.add(s, h, i)
		}
		if in.hashes[c] == h && in.strings[c] == string(s) {
			return c
		}
	}
}

func (in *interner) add(s []byte, h, slot uint64) archive.Code {
	c := archive.Code(len(in.strings))
	in.strings = append(in.strings, string(s))
	in.hashes = append(in.hashes, h)
	in.bytes += len(s)
	in.slots[slot] = c
	if 2*len(in.strings) > len(in.slots) {
		in.grow()
	}
	return c
}

func (in *interner) grow() {
	in.slots = make([]archive.Code, 2*len(in.slots))
	mask := uint64(len(in.slots) - 1)
	for c := 1; c < len(in.strings); c++ {
		i := in.hashes[c] & mask
		for in.slots[i] != 0 {
			i = (i + 1) & mask
		}
		in.slots[i] = archive.Code(c)
	}
}
