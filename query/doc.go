// Package query answers over HTTP: meters (/api/v1/meters), the CloudKitty
// summary (/v2/summary), the error list (/v1/errors) and the signs of life
// (/healthz, /readyz, /metrics). It reads the store and changes nothing.
//
// An answer built from rollups is read in one View of the store, rows and
// positions together, and says in two headers what it contains:
//
//	X-Data-Through: 2026-01-01T00:00:00Z; usage=0:120,1:98
//	X-Data-Source: rollups
//
// The time is the least log clock of the partitions that have any records (the
// first instant of 1970 where none has); behind it stand the partitions of the
// topic, each with the next offset to process. The snapshot is closed before
// the first byte is sent, so that a slow reader never keeps it open.
//
// The list of the latest events (/api/v1/events) is read from the archive's files,
// those with the newest events first, until no older file can have one that is
// new enough. It reads a limited number of files and ends after a limited time;
// where that cuts it short, X-Events-From says how far back it is complete.
//
// Numbers are exact decimals, in JSON too. Sums beyond 64 bit units are an
// error, never wrapped. An answer has at most Config.MaxRows rows.
//
// Not here yet: credentials (every caller is an administrator), questions that
// need the archive (edges within an hour, MINUTE windows), other meters than
// the built-in ones.
package query
