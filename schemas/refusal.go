package schemas

import "encoding/json"

// RefusalHeader names the header of a record that is a request which an
// endpoint refused: a worker makes an internal error of it, whatever its value.
// So it is durable, counted, archived and balanced as every record is.
const RefusalHeader = "tallybook_refusal"

// UnknownAccount is the account of what is nobody's; administrators see it.
const UnknownAccount = "_unknown"

// Refusal says where and why a request was refused.
type Refusal struct {
	Endpoint string `json:"endpoint"` // its path
	Reason   Reason `json:"reason"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
}

// Text is the value of the header.
func (r Refusal) Text() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings always marshal
	}
	return b
}

const maxRefusal = 4 << 10

// ParseRefusal reads the header; ok is false for what is none of ours, since
// anybody may write headers.
func ParseRefusal(text []byte) (r Refusal, ok bool) {
	if len(text) == 0 || len(text) > maxRefusal || json.Unmarshal(text, &r) != nil {
		return Refusal{}, false
	}
	for _, c := range []byte(r.Reason) {
		if (c < 'a' || c > 'z') && c != '_' {
			return Refusal{}, false
		}
	}
	return r, r.Endpoint != "" && r.Reason != "" && len(r.Reason) <= 64
}
