package engine

import (
	"sync"
	"time"

	"tallybook/api"
)

// groupsAtOnce are taken together. The first of an answer are free, so that small
// questions are answered beside any number of large ones.
const groupsAtOnce = 1000

// share is what one request's answers take of the engine's room: each of them is
// bounded by MaxGroups, all that are made or sent at a time by MaxAll.
type share struct {
	engine *Engine
	mu     sync.Mutex
	taken  int64
	ended  bool
}

func (s *share) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended { // the request is over, and its error will be told
		return nil
	}
	if s.engine.room.Add(-n) < 0 {
		s.engine.room.Add(n)
		return api.Unavailable(time.Second, "too many large answers are being made; try again, or ask for fewer rows")
	}
	s.taken += n
	return nil
}

// again gives back what an attempt took.
func (s *share) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine.room.Add(s.taken)
	s.taken = 0
}

// end gives everything back, for good.
func (s *share) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine.room.Add(s.taken)
	s.taken, s.ended = 0, true
}
