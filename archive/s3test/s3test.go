// Package s3test is an S3 server for tests, with faults in front of it: gofakes3
// in process or, where S3_TEST_ENDPOINT has the URL of a real one, that server
// (scripts/s3.sh starts one and prints what to set).
package s3test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Fault is what happens to a request.
type Fault int

const (
	None   Fault = iota
	Refuse       // 503 SlowDown, not applied
	Lose         // applied, and the connection closed instead of an answer
	Hang         // not applied, and no answer as long as the client waits
	Cut          // an answer that breaks off in its middle
)

// Server is one bucket of an S3 server.
type Server struct {
	URL string // s3://bucket/archive?…, for archive.Open

	fault  atomic.Pointer[func(op, name string) Fault]
	bucket string
	next   http.Handler
	mu     sync.Mutex
	counts map[string]int
}

var buckets atomic.Int64

// New starts a server, or a way to the real one, and makes a bucket in it; both
// go when the test ends. query are further parameters of the URL, as "timeout=1s".
func New(t testing.TB, query ...string) *Server {
	t.Helper()
	s := &Server{bucket: fmt.Sprintf("test-%d-%d", os.Getpid(), buckets.Add(1)), counts: map[string]int{}}
	if real := os.Getenv("S3_TEST_ENDPOINT"); real != "" {
		u, err := url.Parse(real)
		if err != nil {
			t.Fatal(err)
		}
		// The client's Host stays, because it is signed.
		s.next = &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host }}
	} else {
		os.Setenv("AWS_ACCESS_KEY_ID", "test")
		os.Setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
		s.next = gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	}
	front := httptest.NewServer(s)
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	s.makeBucket(t, front.URL)
	s.URL = fmt.Sprintf("s3://%s/archive?%s", s.bucket, strings.Join(append([]string{"endpoint=" + front.URL, "pathstyle=true"}, query...), "&"))
	return s
}

func (s *Server) makeBucket(t testing.TB, endpoint string) {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRegion("us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(s.bucket)}); err != nil {
		t.Fatal(err)
	}
}

// SetFault asks f at each request: op is get, head, list, put, copy, delete or
// part (anything else of an upload in parts), name the object's, in the archive.
func (s *Server) SetFault(f func(op, name string) Fault) { s.fault.Store(&f) }

// Requests is how many there were of each op since the call before.
func (s *Server) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	s.counts = map[string]int{}
	return counts
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, name := s.operation(r)
	s.mu.Lock()
	s.counts[op]++
	s.mu.Unlock()
	fault := None
	if f := s.fault.Load(); f != nil {
		fault = (*f)(op, name)
	}
	switch fault {
	case Refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
	case Hang:
		io.Copy(io.Discard, r.Body) // only then is it noticed that the client went away
		<-r.Context().Done()
	case Lose:
		s.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case Cut:
		answer := httptest.NewRecorder()
		s.next.ServeHTTP(answer, r)
		for key, values := range answer.Header() {
			w.Header()[key] = values
		}
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		panic(http.ErrAbortHandler)
	default:
		s.next.ServeHTTP(w, r)
	}
}

func (s *Server) operation(r *http.Request) (op, name string) {
	path := strings.TrimPrefix(r.URL.Path, "/"+s.bucket)
	name = strings.TrimPrefix(path, "/archive/")
	query := r.URL.Query()
	switch {
	case query.Has("uploadId") || query.Has("uploads"):
		op = "part"
	case r.Method == http.MethodGet && strings.Trim(path, "/") == "":
		op, name = "list", strings.TrimPrefix(query.Get("prefix"), "archive/")
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		op = "copy"
	default:
		op = strings.ToLower(r.Method)
	}
	return op, name
}
