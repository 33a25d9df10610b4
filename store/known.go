package store

import "sync"

// knownSeriesMax bounds the memory for ids of series that are known to be
// committed: about 15 MB. Forgetting one costs an insert that does nothing.
const knownSeriesMax = 400_000

// knownSet remembers about half to all of max keys that are in the store for
// good, the recently used ones: a full generation becomes the old one, whose
// keys move up when they are used.
type knownSet struct {
	mu       sync.Mutex
	max      int
	now, old map[[16]byte]struct{}
}

func newKnownSet(max int) *knownSet {
	return &knownSet{max: max, now: map[[16]byte]struct{}{}}
}

// has reports whether key was added, not too long ago.
func (k *knownSet) has(key [16]byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.now[key]; ok {
		return true
	}
	if _, ok := k.old[key]; !ok {
		return false
	}
	k.insert(key)
	return true
}

// add takes keys whose rows were committed.
func (k *knownSet) add(keys [][16]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		k.insert(key)
	}
}

func (k *knownSet) insert(key [16]byte) {
	if len(k.now) >= k.max/2 {
		k.old, k.now = k.now, make(map[[16]byte]struct{}, k.max/2)
	}
	k.now[key] = struct{}{}
}
