// Package client sends events to Tallybook over HTTP. It needs the standard
// library alone.
//
//	c := client.New("http://127.0.0.1:8080")
//	results, err := c.Send(ctx, []client.Event{{
//		ID: "r-1", Source: "shop", Type: "api.request", Subject: "acme",
//		Data: map[string]any{"api": "shop", "endpoint": "/v1/orders", "method": "GET", "status": 200},
//	}})
//
// A Result of status accepted is durable and counted once, however often the
// same (subject, source, id) is sent within the service's dedupe window. After
// an error nothing is known: send the same events again, with the same ids.
// Send does not retry, and keeps no queue.
//
// Middleware for net/http, which makes events of requests, is not here yet.
package client
