// Package schemas is Tallybook's vocabulary: events, meters, series, windows,
// exact decimals and the reasons for which a record is refused. It has rules
// and no I/O, and imports nothing else of ours.
//
// An event arrives as CloudEvents 1.0 JSON on one of three topics. Decode
// reads it in one pass into an Event whose strings are views into the record;
// Validate holds it against the rules of its type. The JSON Schemas of the
// same rules are in json/ and published at /schemas/.
//
// A Family is the shape of a rollup row: the event types that feed it and its
// dimensions. A Meter asks one question of one family. Meters over the same
// events share one series and one row, so that an event touches one row.
package schemas
