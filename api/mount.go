package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// Options of Mount. Guard is required.
type Options struct {
	Guard    *Guard
	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger          // nil: slog.Default()
	Timeout  time.Duration         // 0: 30 s, for reading, working and sending an answer
}

// failTime is left to send an error when the time of an answer is over.
const failTime = 2 * time.Second

// mounted is what the handlers of a router share.
type mounted struct {
	Options
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// Mount registers the endpoints on a router.
func Mount(r *mux.Router, o Options, endpoints []Endpoint) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	m := &mounted{Options: o,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallybook_http_requests_total", Help: "Answers by route and status code.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallybook_http_request_seconds", Help: "Time from request to the end of the answer.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 30},
		}, []string{"route", "method"}),
	}
	if o.Registry != nil {
		for _, c := range []prometheus.Collector{m.requests, m.seconds} {
			if err := o.Registry.Register(c); err != nil {
				return fmt.Errorf("register HTTP metrics: %w", err)
			}
		}
	}
	paths := map[string]map[string]*Endpoint{}
	var order []string // fixed paths are registered before patterns by their listing
	for i := range endpoints {
		e := &endpoints[i]
		if e.Handle == nil {
			return fmt.Errorf("endpoint %s %s has no handler", e.Method, e.Path)
		}
		for _, path := range append([]string{e.Path}, e.Also...) {
			if paths[path] == nil {
				paths[path] = map[string]*Endpoint{}
				order = append(order, path)
			}
			if paths[path][e.Method] != nil {
				return fmt.Errorf("endpoint %s %s is there twice", e.Method, path)
			}
			paths[path][e.Method] = e
		}
	}
	// A path without variables wins over a pattern that would match it too.
	slices.SortStableFunc(order, func(a, b string) int { return strings.Count(a, "{") - strings.Count(b, "{") })
	for _, path := range order {
		r.Handle(path, m.path(path, paths[path]))
	}
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		PlainForm.write(w, &Failure{Status: http.StatusNotFound, Detail: "there is nothing at this path; /docs/ lists what there is"})
	})
	return nil
}

// path answers every method of one path.
func (m *mounted) path(path string, methods map[string]*Endpoint) http.Handler {
	var allow []string
	var form ErrorForm
	for method, e := range methods {
		allow = append(allow, method) // HEAD goes with GET
		form = e.Form                 // the endpoints of a path are of one API
	}
	slices.Sort(allow)
	tallies := map[string]*tally{"other": m.tally(path, "other")}
	for method := range methods {
		tallies[method] = m.tally(path, method)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if _, own := methods[method]; method == http.MethodHead && !own {
			method = http.MethodGet
		}
		out := &answer{ResponseWriter: w}
		began := time.Now()
		e := methods[method]
		if e == nil {
			method = "other"
		}
		defer func() { tallies[method].answered(out.code(), time.Since(began)) }()
		if e == nil {
			out.Header().Set("Allow", strings.Join(allow, ", "))
			form.write(out, &Failure{Status: http.StatusMethodNotAllowed, Detail: "allowed here: " + strings.Join(allow, ", ")})
			return
		}
		m.serve(out, r, e, began)
	})
}

// tally counts the answers to a method of a path. Looking a series up by its
// labels takes longer than counting: those that matter are kept.
type tally struct {
	code    func(code int) prometheus.Counter
	ok      func() prometheus.Counter
	seconds func() prometheus.Observer
}

func (m *mounted) tally(path, method string) *tally {
	code := func(code int) prometheus.Counter { return m.requests.WithLabelValues(path, method, strconv.Itoa(code)) }
	return &tally{code: code,
		ok:      sync.OnceValue(func() prometheus.Counter { return code(http.StatusOK) }),
		seconds: sync.OnceValue(func() prometheus.Observer { return m.seconds.WithLabelValues(path, method) })}
}

func (t *tally) answered(code int, took time.Duration) {
	if code == http.StatusOK {
		t.ok().Inc()
	} else {
		t.code(code).Inc()
	}
	t.seconds().Observe(took.Seconds())
}

func (m *mounted) serve(out *answer, r *http.Request, e *Endpoint, began time.Time) {
	timeout := e.Timeout
	if timeout == 0 {
		timeout = m.Timeout
	}
	ctx := r.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
		// Not every writer has deadlines (a test's recorder has none); the
		// server's own limits hold there. Whose time is up must still be told.
		_ = http.NewResponseController(out).SetWriteDeadline(began.Add(timeout + failTime))
	}
	caller, err := m.Guard.admit(ctx, r, e)
	if err == nil {
		r = r.WithContext(context.WithValue(ctx, callerKey{}, caller))
		err = guard(e.Handle, out, r)
	}
	if err != nil {
		m.fail(out, r.WithContext(ctx), e.Form, err)
	}
}

// guard turns a panic into an error. http.ErrAbortHandler passes.
func guard(fn Handler, w http.ResponseWriter, r *http.Request) (err error) {
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

func (m *mounted) fail(out *answer, r *http.Request, form ErrorForm, err error) {
	f, known := failureOf(err)
	if !known && r.Context().Err() == nil { // a caller that left is no news
		m.Log.Error("answer", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if out.status != 0 {
		panic(http.ErrAbortHandler)
	}
	for name := range out.Header() { // what the answer would have contained
		if strings.HasPrefix(name, "X-Data-") || name == "Content-Disposition" {
			out.Header().Del(name)
		}
	}
	if f.Status == http.StatusUnauthorized {
		out.Header().Set("WWW-Authenticate", `Bearer realm="tallybook"`)
	}
	form.write(out, f)
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
