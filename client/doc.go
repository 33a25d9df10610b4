// Package client is for programs whose APIs are metered by Tallybook. It needs
// the standard library alone.
//
// # An API's requests
//
// Middleware measures requests and reports them to POST /v1/usage in the
// background:
//
//	c := client.New("http://127.0.0.1:8080")
//	reporter := client.NewReporter(c, client.ReporterConfig{})
//	go reporter.Run(ctx) // ends when ctx does, and all is sent
//	m := &client.Middleware{Reporter: reporter, APIName: "shop", APIVersion: "v1"}
//	mux.Handle("GET /orders/{id}", m.Wrap(orders))
//
// The customer is who the request's header apiKey names. A handler says more of
// an error with Fail. The queue is bounded: Report never waits, and what does not
// fit is dropped and counted. What is queued is sent in batches, again with the
// same ids until the service has it, and at the end all of it within StopAfter.
// A crash loses the queue.
//
// With Routes the middleware looks whether the endpoint is registered, with
// Validate it asks whether the key may call it. Both let requests through while
// the service does not answer.
//
// # Events
//
// Send sends CloudEvents of any type:
//
//	results, err := c.WithKey(ingestKey).Send(ctx, []client.Event{{
//		ID: "r-1", Source: "shop", Type: "api.request", Subject: "acme",
//		Data: map[string]any{"api": "shop", "endpoint": "/v1/orders", "method": "GET", "status": 200},
//	}})
//
// A Result of status accepted is durable and counted once, however often the
// same (subject, source, id) is sent within the service's dedupe window. After
// an error nothing is known: send the same events again, with the same ids.
// Send does not retry, and keeps no queue.
package client
