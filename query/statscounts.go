package query

import "tallybook/schemas"

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

// mailCell is a place of mailCounts: a leaf that no other leaf contains.
type mailCell int

const (
	noCell mailCell = iota // the event has no statistics
	acceptedIncoming
	acceptedOutgoing
	deliveredSMTP
	deliveredHTTP
	temporaryESPBlock
	temporaryOther
	permanentSuppressBounce
	permanentSuppressUnsubscribe
	permanentSuppressComplaint
	permanentBounce
	permanentDelayedBounce
	permanentOther
	openedCell
	clickedCell
	unsubscribedCell
	complainedCell
	storedCell
	numMailCells
)

// mailNames are the dimensions of e-mail events, in the order of cellOf.
var mailNames = schemas.FamilyEmail.Dims

// cellOf is where a series of e-mail events is counted, by its dimensions:
// domain, event, direction, transport, severity, reason.
func cellOf(dims []string) mailCell {
	switch dims[1] {
	case "accepted":
		if dims[2] == schemas.Incoming {
			return acceptedIncoming
		}
		return acceptedOutgoing
	case "delivered":
		if dims[3] == schemas.TransportHTTP {
			return deliveredHTTP
		}
		return deliveredSMTP
	case "failed":
		return failedCell(dims[4], dims[5])
	case "opened":
		return openedCell
	case "clicked":
		return clickedCell
	case "unsubscribed":
		return unsubscribedCell
	case "complained":
		return complainedCell
	case "stored":
		return storedCell
	}
	return noCell
}

// failedCell: what is not said to be temporary is permanent.
func failedCell(severity, reason string) mailCell {
	if severity == schemas.Temporary {
		if reason == schemas.ReasonESPBlock {
			return temporaryESPBlock
		}
		return temporaryOther
	}
	switch reason {
	case schemas.ReasonBounce:
		return permanentBounce
	case schemas.ReasonDelayedBounce:
		return permanentDelayedBounce
	case schemas.ReasonSuppressed + "bounce":
		return permanentSuppressBounce
	case schemas.ReasonSuppressed + "unsubscribe":
		return permanentSuppressUnsubscribe
	case schemas.ReasonSuppressed + "complaint":
		return permanentSuppressComplaint
	}
	return permanentOther
}

// add counts n events. Events that were not asked for pass.
func (c *mailCounts) add(cell mailCell, n int64) {
	switch {
	case cell == noCell:
	case cell <= acceptedOutgoing:
		if c.Accepted != nil {
			addLeaf(n, &c.Accepted.Total, []*int64{&c.Accepted.Incoming, &c.Accepted.Outgoing}[cell-acceptedIncoming])
		}
	case cell <= deliveredHTTP:
		if c.Delivered != nil {
			addLeaf(n, &c.Delivered.Total, []*int64{&c.Delivered.SMTP, &c.Delivered.HTTP}[cell-deliveredSMTP])
		}
	case cell <= permanentOther:
		if c.Failed != nil {
			c.Failed.add(cell, n)
		}
	default:
		total := []*totalCount{c.Opened, c.Clicked, c.Unsubscribed, c.Complained, c.Stored}[cell-openedCell]
		if total != nil {
			total.Total += n
		}
	}
}

func (f *failedCount) add(cell mailCell, n int64) {
	var other int64 // has no part of its own
	if t := &f.Temporary; cell <= temporaryOther {
		addLeaf(n, &t.Total, []*int64{&t.ESPBlock, &other}[cell-temporaryESPBlock])
		return
	}
	p := &f.Permanent
	addLeaf(n, &p.Total, []*int64{&p.SuppressBounce, &p.SuppressUnsubscribe, &p.SuppressComplaint, &p.Bounce, &p.DelayedBounce, &other}[cell-permanentSuppressBounce])
}

func addLeaf(n int64, total, leaf *int64) {
	*total += n
	*leaf += n
}
