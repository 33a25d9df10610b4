// Package api is what all HTTP endpoints have in common: the table they are
// registered in, who may call them, and how errors are answered.
//
// A package that answers HTTP lists its endpoints,
//
//	func (q *Server) Endpoints() []api.Endpoint {
//		return []api.Endpoint{
//			{Method: "GET", Path: "/v2/summary", Access: api.Account, Scope: api.Replace, Form: api.MessageForm, Handle: q.summary},
//			{Method: "GET", Path: "/events/", Also: []string{"/events"}, Access: api.Account, Form: api.PlainForm, Handle: q.listEvents},
//		}
//	}
//
// and main mounts all of them at once. A handler returns an error instead of
// writing one: Invalid, NotFound, Conflict … or any other, which is answered 500
// and logged. It asks CallerOf(r.Context()) who calls: the credential was checked,
// X-Account-ID applied, and Caller.Account names the only account that the answer
// may show ("" for an administrator who named none: every account).
//
// Access of an endpoint is the one place where its authorization is stated, and the
// authorization test goes through the mounted table: a new endpoint cannot be
// forgotten. HEAD follows GET; another method is 405 with Allow.
package api
