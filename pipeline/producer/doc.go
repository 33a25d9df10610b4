// Package producer sends events into Kafka: from files (Import) and made up by
// a seed (Generate). It owns the formats of log files and the synthetic load;
// it knows nothing of workers.
//
// # Import
//
// A line becomes at most one event. Its identity is
//
//	source = hex(xxh3-128 of the first 4 KiB)
//	id     = hex(xxh3-128 of the line's byte offset, 8 bytes little endian, and the line)
//
// over the decompressed content, the line without its line end; so the same
// file makes the same events however often it is sent, compressed or not, and
// dedupe counts them once. An ndjson line is a CloudEvent and keeps its own.
// Beyond the dedupe window the Journal remembers: a finished import by the hash
// of the whole content, an interrupted one by the byte up to which Kafka has
// acknowledged. The offset is recorded after each batch and before the next is
// sent: after a crash at most one batch is sent twice, under the same ids. Only
// if the resumed run starts later than the dedupe window (Report.Interrupted
// says how long it was) and that batch was written without an answer, would it
// count twice.
//
// Formats, and what is left out of the event because no field exists for it:
//
//	combined      host ident user [time] "METHOD target PROTOCOL" status bytes …
//	              (the common format too). A request line that is none ("-", TLS
//	              bytes sent to a plain port) was answered all the same: it is
//	              counted, with method and endpoint "-". Ident, user, referer
//	              and user agent are left out.
//	openstack     nova's wsgi request lines, with or without a file name before
//	              them; the tenant of the request block is the account, and
//	              ImportConfig.Account stands in where it is "-" ("_none" where
//	              AccountFrom is "tenant" and no account was given). Times are
//	              read as UTC. User, domain and process id are left out.
//	apache-error  2.2's and 2.4's. Level error and above become api.error on the
//	              topic errors: status 500 (the log names none), endpoint = the
//	              path at the end of a message about a client, else "/";
//	              error_code = the AH number, the module, or the level. Other
//	              levels are skipped. Times are read as UTC.
//	ndjson        one CloudEvents 1.0 object a line, sent byte for byte; its
//	              type says the topic, its subject (else the account) the key.
//	              Corrections are skipped: their topic is the original's, which
//	              the line does not name.
//
// Nothing is dropped in silence: Lines = Events + the sum of Skipped, whose keys
// are the reasons below (skip…).
//
// # Generate
//
// Record i of a configuration is a pure function of (configuration, i), so a
// killed producer resumes at any i, a range sent again is duplicates by design,
// and Expect computes the exact totals without sending.
package producer
