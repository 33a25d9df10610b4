// Package archive keeps accepted events as Parquet files in a bucket: a folder,
// an object store with S3's protocol, or memory in tests. It writes, stages, publishes and reads files. It does not
// decide which rows a file holds, and does not know which files a checkpoint
// has committed: that is the store's word.
//
// # Names
//
//	usage/date=2026-01-01/usage-0-00000000000000001234-e7-1a2b3c4d.parquet   published
//	_staging/usage-0-e7-1a2b3c4d-00000000000000001234-usage-2026-01-01.parquet   the same file, staged
//	usage/date=2026-01-01/usage-0-00000000000000001234-c12-k3w5q7ab.parquet   merged from others
//	_staging/merged-c12-k3w5q7ab-usage-0-00000000000000001234-usage-2026-01-01.parquet   the same file, staged
//	_quarantine/usage/date=2026-01-01/….parquet   published once, but known to no store
//
// A published name is dataset / UTC date of the events / topic, partition and
// first offset of the log, epoch of the partition's owner and a random part of
// that epoch; in place of the epoch a merged file has the token of the lease of
// the job that made it. A staged name says the same in another order, so that one prefix
// finds what a partition left behind. Topic and dataset differ where a worker
// of one topic writes error rows. Staged files that were merged have a prefix of
// their own: no partition's owner looks at them. Accounts never enter names. Folders that begin
// with "_" are no data.
//
// # What holds after a crash
//
// Within Stage: the staged name has nothing, a part or all of the file. No
// reader looks there and no checkpoint names it; Discard removes it.
//
// After Stage: the file and its name are durable. Whether it is part of the
// archive is decided by the checkpoint alone: committed, it is published at the
// next start; not committed, it is discarded.
//
// Within Publish: the file has its staged or its final name, on S3 perhaps both.
// The folder's name is durable before the file enters it. Publish again settles
// it: it moves the file, or finds it moved and makes that durable.
//
// After Publish: the final name is durable, and a glob over the data folders
// sees the file once.
//
// Discard and Quarantine may be repeated like Publish. A delete that a power
// cut undoes is done again at the next take-over.
//
// # Columns
//
// Every file of a dataset has all of its columns in one order (Columns): those
// of the archive's contract, with currency in usage and records (how many
// records an error row stands for) in errors. id, source, account, type, time,
// topic_partition, topic_offset, row, log_time and sign are required, all others
// optional and null where absent. Strings, also id, data and dimensions, are
// UTF-8 strings; times are timestamps in µs, adjusted to UTC; amount and
// quantity are decimal(38,9) in 16 bytes; latency_ms is a double; sign is an
// 8-bit integer. In dataset errors topic_partition and topic_offset are the
// row's own address in the log, origin_* the address of the record that failed.
// An empty long text (data, input) is null.
//
// # Files
//
// Rows are sorted by account (its bytes), time and offset, and the row groups
// say so. A row group has at most 131,072 rows and about 32 MiB of long texts;
// a page has 16,384 rows or 1 MiB of text. Data pages are of version 1, each
// with its CRC, compressed by zstd (fastest level, with entropy coding of
// literals, without which ids would not shrink at all).
//
// Strings of Rows.Dict, 8 and 32 bit integers and recurring numbers are
// RLE_DICTIONARY; 64 bit integers DELTA_BINARY_PACKED where that is smaller;
// ids, long texts and strings that hardly recur DELTA_LENGTH_BYTE_ARRAY; other
// numbers PLAIN. Row groups have minimum and maximum of id, account, time,
// topic_offset and log_time, and null counts of all; pages have an offset index
// in every column and bounds in account and time, the only ones by which pages
// can be skipped. id has a bloom filter of 10 bits per value in each row group.
//
// The file's metadata has tallybook.dataset and tallybook.format ("1").
//
// # Integrity
//
// No decoder sees bytes that are not what was written. A column chunk (from the
// header of its first page to its end), a bloom filter (with its header) and the
// footer each have a CRC-32C, and are read whole, checked, and only then decoded:
//
//	"PAR1"  column chunks and bloom filters, row group by row group  page index
//	CRC     4 bytes, big-endian, of all that follows it
//	footer  Parquet's FileMetaData, its length in 4 bytes, "PAR1"
//
// The footer's metadata have the other CRCs in hexadecimal, eight digits each:
// tallybook.crc32c.columns those of the column chunks, row group by row group in
// the order of the columns, and tallybook.crc32c.filters those of the bloom
// filters in that order. Parquet's offsets are explicit, so that other readers
// pass over what they do not know. Every offset and length of the footer is held
// against the file's size before memory is taken for it. What fails is
// ErrDamaged. The magic at the beginning and the page index are not ours to read
// and have no CRC; a file's SHA-256, which the store has, covers them too.
//
// # Reading
//
// Read gives all rows of a file, Scan those of a window and of accounts, Find
// those of an id. A file is opened with one read of its end, in which the footer
// lies, and all of a small file; a footer that was parsed is kept, up to 32 MiB
// of them. Then each column of a row group is one read. Row groups that the
// bounds of account or time exclude are not read, pages without a wanted row not
// decompressed; where the bounds say that all rows are wanted, account and time
// are not read either. Within a row group the rows of an account, and a window
// of each, lie together, so that wanted rows are a few spans.
//
// The Writer lays out files itself, from the encodings, Thrift and metadata
// types that parquet-go exports, because Rows holds codes where parquet-go's
// writer wants strings to look up: about twice its speed on the same rows, in three
// quarters of the space. The reader decodes pages with parquet-go's encodings
// straight into Rows, where parquet-go's page readers give what would have to be
// copied again: three to five times their speed. It reads what the Writer writes, and no
// other Parquet.
// TestReadBackByLibrary compares every column through parquet-go's row reader,
// TestFooter every number of the footer.
package archive
