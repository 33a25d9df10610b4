// Package mail sends mails over several providers, so that an outage of one
// does not touch the customers, and keeps a record of every mail.
//
//	Send ► record ► round: ask a provider ► what did it say? ─► sent
//	         │         ▲                         │
//	         │         └── the next one ◄────────┤ the provider's fault
//	         │                                   ├─► rejected   the mail's own fault
//	         │                                   ├─► deferred   nobody left to ask: the outbox tries again
//	         └─ every attempt                    └─► unknown    somebody may have it
//
// The heart is knowing whose fault an answer is. Classes name it (class.go), and
// one function per kind of provider finds the class of an answer (mailgun.go,
// mandrill.go, smtp.go). The classes and what follows from each are those of the
// API document on sending mail.
//
// Each provider stands behind a gate (gate.go): a breaker, which opens when the
// provider fails, and a hold, for a time that it asked for or while its set-up is
// wrong. Only the provider's own failures count; bad mails open no breaker.
//
// # Promises
//
// A mail that Send returned an id for has a record, written before the first
// provider was asked. Each step is recorded together with who is asked next, so
// that after a crash the record says who may have the mail: it becomes unknown
// and is never sent again by itself, unless it was ordered to come at least once,
// as our own alerts and invoices are. A mail that is deferred is with nobody, or
// is such a one. So no mail is sent twice unless its record says possible_duplicate.
//
// Message-ID and outbox id are the same on every attempt, at every provider.
//
// The caller going away does not stop a send. E-mail events of mails for which no
// webhook reports are put on the topic at least once, with ids that make a repeat
// recognisable.
//
// # What it does not do
//
// A mail has one recipient, and a file only where it is one of our own (an
// invoice's PDF). Breakers and holds live in the process:
// each process finds out by itself, and a restart forgets them.
package mail
