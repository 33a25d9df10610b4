package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const maxAnswer = 64 << 10

// newHTTPClient is for providers. It follows no redirect, since a POST would
// become a GET, and it must never see an Idempotency-Key header: with one, Go's
// transport sends a POST again on a broken connection. Idle connections are
// given up soon, before providers do: a request on a connection that they are
// closing is ambiguous.
func newHTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.IdleConnTimeout = 10 * time.Second
	t.MaxIdleConnsPerHost = 16
	t.MaxConnsPerHost = maxSending + dueParallel // never a mail that waits for another one's connection
	t.MaxResponseHeaderBytes = 64 << 10
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// httpAnswer is what a provider answered; cut: not all of the body came.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte
	cut    bool
	now    time.Time
}

// call sends a request once. Without an answer the outcome tells whether the
// provider may have the mail: only once all of the request was written.
func call(client *http.Client, req *http.Request, now func() time.Time) (*httpAnswer, *Outcome) {
	var written atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		// The transport begins again on another connection where it is sure that
		// nothing was written to the first.
		GetConn:      func(string) { written.Store(false) },
		WroteRequest: func(info httptrace.WroteRequestInfo) { written.Store(info.Err == nil) },
	})
	answer, err := client.Do(req.WithContext(ctx))
	if err != nil {
		o := &Outcome{Class: Provider, Message: wayError(err)}
		if written.Load() {
			o.Class, o.Message = Ambiguous, "the request was sent, no answer came: "+o.Message
		}
		return nil, o
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return &httpAnswer{answer.StatusCode, answer.Header, body, err != nil, now()}, nil
}

// wayError is an error of the network without the URL that it was about.
func wayError(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return "no answer in time"
	}
	return clip(err.Error())
}

func (a *httpAnswer) success() bool { return a.status >= 200 && a.status < 300 }

func (a *httpAnswer) outcome(c Class, message string) Outcome {
	if message == "" {
		message = http.StatusText(a.status)
	}
	return Outcome{Class: c, StatusCode: a.status, Message: clip(message)}
}

// unclear is a success that does not say what it is of.
func (a *httpAnswer) unclear(why string) Outcome {
	o := a.outcome(Ambiguous, why)
	o.Accepted2xx = true
	return o
}

// text is the body of an answer that is no JSON of the provider's, for people.
func (a *httpAnswer) text() string {
	text := clip(string(a.body))
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%d %s: %s", a.status, http.StatusText(a.status), text)
}

var afterSeconds = regexp.MustCompile(`(?i)after (\d{1,7}) ?s(?:ec)?`)

// rateLimited reads how long the provider wants to be left alone (RFC 9110
// 10.2.3, X-RateLimit-Reset in Unix seconds, or words).
func (a *httpAnswer) rateLimited(message string) Outcome {
	o := a.outcome(RateLimit, message)
	after := strings.TrimSpace(a.header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		o.Hold = atLeastSecond(time.Duration(seconds) * time.Second)
		return o
	}
	if at, err := http.ParseTime(after); err == nil {
		o.Hold = atLeastSecond(at.Sub(a.now))
		return o
	}
	if unix, err := strconv.ParseInt(strings.TrimSpace(a.header.Get("X-RateLimit-Reset")), 10, 64); err == nil && unix > 0 && unix < 1<<40 {
		o.Hold = atLeastSecond(time.Unix(unix, 0).Sub(a.now))
		return o
	}
	if m := afterSeconds.FindStringSubmatch(message); m != nil {
		seconds, _ := strconv.Atoi(m[1])
		o.Hold = atLeastSecond(time.Duration(seconds) * time.Second)
	}
	return o
}

// atLeastSecond: whoever limits us is not asked again at once, whatever it says.
func atLeastSecond(d time.Duration) time.Duration { return max(d, time.Second) }
