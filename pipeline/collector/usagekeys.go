package collector

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

const (
	unknownKeysEvery = time.Second
	// maxUnknownAtOnce bounds the keys told apart between two flushes; the store
	// tells store.MaxUnknownKeys an hour apart.
	maxUnknownAtOnce = 10 * store.MaxUnknownKeys
	usagePath        = "/v1/usage"
)

// unknownKeys counts requests to /v1/usage whose key nobody has, and makes an
// internal error of the first of each key in an hour. Counts reach the store
// within a second; a crash loses those of that second. An internal error may
// come twice if we die between the log's acknowledgement and the store's.
type unknownKeys struct {
	collector *Collector
	mu        sync.Mutex
	requests  map[string]int64 // by prefix of the key's hash; "": further ones
	untold    map[schemas.Hour]bool
}

// note is called for each such request.
func (u *unknownKeys) note(_ *http.Request, hash store.KeyHash) {
	prefix := hex.EncodeToString(hash[:4])
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.requests[prefix]; !known && len(u.requests) >= maxUnknownAtOnce {
		prefix = ""
	}
	if u.requests == nil {
		u.requests = map[string]int64{}
	}
	u.requests[prefix]++
	u.collector.metrics.rejected(schemas.UnknownKey)
}

func (u *unknownKeys) run(ctx context.Context) {
	tick := time.NewTicker(unknownKeysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), unknownKeysEvery)
			defer cancel()
			u.flush(last)
			return
		case <-tick.C:
			u.flush(ctx)
		}
	}
}

// flush counts in the store what was noted, and tells of what nobody was told.
// What fails is tried again with the next flush.
func (u *unknownKeys) flush(ctx context.Context) {
	c := u.collector
	hour := schemas.HourOf(c.cfg.Now().UnixMicro())
	u.mu.Lock()
	noted := u.requests
	u.requests = nil
	u.mu.Unlock()
	if len(noted) > 0 {
		if u.untold == nil {
			u.untold = map[schemas.Hour]bool{}
		}
		u.untold[hour] = true
	}
	for at := range u.untold {
		counts := map[string]int64{}
		if at == hour {
			counts = noted
		}
		prefixes, err := c.cfg.Store.CountUnknownKeys(ctx, at, counts)
		if err != nil {
			c.cfg.Log.Warn("count requests with unknown keys", "error", err)
			u.putBack(counts)
			continue
		}
		if err := u.tell(ctx, at, prefixes); err != nil {
			c.cfg.Log.Warn("make internal errors of unknown keys", "error", err)
			continue
		}
		delete(u.untold, at)
	}
}

// putBack keeps what could not be counted for the next time.
func (u *unknownKeys) putBack(counts map[string]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for prefix, n := range counts {
		if u.requests == nil {
			u.requests = map[string]int64{}
		}
		u.requests[prefix] += n
	}
}

func (u *unknownKeys) tell(ctx context.Context, hour schemas.Hour, prefixes []string) error {
	if len(prefixes) == 0 {
		return nil
	}
	for _, prefix := range prefixes {
		input, err := json.Marshal(map[string]string{"key_hash_prefix": prefix})
		if err != nil {
			return err
		}
		refusal := schemas.Refusal{Endpoint: usagePath, Reason: schemas.UnknownKey, Field: "apiKey",
			Message: fmt.Sprintf("requests with a key that nobody has; its hash begins with %s", prefix)}
		if err := u.collector.Refuse(ctx, refusal, "", input); err != nil {
			return err
		}
	}
	return u.collector.cfg.Store.UnknownKeysTold(ctx, hour, prefixes)
}
