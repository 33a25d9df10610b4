// Package broker is the embedded Kafka broker of the single binary, and the
// client settings with which everything here talks to any Kafka.
//
// # The embedded broker
//
// Broker wraps kfake (github.com/twmb/franz-go/pkg/kfake): one node, the real
// protocol over TCP, so that any Kafka client can produce to it. A produce is
// answered after its batch was written to the partition's segment and fsync was
// called on it, so a kill loses no acknowledged record. What was read in kfake's
// source, and what is done about it here:
//
//   - It does not look at what fsync answers, and does not fsync the folder of a
//     new segment (ext4, xfs and btrfs make the name durable with the file). On
//     a disk that fails in this way an acknowledged record can be lost; use Kafka
//     where that matters.
//   - A batch that it cannot write it answers UNKNOWN_SERVER_ERROR, at which
//     clients give up, and takes for a repeat when an idempotent producer sends it
//     again: it would be acknowledged and lost. So a disk with less than 16 MiB
//     free is full: batches are refused before kfake sees them.
//   - Retention by time reaches every topic as soon as one topic names it. Both
//     kinds are off for the broker as a whole, and requests that alter settings
//     or delete records or topics are refused (POLICY_VIOLATION), as is the
//     creation of topics that are not ours. Trim alone deletes.
//   - It allocates what a request's first four bytes say, up to 4 GiB, and
//     panics on an unknown request key. Connections are therefore checked frame
//     by frame before kfake sees them (listen.go).
//   - It advertises the address that its listener reports; ours reports
//     Config.Advertise where it is given, and a wildcard address needs one.
//   - At start it reads every segment; after a crash it holds them all in memory
//     while it does (1 GiB: 4 s and 1 GiB of memory on two busy cores, 1.5 s and
//     0.4 GiB after Close). Trim keeps the log at two to three segments a
//     partition, and MaxLogBytes bounds what can pile up.
//
// # Files
//
// Dir belongs to the broker: LOCK (flock, one process at a time), and kfake's
// own files, of which Trim and the size limit know one thing: the segments
// partitions/<topic>-<n>/<first offset>.dat.
//
// # Trimming and the limit
//
// Trim deletes whole segments only, hence the log starts at a segment's first
// record before and after a restart, although kfake does not keep the log start.
// The segment that holds the record before a position stays, and so does the one
// before it. Beyond MaxLogBytes Full is true. Then, and while the disk is full,
// produce requests are answered KAFKA_STORAGE_ERROR, which clients retry; nothing
// unprocessed is ever deleted.
//
// # The client
//
// Kafka holds the settings: acks from all replicas, Java's partitioner
// (Murmur2), bounded batches. Reach adds TLS and SASL, in one place for clients,
// writers and consumer groups; Explain says what an operator can do about an
// error. Topics are made with three replicas where there are three brokers, two
// of them in sync for each acknowledged record, and without unclean elections.
package broker
