package query

import (
	"tallybook/query/engine"
	"tallybook/schemas"
)

// statsEvents are the e-mail events that have statistics, in Mailgun's words.
var statsEvents = []string{"accepted", "delivered", "failed", "opened", "clicked", "unsubscribed", "complained", "stored"}

// mailCounts are the statistics of a domain in a window, in the shape of
// Mailgun's API; an event that was not asked for is nil.
type mailCounts struct {
	Time         string          `json:"time"`
	Accepted     *acceptedCount  `json:"accepted,omitempty"`
	Delivered    *deliveredCount `json:"delivered,omitempty"`
	Failed       *failedCount    `json:"failed,omitempty"`
	Opened       *totalCount     `json:"opened,omitempty"`
	Clicked      *totalCount     `json:"clicked,omitempty"`
	Unsubscribed *totalCount     `json:"unsubscribed,omitempty"`
	Complained   *totalCount     `json:"complained,omitempty"`
	Stored       *totalCount     `json:"stored,omitempty"`
}

type acceptedCount struct {
	Incoming int64 `json:"incoming"`
	Outgoing int64 `json:"outgoing"`
	Total    int64 `json:"total"`
}

type deliveredCount struct {
	SMTP  int64 `json:"smtp"`
	HTTP  int64 `json:"http"`
	Total int64 `json:"total"`
}

// failedCount: a total counts every failure of its kind, those without a part
// of their own too.
type failedCount struct {
	Temporary struct {
		ESPBlock int64 `json:"espblock"`
		Total    int64 `json:"total"`
	} `json:"temporary"`
	Permanent struct {
		SuppressBounce      int64 `json:"suppress-bounce"`
		SuppressUnsubscribe int64 `json:"suppress-unsubscribe"`
		SuppressComplaint   int64 `json:"suppress-complaint"`
		Bounce              int64 `json:"bounce"`
		DelayedBounce       int64 `json:"delayed-bounce"`
		Total               int64 `json:"total"`
	} `json:"permanent"`
}

type totalCount struct {
	Total int64 `json:"total"`
}

// newMailCounts has zeros for each of the events.
func newMailCounts(at string, events []string) *mailCounts {
	c := &mailCounts{Time: at}
	for _, event := range events {
		switch event {
		case "accepted":
			c.Accepted = &acceptedCount{}
		case "delivered":
			c.Delivered = &deliveredCount{}
		case "failed":
			c.Failed = &failedCount{}
		default:
			*c.total(event) = &totalCount{}
		}
	}
	return c
}

// total is where the events that have no parts are counted; nil for others.
func (c *mailCounts) total(event string) **totalCount {
	switch event {
	case "opened":
		return &c.Opened
	case "clicked":
		return &c.Clicked
	case "unsubscribed":
		return &c.Unsubscribed
	case "complained":
		return &c.Complained
	case "stored":
		return &c.Stored
	}
	return nil
}

// mailNames are what groups of e-mail events are named by, as add reads them.
var mailNames = []string{"domain", "event", "direction", "transport", "severity", "reason"}

// add counts a group named by mailNames. Events that were not asked for pass.
func (c *mailCounts) add(g *engine.Group) {
	event, direction, transport, severity, reason := g.Names[1], g.Names[2], g.Names[3], g.Names[4], g.Names[5]
	n := g.Count
	switch {
	case event == "accepted" && c.Accepted != nil:
		c.Accepted.Total += n
		if direction == schemas.Incoming {
			c.Accepted.Incoming += n
		} else {
			c.Accepted.Outgoing += n
		}
	case event == "delivered" && c.Delivered != nil:
		c.Delivered.Total += n
		if transport == schemas.TransportHTTP {
			c.Delivered.HTTP += n
		} else {
			c.Delivered.SMTP += n
		}
	case event == "failed" && c.Failed != nil:
		c.Failed.add(severity, reason, n)
	default:
		if total := c.total(event); total != nil && *total != nil {
			(*total).Total += n
		}
	}
}

// add counts failures: what is not said to be temporary is permanent.
func (f *failedCount) add(severity, reason string, n int64) {
	if severity == schemas.Temporary {
		f.Temporary.Total += n
		if reason == schemas.ReasonESPBlock {
			f.Temporary.ESPBlock += n
		}
		return
	}
	p := &f.Permanent
	p.Total += n
	switch reason {
	case schemas.ReasonBounce:
		p.Bounce += n
	case schemas.ReasonDelayedBounce:
		p.DelayedBounce += n
	case schemas.ReasonSuppressed + "bounce":
		p.SuppressBounce += n
	case schemas.ReasonSuppressed + "unsubscribe":
		p.SuppressUnsubscribe += n
	case schemas.ReasonSuppressed + "complaint":
		p.SuppressComplaint += n
	}
}
