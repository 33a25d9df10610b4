// Package mailtest has fakes of mail providers on real sockets, for tests: a
// server that answers as Mailgun or Mandrill would, or breaks off, or hangs, and
// a scripted SMTP server. Behaviours are those of the case file
// (testdata/cases/email-failover.json, "behaviour_kinds"); RunCases runs its cases
// against any service that has the endpoints.
package mailtest
