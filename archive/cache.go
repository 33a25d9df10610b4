package archive

import (
	lru "container/list"
	"sync"
)

// maxFooterBytes limits the footers that are kept: about 20,000 small files. A
// day has thousands of them until it is compacted, and each question about an
// edge of a window opens them again.
const maxFooterBytes = 32 << 20

// footerCache keeps the footers that were used last. Files are immutable and
// their names never recur; should one be replaced all the same, its size or the
// CRCs of what is read tell.
type footerCache struct {
	mu     sync.Mutex
	limit  int
	memory int
	byName map[string]*lru.Element
	used   lru.List // of *cachedFooter, last used first
}

type cachedFooter struct {
	name   string
	footer *footer
	memory int
}

func newFooterCache(limit int) *footerCache {
	return &footerCache{limit: limit, byName: map[string]*lru.Element{}}
}

// get is the footer of a file of that name and size, nil where it is not kept.
func (c *footerCache) get(name string, size int64) *footer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byName[name]
	if e == nil {
		return nil
	}
	f := e.Value.(*cachedFooter).footer
	if f.size != size {
		c.drop(e)
		return nil
	}
	c.used.MoveToFront(e)
	return f
}

func (c *footerCache) put(name string, f *footer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[name]; e != nil {
		c.drop(e)
	}
	memory := f.memory() + 2*len(name)
	c.byName[name] = c.used.PushFront(&cachedFooter{name, f, memory})
	c.memory += memory
	for c.memory > c.limit {
		c.drop(c.used.Back())
	}
}

func (c *footerCache) drop(e *lru.Element) {
	kept := c.used.Remove(e).(*cachedFooter)
	delete(c.byName, kept.name)
	c.memory -= kept.memory
}
