package jobs

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"tallybook/store"
)

// alertHook posts alerts as JSON. Who receives them checks Tallybook-Signature,
// "v1=" and the HMAC-SHA256, in hex, of Tallybook-Timestamp, "." and the body; a
// timestamp that is minutes old is somebody's replay. Tallybook-Id is the same in
// repeats.
type alertHook struct {
	url, secret string
	client      *http.Client
}

type alertBody struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Account   string          `json:"account,omitempty"`
	Customer  string          `json:"customer,omitempty"`
	Count     int64           `json:"count"`
	CreatedAt time.Time       `json:"createdAt"`
	Details   json.RawMessage `json:"details"`
}

func (h *alertHook) post(ctx context.Context, a *store.DueAlert, now time.Time) error {
	body, err := json.Marshal(alertBody{a.ID, a.Kind, a.Account, a.Customer, a.Count, a.CreatedAt, a.Details})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	at := strconv.FormatInt(now.Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Tallybook-Id", a.ID)
	r.Header.Set("Tallybook-Timestamp", at)
	r.Header.Set("Tallybook-Signature", "v1="+signature(h.secret, at, body))
	res, err := h.client.Do(r)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("webhook: it answered %s", res.Status)
	}
	return nil
}

func signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
