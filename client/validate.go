package client

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Verdict says whether a key may call an endpoint now.
type Verdict struct {
	Allowed  bool      `json:"allowed"`
	Reason   string    `json:"reason"` // why not: inactive_subscription, no_subscription, quota_exceeded, unknown_route, unknown_key
	Limit    *float64  `json:"limit"`
	Used     float64   `json:"used"`
	ResetsAt time.Time `json:"resets_at"`
}

// ValidateRequest asks whether a key may call an endpoint. A service that has
// no such check allows everything.
func (c *Client) ValidateRequest(ctx context.Context, key, apiName, version, endpoint string) (Verdict, error) {
	body := map[string]string{"apiName": apiName, "apiversion": version, "endPointName": endpoint}
	var v Verdict
	err := c.call(ctx, http.MethodPost, "/v1/validateRequest", key, body, &v, http.StatusOK)
	var refused *StatusError
	if errors.As(err, &refused) {
		switch refused.Code {
		case http.StatusNotFound, http.StatusMethodNotAllowed:
			return Verdict{Allowed: true}, nil
		case http.StatusUnauthorized:
			return Verdict{Reason: "unknown_key"}, nil
		}
	}
	return v, err
}
