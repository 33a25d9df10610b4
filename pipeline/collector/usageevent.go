package collector

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
)

// callData is what the data of both events says of a call.
type callData struct {
	API          string      `json:"api,omitempty"`
	Version      string      `json:"version"`
	Endpoint     string      `json:"endpoint"`
	Method       string      `json:"method,omitempty"`
	Status       json.Number `json:"status"`
	LatencyMS    json.Number `json:"latency_ms"`
	ClientIP     string      `json:"client_ip"`
	KeyID        string      `json:"key_id,omitempty"`
	Customer     string      `json:"customer,omitempty"`
	Subscription string      `json:"subscription,omitempty"`
}

func (u *usage) callData(s usageStamp) callData {
	return callData{s.api, u.version, u.endpoint, u.method, u.status, u.tookMS, u.clientIP, s.keyID, s.customer, s.subscription}
}

// requestData is the data of the api.request.
func (u *usage) requestData(s usageStamp) any {
	return &struct {
		callData
		Bytes      json.Number     `json:"bytes,omitempty"`
		Quantity   json.Number     `json:"quantity,omitempty"`
		Dimensions json.RawMessage `json:"dimensions,omitempty"`
	}{u.callData(s), u.bytes, u.quantity, u.dimensions}
}

// errorData is the data of the api.error.
func (u *usage) errorData(s usageStamp) any {
	return &struct {
		callData
		ErrorCode        string `json:"error_code"`
		ErrorDescription string `json:"error_description"`
	}{u.callData(s), u.errorCode, u.errorText}
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
