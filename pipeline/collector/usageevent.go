package collector

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// requestData is the data of the api.request.
func (u *usage) requestData(s usageStamp) any {
	return &struct {
		API          string          `json:"api,omitempty"`
		Version      string          `json:"version"`
		Endpoint     string          `json:"endpoint"`
		Method       string          `json:"method,omitempty"`
		Status       json.Number     `json:"status"`
		LatencyMS    json.Number     `json:"latency_ms"`
		Bytes        json.Number     `json:"bytes,omitempty"`
		Quantity     json.Number     `json:"quantity,omitempty"`
		ClientIP     string          `json:"client_ip"`
		KeyID        string          `json:"key_id,omitempty"`
		Customer     string          `json:"customer,omitempty"`
		Subscription string          `json:"subscription,omitempty"`
		Dimensions   json.RawMessage `json:"dimensions,omitempty"`
	}{s.api, u.version, u.endpoint, u.method, u.status, u.tookMS, u.bytes, u.quantity, u.clientIP, s.keyID, s.customer, s.subscription, u.dimensions}
}

// errorData is the data of the api.error.
func (u *usage) errorData(s usageStamp) any {
	return &struct {
		API              string      `json:"api,omitempty"`
		Version          string      `json:"version"`
		Endpoint         string      `json:"endpoint"`
		Method           string      `json:"method,omitempty"`
		Status           json.Number `json:"status"`
		LatencyMS        json.Number `json:"latency_ms"`
		ErrorCode        string      `json:"error_code"`
		ErrorDescription string      `json:"error_description"`
		ClientIP         string      `json:"client_ip"`
		KeyID            string      `json:"key_id,omitempty"`
		Customer         string      `json:"customer,omitempty"`
		Subscription     string      `json:"subscription,omitempty"`
	}{s.api, u.version, u.endpoint, u.method, u.status, u.tookMS, u.errorCode, u.errorText, u.clientIP, s.keyID, s.customer, s.subscription}
}

// cloudEvent is an event of an account in CloudEvents' JSON.
func cloudEvent(id, kind, account string, at time.Time, data any) []byte {
	return marshal(struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Source      string    `json:"source"`
		Type        string    `json:"type"`
		Subject     string    `json:"subject"`
		Time        time.Time `json:"time"`
		Data        any       `json:"data"`
	}{"1.0", id, usageSource, kind, account, at.UTC(), data})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and checked numbers always marshal
	}
	return b
}

// newUUID is a random one (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// usageFieldOf is what a body of POST /v1/usage calls a field of its event.
func usageFieldOf(path string) string {
	names := map[string]string{"data.version": "apiversion", "data.endpoint": "endPointName", "data.client_ip": "clientIPAdress",
		"data.status": "httpStatusCode", "data.latency_ms": "timeTakenInMilliSeconds", "data.error_code": "errorCode",
		"data.error_description": "errorDescription", "data.api": "apiName", "time": "timestamp", "data.quantity": "quantity",
		"data.dimensions": "dimensions", "data.method": "method", "data.bytes": "bytes", "subject": accountHeader}
	if name, ok := names[path]; ok {
		return name
	}
	return path
}
