package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Route is an endpoint that is registered.
type Route struct {
	APIName    string  `json:"apiName"`
	APIVersion string  `json:"apiVersion"`
	Endpoint   *string `json:"endpointName"` // nil: every endpoint of the API version
}

// Routes reads the routes that the client's key may see.
func (c *Client) Routes(ctx context.Context) ([]Route, error) {
	var all []Route
	for cursor := ""; ; {
		var page struct {
			Routes []Route
			Next   string
		}
		path := "/v1/routes?limit=1000&cursor=" + url.QueryEscape(cursor)
		if err := c.call(ctx, http.MethodGet, path, c.key, nil, &page, http.StatusOK); err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		all = append(all, page.Routes...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
		if len(all) > 1_000_000 {
			return nil, errors.New("read routes: there are more than a million")
		}
	}
}

// RouteCache remembers the registered routes. It may be used concurrently.
type RouteCache struct {
	Client  *Client
	MaxAge  time.Duration    // 0: a minute
	Timeout time.Duration    // of reading them; 0: 5 s
	Now     func() time.Time // nil: time.Now

	mu      sync.Mutex
	readAt  time.Time // of the last try
	known   map[routeKey]bool
	lastErr error
}

// routeKey: an empty endpoint stands for all of them.
type routeKey struct{ api, version, endpoint string }

// Has reports whether an endpoint of an API version is registered; apiName ""
// is any. Routes that are too old are read again by one caller, who waits, also
// those that arrive meanwhile; where that fails, what was known stays, and where
// nothing was ever known the error is returned.
func (r *RouteCache) Has(ctx context.Context, apiName, version, endpoint string) (bool, error) {
	known, err := r.current(ctx)
	if err != nil {
		return false, err
	}
	return known[routeKey{apiName, version, endpoint}] || known[routeKey{apiName, version, ""}], nil
}

func (r *RouteCache) current(ctx context.Context) (map[routeKey]bool, error) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	maxAge, timeout := r.MaxAge, r.Timeout
	if maxAge == 0 {
		maxAge = time.Minute
	}
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := now(); r.readAt.IsZero() || at.Sub(r.readAt) >= maxAge {
		r.readAt = at
		// Not cut short by a caller that leaves: others use the answer too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		routes, err := r.Client.Routes(ctx)
		if r.lastErr = err; err == nil {
			r.known = make(map[routeKey]bool, 2*len(routes))
			for _, route := range routes {
				endpoint := ""
				if route.Endpoint != nil {
					endpoint = *route.Endpoint
				}
				r.known[routeKey{route.APIName, route.APIVersion, endpoint}] = true
				r.known[routeKey{"", route.APIVersion, endpoint}] = true
			}
		}
	}
	if r.known == nil {
		return nil, r.lastErr
	}
	return r.known, nil
}
