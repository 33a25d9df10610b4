package producer

import (
	"encoding/json"
	"strings"
	"time"

	"tallybook/schemas"
)

// envelope is what of a CloudEvent decides where it goes.
type envelope struct {
	SpecVersion string  `json:"specversion"`
	ID          string  `json:"id"`
	Source      string  `json:"source"`
	Type        string  `json:"type"`
	Subject     *string `json:"subject"`
	Time        *string `json:"time"`
}

// parseNDJSON reads a line that is a CloudEvent. What is wrong within the event
// is the worker's to judge and to keep; here only lines are refused that name
// no topic or are no event at all.
func parseNDJSON(line []byte) (event, skip) {
	var env envelope
	if json.Unmarshal(line, &env) != nil || env.SpecVersion == "" || env.ID == "" || env.Source == "" || env.Type == "" {
		return event{}, skipMalformed
	}
	if env.Type == schemas.TypeRetracted || env.Type == schemas.TypeAmended {
		return event{}, skipCorrection
	}
	e := event{raw: line, typ: env.Type, topic: topicOf(env.Type)}
	if env.Subject != nil && *env.Subject != "" {
		e.account = []byte(*env.Subject)
	}
	if env.Time != nil {
		if at, err := time.Parse(time.RFC3339, *env.Time); err == nil {
			e.time, e.hasTime = at.UnixMicro(), true
		}
	}
	return e, ""
}

// topicOf is event-types.md's table; a type that is not in it is usage.
func topicOf(typ string) schemas.Topic {
	switch {
	case typ == schemas.TypeAPIError || typ == schemas.TypeInternalError:
		return schemas.Errors
	case strings.HasPrefix(typ, schemas.EmailPrefix), typ == schemas.TypeMailgunWebhook, typ == schemas.TypeMandrill:
		return schemas.Emails
	}
	return schemas.Usage
}
