package client

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Middleware measures the requests to an API and reports them. Its fields are
// set before the first request.
type Middleware struct {
	Reporter   *Reporter // required
	APIName    string    // "": the service finds it by version and endpoint
	APIVersion string    // required

	// Endpoint names a request's endpoint, as it is registered. nil: the path of
	// the pattern that http.ServeMux found, else the request's path.
	Endpoint func(*http.Request) string
	// Key is the customer's key of a request. nil: the header apiKey. A request
	// without one is reported with the reporter's own key.
	Key func(*http.Request) string
	// ClientIP is where a request came from. nil: its connection's address. Behind
	// a proxy, read the header that this proxy sets.
	ClientIP func(*http.Request) string

	// Routes, where set, is asked whether the endpoint is registered. Others are
	// counted; Strict answers them 404 before they reach the handler.
	Routes *RouteCache
	Strict bool
	// Validate, where set, is asked first whether the key may call the endpoint:
	// 401, 403 or 429 where it may not. A service that does not answer within
	// ValidateTimeout (0: 1 s) refuses nobody.
	Validate        *Client
	ValidateTimeout time.Duration

	Now func() time.Time // nil: time.Now

	unregistered, unchecked atomic.Int64
}

// Unregistered counts requests to endpoints that Routes does not have.
func (m *Middleware) Unregistered() int64 { return m.unregistered.Load() }

// Unchecked counts requests that were let through since the service did not
// answer what Routes or Validate asked.
func (m *Middleware) Unchecked() int64 { return m.unchecked.Load() }

// Wrap is next, measured. Strict and Validate look at the endpoint before next is
// called: wrap the handlers of a ServeMux one by one then, or set Endpoint, since
// around the mux its pattern is known only afterwards.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &answer{ResponseWriter: w}
		failure := &failed{}
		r = r.WithContext(context.WithValue(r.Context(), failedKey{}, failure))
		began := m.now()
		defer func() {
			p := recover()
			if p != nil && out.status == 0 {
				out.status = http.StatusInternalServerError // what net/http makes of it
			}
			m.report(r, out, failure, began)
			if p != nil {
				panic(p)
			}
		}()
		if m.admit(out, r) {
			next.ServeHTTP(out, r)
		}
	})
}

// Fail names the error of a request that a Middleware measures: without it, an
// answer from 400 on has its status as errorCode and errorDescription.
func Fail(r *http.Request, code, description string) {
	if f, ok := r.Context().Value(failedKey{}).(*failed); ok {
		f.code, f.description = code, description
	}
}

type failedKey struct{}

// failed is set by the handler's goroutine.
type failed struct{ code, description string }

// admit answers a request that must not reach the handler.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request) bool {
	if m.Routes != nil {
		has, err := m.Routes.Has(r.Context(), m.APIName, m.APIVersion, m.endpoint(r))
		switch {
		case err != nil:
			m.unchecked.Add(1)
		case !has && m.Strict:
			m.unregistered.Add(1)
			refuse(w, r, http.StatusNotFound, "unknown_route")
			return false
		case !has:
			m.unregistered.Add(1)
		}
	}
	if m.Validate == nil {
		return true
	}
	timeout := m.ValidateTimeout
	if timeout == 0 {
		timeout = time.Second
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	verdict, err := m.Validate.ValidateRequest(ctx, m.key(r), m.APIName, m.APIVersion, m.endpoint(r))
	switch {
	case err != nil:
		m.unchecked.Add(1)
		return true
	case verdict.Allowed:
		return true
	}
	status := http.StatusForbidden
	switch verdict.Reason {
	case "unknown_key":
		status = http.StatusUnauthorized
	case "unknown_route":
		status = http.StatusNotFound
	case "quota_exceeded":
		status = http.StatusTooManyRequests
		if wait := verdict.ResetsAt.Sub(m.now()); !verdict.ResetsAt.IsZero() && wait > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
		}
	}
	refuse(w, r, status, verdict.Reason)
	return false
}

func refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	Fail(r, reason, http.StatusText(status))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + reason + `"}` + "\n")) // a caller that is gone does not mind
}

func (m *Middleware) report(r *http.Request, out *answer, f *failed, began time.Time) {
	u := Usage{Key: m.key(r), APIName: m.APIName, APIVersion: m.APIVersion, Endpoint: m.endpoint(r), ClientIP: m.clientIP(r),
		Status: out.code(), Took: max(0, m.now().Sub(began)), Method: r.Method, Bytes: out.bytes, At: began,
		ErrorCode: f.code, ErrorDescription: f.description}
	if u.Status >= 400 || u.ErrorCode != "" || u.ErrorDescription != "" {
		if u.ErrorCode == "" {
			u.ErrorCode = strconv.Itoa(u.Status)
		}
		if u.ErrorDescription == "" {
			u.ErrorDescription = errorText(u.Status)
		}
	}
	m.Reporter.Report(u)
}

func errorText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "status " + strconv.Itoa(status)
}

func (m *Middleware) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

func (m *Middleware) key(r *http.Request) string {
	if m.Key != nil {
		return m.Key(r)
	}
	return r.Header.Get("apiKey")
}

func (m *Middleware) endpoint(r *http.Request) string {
	if m.Endpoint != nil {
		return m.Endpoint(r)
	}
	if i := strings.IndexByte(r.Pattern, '/'); i >= 0 { // "GET example.com/orders/{id}"
		return r.Pattern[i:]
	}
	return r.URL.Path
}

func (m *Middleware) clientIP(r *http.Request) string {
	if m.ClientIP != nil {
		return m.ClientIP(r)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
