package archive

import "math/bits"

// table numbers distinct values in the order in which they are first seen. A
// value is 96 bits, so that a decimal fits as it is.
type table struct {
	slots []slot
	shift uint
	stamp uint32 // slots of another stamp are empty: reset clears nothing
	len   int
}

type slot struct {
	a     uint64
	b     uint32
	stamp uint32
	index int32
}

// reset empties the table; expect is how many values it may come to hold, a
// hint.
func (t *table) reset(expect int) {
	expect = max(16, min(expect, 1<<14))
	size := 1 << bits.Len(uint(2*expect))
	if size > len(t.slots) {
		t.resize(size)
	}
	t.len = 0
	if t.stamp++; t.stamp == 0 {
		clear(t.slots)
		t.stamp = 1
	}
}

func (t *table) resize(size int) {
	t.slots = make([]slot, size)
	t.shift = uint(64 - bits.TrailingZeros(uint(size)))
}

// add is the value's number, and whether it is new.
func (t *table) add(a uint64, b uint32) (index int32, added bool) {
	mask := len(t.slots) - 1
	for i := int(mix(a, b) >> t.shift); ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.stamp != t.stamp {
			*s = slot{a, b, t.stamp, int32(t.len)}
			t.len++
			if 4*t.len > 3*len(t.slots) {
				t.grow()
			}
			return int32(t.len - 1), true
		}
		if s.a == a && s.b == b {
			return s.index, false
		}
	}
}

func (t *table) grow() {
	old := t.slots
	t.resize(2 * len(old))
	mask := len(t.slots) - 1
	for _, s := range old {
		if s.stamp != t.stamp {
			continue
		}
		i := int(mix(s.a, s.b) >> t.shift)
		for t.slots[i].stamp == t.stamp {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

// mix spreads both halves of the product into the high bits, from which the
// slot is taken.
func mix(a uint64, b uint32) uint64 {
	hi, lo := bits.Mul64(a^uint64(b)<<32^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return (hi ^ lo) * 0x9e3779b97f4a7c15
}
