package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"
)

// MaxUsages is how many usages one PostUsage takes; the service's own limit.
const MaxUsages = 1000

// Usage is one request to an API, as POST /v1/usage takes it.
type Usage struct {
	Key              string // the customer's apiKey; "" is the client's own
	ID               string // makes a repeat recognisable; NewID makes one
	APIName          string // "": the service finds it by version and endpoint
	APIVersion       string // required, as the next four
	Endpoint         string
	ClientIP         string
	Status           int
	Took             time.Duration
	ErrorCode        string // required from Status 400 on, as the next
	ErrorDescription string
	Method           string
	Bytes            int64 // of the answer's body; 0 is left out
	At               time.Time
	Quantity         json.Number // "" counts as 1
	Dimensions       map[string]string
}

// NewID is an id that nothing else has.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// MarshalJSON is the usage in the words of the API.
func (u Usage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID               string            `json:"id,omitempty"`
		APIName          string            `json:"apiName,omitempty"`
		APIVersion       string            `json:"apiversion"`
		Endpoint         string            `json:"endPointName"`
		ClientIP         string            `json:"clientIPAdress"`
		Status           int               `json:"httpStatusCode"`
		TookMS           float64           `json:"timeTakenInMilliSeconds"`
		ErrorCode        string            `json:"errorCode,omitempty"`
		ErrorDescription string            `json:"errorDescription,omitempty"`
		Method           string            `json:"method,omitempty"`
		Bytes            int64             `json:"bytes,omitempty"`
		At               time.Time         `json:"timestamp,omitzero"`
		Quantity         json.Number       `json:"quantity,omitempty"`
		Dimensions       map[string]string `json:"dimensions,omitempty"`
	}{u.ID, u.APIName, u.APIVersion, u.Endpoint, u.ClientIP, u.Status, float64(u.Took.Nanoseconds()) / 1e6, u.ErrorCode, u.ErrorDescription,
		u.Method, u.Bytes, u.At.UTC(), u.Quantity, u.Dimensions})
}

// UsageResult is what became of one usage.
type UsageResult struct {
	ID     string `json:"id"`
	Status string `json:"status"` // Accepted or Rejected
	Error  string `json:"error"`
	// Fields are what was wrong with a rejected one. None: it is right, and was
	// not made durable; send it again.
	Fields []struct {
		Field string `json:"field"`
		Error string `json:"error"`
	} `json:"fields"`
}

// PostUsage sends up to MaxUsages of one key (the client's own where it is "")
// and returns a result for each, in order. After an error nothing is known: send
// the same again, with the same ids.
func (c *Client) PostUsage(ctx context.Context, key string, usages []Usage) ([]UsageResult, error) {
	if key == "" {
		key = c.key
	}
	var answer struct{ Results []UsageResult }
	if err := c.call(ctx, http.MethodPost, "/v1/usage", key, usages, &answer, http.StatusAccepted); err != nil {
		return nil, err
	}
	if len(answer.Results) != len(usages) {
		return nil, &StatusError{Code: http.StatusAccepted, Message: "another number of results than of usages"}
	}
	return answer.Results, nil
}
