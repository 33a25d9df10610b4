// Package collector takes events over HTTP and puts them into Kafka.
//
//	POST /v1/events       202 {"results": [{"id", "status", "error", "field"}]}, in order
//	POST /api/v1/events   204, or 400 application/problem+json and nothing is stored
//	POST /v1/usage        202 {"id", "status"}; an array: {"results": […]}, in order
//	POST /v1/errors/{id}/retry   a refused record goes back to its topic, once
//
// A 2xx says that every event it counts as accepted is on all replicas (acks=all;
// on the embedded broker: written and synced). Nothing else does.
//
// # Bodies
//
// application/json (one event or an array), application/cloudevents+json (one),
// application/cloudevents-batch+json (an array), and on /v1/events
// application/x-ndjson (an event a line, empty lines left out). Parameters of the
// content type are ignored; no content type means application/json; others are
// 415. Content-Encoding gzip or zstd (window up to 8 MiB), else 415. Limits after
// decompression: 1 MiB an event, 32 MiB and 10,000 events a request: 413. A body
// that comes too slowly: 408, by the deadlines of Server.
//
// # Events
//
// Each event is decoded and validated as the worker will do it (package schemas),
// with the time of receipt as the clock. Its type decides the topic; its account,
// which is the key and decides the partition as Java's client does, is its
// subject, else the header X-Account-ID. The record is the event as it came,
// except that an event without time gets the time of receipt in front. The
// record's timestamp is the time of receipt. A key of an account sends for that
// account alone; ingest keys and administrators may name any.
//
// # Usage
//
// POST /v1/usage makes an api.request of a usage, and of one that failed an
// api.error before it: the usage event is produced when the error event is
// durable. Both get what the catalog knows of the caller: customer, key_id,
// subscription (where one holds at the event's time) and the API's name where the
// usage has none. What was read of the catalog is remembered until it changes,
// which is asked for once a second, and for five minutes while the store does not
// answer. Faults are all named at once.
//
// What an endpoint refuses and an administrator should see (Refuse) becomes a
// record with a header, of which the worker makes an error row: durable, counted
// and archived without a way of its own. So do requests to /v1/usage whose key
// nobody has: one for each key and hour, up to 100, all of them counted in the
// store.
//
// # Refusals
//
// On /v1/events a bad event is "rejected" with error and field, and the others go
// on. The whole request is refused (JSON {"error", "field"}) where the body
// cannot be cut into events, where it holds a single event and that is bad
// (400, or 413 for its size), and where no event has an account (400). An array
// is cut at its commas: an event in it that is not JSON is rejected alone as long
// as its quotes and brackets are in pairs.
//
// 503 with Retry-After: at once where the bytes in flight are at their limit, or
// where Behind says that the log is full or the workers lag; after at most
// ProduceTimeout where Kafka does not acknowledge; at once where it did not the
// last time either and is not reached again. If Kafka took some events of a
// request to /v1/events and not others, the answer is 202, and those others are
// "rejected" with the error "not durable, send again".
//
// # Repeats
//
// A produce whose answer was lost is sent again, so a record may stand in the log
// twice; an event that was answered "not durable" may stand there once, and the
// caller sends it again. Both are repeats of the same (account, source, id),
// which the worker counts once.
//
// # Application events
//
//	POST   /sessions/       201: the session is in the store
//	POST   /events/         202: the event is in the log, and the workers judge it
//	PUT    /events/{id}/    200, 412, 409 …: a correction, answered when it was applied
//	PATCH  /events/{id}/    the same; a merge patch (RFC 7396) of what GET shows
//	DELETE /events/{id}/    204; the same
//
// POST /events/ refuses at once only what is no JSON object (an error entry is
// made of that too); what else is wrong with a body travels as it is, and the
// worker's error row shows it. Ids are UUIDs of version 7: of one that the store
// does not have, its time and the end of the log tell whether it may still come
// (409 with Retry-After) or never was (404). The records of application events are
// of the millisecond that ends with or behind their receipt, since Kafka's times
// have no finer parts: an event of this very moment is not one of the future.
//
// A change is produced as a correction with the event's revision + 1, and the
// store is looked at until that revision is taken, up to ApplyTimeout: by this
// correction, or by another one, which means 412 to those who sent If-Match, and
// to others that their change is made anew on what the other left behind. Past
// that time the answer is 202. The data of an application event is its session,
// category, name and data: what else a record from Kafka had besides them is not
// kept by a change made here.
//
// # Webhooks
//
//	POST /webhooks/mailgun/{account}    200, or 406: what is answered so is not sent again
//	POST /webhooks/mandrill/{account}   200, or 401; HEAD is 200
//
// The signature is the credential, also with --no-auth; the key is the account's
// own (store.PutWebhookKey) or the installation's. A payload becomes a record of
// type mailgun.webhook or mandrill.webhook, one for each event, and the worker
// makes the e-mail event of it (package schemas): so does what a bridge of the
// customer's sends to Kafka. A repeat has the same identity and counts nothing.
// Mailgun's token is remembered when its event is durable. What is signed and
// cannot be counted becomes an internal error.
//
// # Data frames
//
// POST /v2/dataframes: every point is a rated.usage event, and nothing of a bad
// request is stored. Without an Idempotency-Key a repeat counts again, also after
// a 503.
//
// # Batching
//
// Each partition has a lane with one produce on its way. What arrives meanwhile,
// from any request, goes with the next one: batches grow with the load and a lone
// event waits for no timer. (kafka.Writer waits out BatchTimeout for every batch.)
package collector
