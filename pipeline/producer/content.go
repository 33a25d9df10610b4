package producer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/xxh3"
)

const (
	maxLine    = 1 << 20 // a longer line is skipped and counted, never held
	sourceSize = 4 << 10 // what source is the hash of
)

// ErrChanged: the file is not what it was when the import measured it.
var ErrChanged = errors.New("the file changed while it was imported")

// content is a file's decompressed bytes, hashed as they are read.
type content struct {
	io.Reader
	hash  *xxh3.Hasher
	close []func()
}

// openContent opens a file; gzip and zstd are known by their first bytes,
// whatever the file is called.
func openContent(path string) (*content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &content{hash: xxh3.New(), close: []func(){func() { f.Close() }}}
	buffered := bufio.NewReaderSize(f, 256<<10)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		c.Close()
		return nil, err
	}
	var plain io.Reader = buffered
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		plain, err = gzip.NewReader(buffered)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20)); err == nil {
			c.close = append(c.close, z.Close)
			plain = z
		}
	default:
		err = nil
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.Reader = io.TeeReader(plain, c.hash)
	return c, nil
}

// Close may be called once.
func (c *content) Close() {
	for i := len(c.close) - 1; i >= 0; i-- {
		c.close[i]()
	}
}

// sum is the hash of what was read so far.
func (c *content) sum() string { return hexHash(c.hash.Sum128()) }

func hexHash(h xxh3.Uint128) string {
	b := h.Bytes()
	return fmt.Sprintf("%x", b[:])
}

// fingerprint is what a file is known by.
type fingerprint struct {
	source string // hash of the first 4 KiB
	hash   string // of everything
	bytes  int64
}

// measure reads the whole file once. A damaged compressed file fails here,
// before anything was sent.
func measure(ctx context.Context, path string) (fingerprint, error) {
	c, err := openContent(path)
	if err != nil {
		return fingerprint{}, err
	}
	defer c.Close()
	head := make([]byte, sourceSize)
	n, err := io.ReadFull(c, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fingerprint{}, err
	}
	f := fingerprint{source: hexHash(xxh3.Hash128(head[:n])), bytes: int64(n)}
	buf := make([]byte, 256<<10)
	for err == nil {
		if err = ctx.Err(); err != nil {
			return fingerprint{}, err
		}
		n, err = c.Read(buf)
		f.bytes += int64(n)
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return fingerprint{}, err
	}
	f.hash = c.sum()
	return f, nil
}

// lines cuts content into lines.
type lines struct {
	r      *bufio.Reader
	offset int64 // of the next line
	long   []byte
}

func newLines(r io.Reader, offset int64) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), offset: offset}
}

// next returns a line without its line end and the offset that it begins at.
// The line is valid until the next call. One over maxLine comes as tooLong,
// without its text. The end is io.EOF.
func (l *lines) next() (line []byte, at int64, tooLong bool, err error) {
	at = l.offset
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.offset += int64(len(part))
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return nil, at, false, err
		}
		if err == io.EOF && l.offset == at {
			return nil, at, false, io.EOF
		}
		if len(l.long)+len(part) > maxLine+2 {
			tooLong = true
			l.long = l.long[:0]
		} else if !tooLong && (err == bufio.ErrBufferFull || len(l.long) > 0) {
			l.long = append(l.long, part...)
			part = l.long
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if tooLong {
			return nil, at, true, nil
		}
		part = bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
		if len(part) > maxLine {
			return nil, at, true, nil
		}
		return part, at, false, nil
	}
}
