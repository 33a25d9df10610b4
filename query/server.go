package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tallybook/store"
)

// Config of a Server. Store and Registry are required.
type Config struct {
	Store    *store.Store
	Registry *prometheus.Registry // what /metrics shows; the server's own metrics join it
	Now      func() time.Time     // nil: time.Now
	Log      *slog.Logger         // nil: slog.Default()
	Ready    func() error         // nil: always ready; else why /readyz says 503

	RequestTimeout time.Duration // 0: 30 s, for reading, folding and sending an answer
	MaxRows        int           // 0: 250,000 groups in one answer, about 100 MB while it is made
}

// Server has the HTTP answers. It has no goroutine of its own.
type Server struct {
	cfg      Config
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// New registers the server's metrics; it starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Registry == nil {
		return nil, errors.New("query: Config needs Store and Registry")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	if cfg.RequestTimeout == 0 {
		cfg.RequestTimeout = 30 * time.Second
	}
	if cfg.MaxRows == 0 {
		cfg.MaxRows = 250_000
	}
	q := &Server{
		cfg: cfg,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallybook_query_requests_total", Help: "Answers by route and status code.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallybook_query_request_seconds", Help: "Time from request to the end of the answer.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 30},
		}, []string{"route"}),
	}
	for _, c := range []prometheus.Collector{q.requests, q.seconds} {
		if err := cfg.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register query metrics: %w", err)
		}
	}
	return q, nil
}

// Routes adds every route of this package to r.
func (q *Server) Routes(r *mux.Router) {
	q.handle(r, "/api/v1/meters", problemForm, q.listMeters)
	q.handle(r, "/api/v1/meters/{slug}", problemForm, q.getMeter)
	q.handle(r, "/api/v1/meters/{slug}/query", problemForm, q.queryMeter)
	q.handle(r, "/v2/summary", messageForm, q.summary)
	q.handle(r, "/v1/errors", plainForm, q.listErrors)
	q.handle(r, "/schemas/{name:[a-z_]+}.json", plainForm, q.schema)
	q.handle(r, "/healthz", plainForm, q.healthz)
	q.handle(r, "/readyz", plainForm, q.readyz)
	metrics := promhttp.HandlerFor(q.cfg.Registry, promhttp.HandlerOpts{})
	q.handle(r, "/metrics", plainForm, func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	})
}

type handler func(w http.ResponseWriter, r *http.Request) error

// handle adds a read-only route: GET and HEAD, any other method is a 405. An
// error of fn is written in the route's form; one that comes when the answer
// has begun cuts the connection, so that no reader takes a part for the whole.
func (q *Server) handle(r *mux.Router, path string, form errorForm, fn handler) {
	r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &answer{ResponseWriter: w}
		defer func() {
			q.requests.WithLabelValues(path, strconv.Itoa(out.code())).Inc()
			q.seconds.WithLabelValues(path).Observe(time.Since(began).Seconds())
		}()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			out.Header().Set("Allow", "GET, HEAD")
			form(out, &failure{status: http.StatusMethodNotAllowed, detail: "only GET and HEAD are allowed"})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), q.cfg.RequestTimeout)
		defer cancel()
		// Not every writer has deadlines (a test's recorder has none); the
		// server's own limits hold there.
		_ = http.NewResponseController(w).SetWriteDeadline(began.Add(q.cfg.RequestTimeout))
		if err := q.guard(fn, out, r.WithContext(ctx)); err != nil {
			q.fail(out, r, form, err)
		}
	})
}

// guard turns a panic into an error. http.ErrAbortHandler passes.
func (q *Server) guard(fn handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}()
	return fn(w, r)
}

func (q *Server) fail(out *answer, r *http.Request, form errorForm, err error) {
	f, known := failureOf(err)
	if !known && r.Context().Err() == nil { // a caller that left is no news
		q.cfg.Log.Error("query", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if out.status != 0 {
		panic(http.ErrAbortHandler)
	}
	for name := range out.Header() { // what the answer would have contained
		if strings.HasPrefix(name, "X-Data-") {
			out.Header().Del(name)
		}
	}
	if f.status == http.StatusServiceUnavailable {
		out.Header().Set("Retry-After", "1")
	}
	form(out, f)
}

// answer remembers the status, for metrics and to know whether one was sent.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) code() int {
	if a.status == 0 {
		return http.StatusOK
	}
	return a.status
}
