package schemas

import "time"

// Identity is what an event is known by.
type Identity struct {
	ID, Source, Account string
	Time                time.Time // zero: the time of receipt
}

// CloudEvent is an event as its JSON says it (CloudEvents 1.0, structured mode);
// Subject is the account, and the record's key.
type CloudEvent[Data any] struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time,omitzero"`
	Data        Data      `json:"data"`
}

// NewCloudEvent is an event of that identity, its time in whole µs.
func NewCloudEvent[Data any](own Identity, eventType string, data Data) CloudEvent[Data] {
	at := own.Time
	if !at.IsZero() {
		at = at.UTC().Truncate(time.Microsecond)
	}
	return CloudEvent[Data]{"1.0", own.ID, own.Source, eventType, own.Account, at, data}
}
