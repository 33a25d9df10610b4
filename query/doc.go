// Package query answers over HTTP: meters, the CloudKitty summary and data
// frames, usage and errors, account totals, application events, the catalog,
// keys and the signs of life; Endpoints lists them all.
//
// What was metered is asked of package engine, whatever the window; an answer
// says in two headers what it contains:
//
//	X-Data-Through: 2026-01-01T00:00:00Z; usage=0:120,1:98
//	X-Data-Source: rollups+archive
//
// The time is the least log clock of the partitions that have any records (the
// first instant of 1970 where none has); behind it stand the partitions of the
// topics, each with the next offset to process: every event below is in the
// answer, and none from there on. The source is rollups, archive or both. The
// snapshot is closed before the first byte is sent, so that a slow reader never
// keeps it open.
//
// Rows are sent by package table: as JSON, CSV or an Arrow stream.
//
// The list of the latest events (/api/v1/events) is read from the archive's files,
// those with the newest events first, until no older file can have one that is
// new enough. It reads a limited number of files and ends after a limited time;
// where that cuts it short, X-Events-From says how far back it is complete.
//
// Numbers are exact decimals, in JSON too. Sums beyond 64 bit units are an
// error, never wrapped. An answer has at most Config.MaxRows rows.
package query
