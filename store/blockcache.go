package store

import (
	"container/list"
	"sync"

	"tallybook/schemas"
)

const (
	// defaultBlockBytes bounds the rollups that are kept in memory: about ten
	// million rows of two small numbers.
	defaultBlockBytes = 128 << 20
	// dictionaryMax bounds the series that are kept, about 250 bytes each. Above
	// it everything is forgotten and read again as it is asked for.
	dictionaryMax = 1_000_000
)

// blockCache keeps rollups in memory, by window. A window is good for a
// snapshot when it has the version that the snapshot has; others are not given
// out, so that no answer is older than its snapshot.
type blockCache struct {
	mu     sync.Mutex
	max    int64
	bytes  int64
	recent *list.List // of *cached, the latest used first
	byKey  map[blockKey]*list.Element
	series *Dictionary
	hours  hourVersions
}

type blockKey struct {
	res     Resolution
	start   schemas.Hour
	account string // the window has the rows of this account alone; "": of all
}

// alone is the key of the window with the rows of one account.
func (k blockKey) alone(account string) blockKey {
	k.account = account
	return k
}

type cached struct {
	key    blockKey
	window *window
}

func newBlockCache(max int64) *blockCache {
	return &blockCache{max: max, recent: list.New(), byKey: map[blockKey]*list.Element{}, series: newDictionary(),
		hours: newHourVersions()}
}

// dictionary is the one to resolve series with from now on.
func (c *blockCache) dictionary() *Dictionary {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.series.Len() > dictionaryMax {
		c.series, c.bytes = newDictionary(), 0
		c.recent.Init()
		clear(c.byKey)
	}
	return c.series
}

// get is the window at this version with the columns, or nil.
func (c *blockCache) get(d *Dictionary, key blockKey, version int64, columns Columns) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil || c.series != d {
		return nil
	}
	w := e.Value.(*cached).window
	if w.version != version || w.columns&columns != columns {
		return nil
	}
	c.recent.MoveToFront(e)
	return w
}

// columnsOf is what the window was last asked for: it is read again with these.
func (c *blockCache) columnsOf(key blockKey) Columns {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		return e.Value.(*cached).window.columns
	}
	return 0
}

// put keeps a window, unless a newer one is there.
func (c *blockCache) put(d *Dictionary, key blockKey, w *window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.series != d || w.bytes > c.max {
		return
	}
	if e := c.byKey[key]; e != nil {
		old := e.Value.(*cached)
		if old.window.version > w.version {
			return
		}
		c.bytes += w.bytes - old.window.bytes
		old.window = w
		c.recent.MoveToFront(e)
	} else {
		c.byKey[key] = c.recent.PushFront(&cached{key, w})
		c.bytes += w.bytes
	}
	for c.bytes > c.max {
		e := c.recent.Back()
		old := c.recent.Remove(e).(*cached)
		delete(c.byKey, old.key)
		c.bytes -= old.window.bytes
	}
}
