package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"tallybook/api"
)

func refuse(status int, format string, args ...any) *api.Failure {
	return &api.Failure{Status: status, Detail: fmt.Sprintf(format, args...)}
}

func unavailable(retry time.Duration, message string) *api.Failure {
	return &api.Failure{Status: http.StatusServiceUnavailable, Detail: message, RetryAfter: retry}
}

// form is what a content type lets a body be.
type form uint8

const (
	oneEvent form = 1 << iota // a JSON object
	batch                     // a JSON array of objects
	lines                     // NDJSON
)

// formOf reads the Content-Type, parameters left out. None means JSON.
func formOf(header http.Header) (form, *api.Failure) {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "", "application/json":
		return oneEvent | batch, nil
	case "application/cloudevents+json":
		return oneEvent, nil
	case "application/cloudevents-batch+json":
		return batch, nil
	case "application/x-ndjson":
		return lines, nil
	}
	return 0, refuse(http.StatusUnsupportedMediaType, "content type %q is not taken; application/json, "+
		"application/cloudevents+json, application/cloudevents-batch+json and (on /v1/events) application/x-ndjson are", kind)
}

// maxWindow bounds what one zstd body makes us hold; the levels 1 to 19 of the
// zstd tool need no more.
const maxWindow = 8 << 20

var (
	gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstds = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			panic(err) // the options are constant
		}
		return d
	}}
)

// decoded wraps a body in its decompressor; release gives that back.
func decoded(encoding string, body io.Reader) (r io.Reader, release func(), p *api.Failure) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, func() {}, nil
	case "gzip":
		z := gzips.Get().(*gzip.Reader)
		if err := z.Reset(body); err != nil { // it reads the header
			gzips.Put(z)
			return nil, nil, readProblem(err)
		}
		return z, func() { gzips.Put(z) }, nil
	case "zstd":
		z := zstds.Get().(*zstd.Decoder)
		if err := z.Reset(body); err != nil {
			zstds.Put(z)
			return nil, nil, readProblem(err)
		}
		return z, func() { z.Reset(nil); zstds.Put(z) }, nil
	}
	return nil, nil, refuse(http.StatusUnsupportedMediaType, "content encoding %q is not taken; gzip and zstd are", encoding)
}

// read takes in the whole body, decompressed, at most MaxBodyBytes of it.
func (c *Collector) read(w http.ResponseWriter, r *http.Request, l *load) ([]byte, *api.Failure) {
	return readUpTo(w, r, l, c.cfg.MaxBodyBytes)
}

// readUpTo takes in a body of up to limit bytes, decompressed, and charges the
// request's load as the buffer grows.
func readUpTo(w http.ResponseWriter, r *http.Request, l *load, limit int) ([]byte, *api.Failure) {
	// What comes over the wire is limited too: a compressed body can be endless
	// and still mean nothing.
	wire := &wire{body: http.MaxBytesReader(w, r.Body, int64(limit))}
	body, release, p := decoded(r.Header.Get("Content-Encoding"), wire)
	if p != nil && wire.err != nil {
		p = readProblem(wire.err)
	}
	if p != nil {
		return nil, p
	}
	defer release()

	var buf []byte
	for {
		if len(buf) == cap(buf) {
			grown := grow(cap(buf), limit, r.ContentLength)
			if !l.budget.take(int64(grown - cap(buf))) {
				return nil, unavailable(1*time.Second, "too many bytes are in flight; try again")
			}
			l.bytes += int64(grown - cap(buf))
			buf = append(make([]byte, 0, grown), buf...)
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return nil, tooLarge("a body", limit)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, readProblem(cmp.Or(wire.err, err))
		}
	}
}

// wire remembers why a body ended: decompressors tell it as "unexpected EOF".
type wire struct {
	body io.Reader
	err  error
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// grow is the next size of a buffer. What the client announces is believed up to
// 256 KiB; memory beyond that has to be earned by sending.
func grow(size, limit int, announced int64) int {
	const believed = 256 << 10
	if size == 0 {
		if announced < 0 {
			announced = 4 << 10
		}
		return int(min(announced, believed, int64(limit))) + 1
	}
	return min(2*size, limit+1)
}

func tooLarge(what string, limit int) *api.Failure {
	return refuse(http.StatusRequestEntityTooLarge, "%s may have up to %d bytes after decompression", what, limit)
}

func readProblem(err error) *api.Failure {
	var limit *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &limit):
		return refuse(http.StatusRequestEntityTooLarge, "a body may have up to %d bytes", limit.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return refuse(http.StatusRequestTimeout, "the body came too slowly")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return refuse(http.StatusRequestEntityTooLarge, "a zstd body may have a window of up to %d bytes", maxWindow)
	case errors.Is(err, context.Canceled):
		return refuse(http.StatusBadRequest, "the request was given up")
	}
	return refuse(http.StatusBadRequest, "the body cannot be read: %v", err)
}
