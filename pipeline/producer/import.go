package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/zeebo/xxh3"

	"tallybook/store"
)

// Format of a file.
type Format string

const (
	Combined    Format = "combined"
	OpenStack   Format = "openstack"
	ApacheError Format = "apache-error"
	NDJSON      Format = "ndjson"
)

// Formats in the order in which they are listed everywhere.
var Formats = []Format{Combined, OpenStack, ApacheError, NDJSON}

var parsers = map[Format]func(line []byte) (event, skip){
	Combined: parseCombined, OpenStack: parseOpenStack, ApacheError: parseApacheError, NDJSON: parseNDJSON,
}

// FromTenant is ImportConfig.AccountFrom for openstack files.
const FromTenant = "tenant"

const (
	noTenant    = "_none" // account of lines without a tenant where none was given
	batchEvents = 5_000   // a batch: what may be in flight, and be sent again after a crash
	batchBytes  = 4 << 20
	maxEvent    = 1_000_000 // with its key; a broker's default limit is 1 MiB less what surrounds it
)

// ErrOptions: ImportConfig does not say what the format needs.
var ErrOptions = errors.New("import options")

// Journal remembers imports by the hash of their content; *store.Store is one.
// What it returned nil for is durable.
type Journal interface {
	ImportBegin(ctx context.Context, imp store.Import) (store.Import, error)
	ImportProgress(ctx context.Context, id string, offset int64, counts map[string]int64) error
	ImportFinish(ctx context.Context, id string) error
}

// ImportConfig says what to import, as what, and where to.
type ImportConfig struct {
	Path        string
	Format      Format
	Account     string // of every line; openstack: of lines without a tenant; ndjson: of events without a subject (may be empty)
	AccountFrom string // "" or, for openstack, FromTenant: then Account may be left out
	API         string // default web; openstack: compute
	Again       bool   // start over where the Journal knows the file as finished; an interrupted import goes on all the same

	Writer     Writer
	Journal    Journal
	Now        func() time.Time
	OnProgress func(Progress) // may be nil; called after each batch
}

// Import sends a file's events to Kafka. It may be called again after any
// error, and goes on where Kafka's acknowledgements end. A cancelled ctx stops
// it behind a batch. Errors name file, line and byte.
func Import(ctx context.Context, cfg ImportConfig) (Report, error) {
	if err := cfg.setDefaults(); err != nil {
		return Report{}, err
	}
	print, err := measure(ctx, cfg.Path)
	if err != nil {
		return Report{}, fmt.Errorf("import %s: %w", cfg.Path, err)
	}
	begin := store.Import{ID: print.hash, Name: filepath.Base(cfg.Path), Format: string(cfg.Format),
		Account: cfg.Account, Bytes: print.bytes, Begun: cfg.Now(), Again: cfg.Again}
	known, err := cfg.Journal.ImportBegin(ctx, begin)
	if err == nil && !known.Finished.IsZero() && reportOf(known).Events == 0 {
		// Nothing of it is in Kafka: it may have been read as what it is not.
		begin.Again = true
		known, err = cfg.Journal.ImportBegin(ctx, begin)
	}
	if err != nil {
		return Report{}, fmt.Errorf("import %s: begin: %w", cfg.Path, err)
	}
	imp := &importer{cfg: cfg, print: print, report: reportOf(known)}
	report := &imp.report
	if !known.Finished.IsZero() {
		report.AlreadyDone = true
		return *report, nil
	}
	if known.Offset > 0 && (known.Format != string(cfg.Format) || known.Account != cfg.Account) {
		return *report, fmt.Errorf("%w: %s was interrupted at byte %d as format %s, account %q: it must go on with these",
			ErrOptions, cfg.Path, known.Offset, known.Format, known.Account)
	}
	if report.Resumed = known.Offset > 0; report.Resumed {
		report.Interrupted = cfg.Now().Sub(time.UnixMicro(known.Counts[countAcked]))
	}
	if err := imp.run(ctx, known.Offset); err != nil {
		return imp.acked, fmt.Errorf("import %s: line %d at byte %d: %w", cfg.Path, report.Lines+1, imp.at, err)
	}
	if err := cfg.Journal.ImportFinish(ctx, print.hash); err != nil {
		return imp.acked, fmt.Errorf("import %s: finish: %w", cfg.Path, err)
	}
	return imp.acked, nil
}

func (c *ImportConfig) setDefaults() error {
	if parsers[c.Format] == nil {
		return fmt.Errorf("%w: unknown format %q, use one of %v", ErrOptions, c.Format, Formats)
	}
	if c.AccountFrom != "" && (c.AccountFrom != FromTenant || c.Format != OpenStack) {
		return fmt.Errorf("%w: account from %q: only %q with format %s", ErrOptions, c.AccountFrom, FromTenant, OpenStack)
	}
	if c.Account == "" && c.AccountFrom == FromTenant {
		c.Account = noTenant
	}
	if c.Account == "" && c.Format != NDJSON {
		return fmt.Errorf("%w: format %s needs an account", ErrOptions, c.Format)
	}
	if c.API == "" {
		if c.API = "web"; c.Format == OpenStack {
			c.API = "compute"
		}
	}
	return nil
}

// importer is one run over a file. Between flushes report is ahead of acked.
type importer struct {
	cfg    ImportConfig
	print  fingerprint
	report Report
	acked  Report // as of the last flush
	at     int64  // byte that is being worked on
	batch  []kafka.Message
	arena  []byte // memory of the batch's records
}

// run sends everything from byte offset on.
func (m *importer) run(ctx context.Context, offset int64) error {
	m.acked, m.at = m.report.clone(), offset
	file, err := openContent(m.cfg.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	limited := io.LimitReader(file, m.print.bytes)
	if _, err := io.CopyN(io.Discard, limited, offset); err != nil {
		return endIsChange(err)
	}
	src, flushed := newLines(limited, offset), offset
	for {
		line, at, tooLong, err := src.next()
		if err == io.EOF {
			break
		}
		m.at = at
		if err != nil {
			return err
		}
		m.line(line, at, tooLong)
		if len(m.batch) >= batchEvents || len(m.arena) >= batchBytes || src.offset-flushed >= batchBytes {
			if err := m.flush(ctx, src.offset); err != nil {
				return err
			}
			flushed = src.offset
		}
	}
	// A file that was rewritten meanwhile made other events than the hash that
	// it would be remembered by stands for.
	if m.at = src.offset; src.offset != m.print.bytes || file.sum() != m.print.hash {
		return ErrChanged
	}
	return m.flush(ctx, src.offset)
}

func endIsChange(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrChanged
	}
	return err
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// line counts one line and adds its event to the batch.
func (m *importer) line(line []byte, at int64, tooLong bool) {
	m.report.Lines++
	var e event
	text := line
	if at == 0 {
		text = bytes.TrimPrefix(line, byteOrderMark)
	}
	why := skipTooLong
	switch {
	case tooLong:
	case len(bytes.TrimSpace(text)) == 0:
		why = skipEmpty
	default:
		e, why = parsers[m.cfg.Format](text)
	}
	if why == "" && e.account == nil && m.cfg.Account == "" {
		why = skipNoAccount
	}
	if why != "" {
		m.report.Skipped[string(why)]++
		return
	}
	if !m.add(&e, line, at) {
		m.report.Skipped[string(skipTooLarge)]++
		return
	}
	m.report.Events++
	if e.hasTime {
		m.report.span(time.UnixMicro(e.time).UTC())
	}
}

// add puts an event into the batch, unless Kafka would refuse it.
func (m *importer) add(e *event, line []byte, at int64) bool {
	account := m.cfg.Account
	if e.account != nil {
		account = string(e.account)
	}
	start := len(m.arena)
	if e.raw != nil {
		m.arena = append(m.arena, e.raw...)
	} else {
		m.arena = e.append(m.arena, &identity{id: lineID(line, at), source: m.print.source, account: account, api: m.cfg.API})
	}
	if len(m.arena)-start+len(account) > maxEvent {
		m.arena = m.arena[:start]
		return false
	}
	m.batch = append(m.batch, kafka.Message{Topic: string(e.topic), Key: []byte(account), Value: m.arena[start:len(m.arena):len(m.arena)]})
	return true
}

// lineID is the event id of a line (doc.go).
func lineID(line []byte, at int64) string {
	h := xxh3.New()
	var offset [8]byte
	binary.LittleEndian.PutUint64(offset[:], uint64(at))
	h.Write(offset[:])
	h.Write(line)
	return hexHash(h.Sum128())
}

// flush sends the batch and then records that the file is in Kafka up to
// offset. A crash between the two sends the batch again, under the same ids.
func (m *importer) flush(ctx context.Context, offset int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := m.cfg.Now()
	for i := range m.batch {
		m.batch[i].Time = now
	}
	if len(m.batch) > 0 {
		if err := Send(ctx, m.cfg.Writer, m.batch); err != nil {
			return err
		}
	}
	m.batch, m.arena = m.batch[:0], m.arena[:0]
	m.acked = m.report.clone()
	// Kafka has it: record that even where the caller has just cancelled.
	record, cancel := afterGrace(ctx)
	defer cancel()
	if err := m.cfg.Journal.ImportProgress(record, m.print.hash, offset, m.acked.counts(now)); err != nil {
		return fmt.Errorf("record progress: %w", err)
	}
	if m.cfg.OnProgress != nil {
		m.cfg.OnProgress(Progress{Bytes: offset, TotalBytes: m.print.bytes, Report: &m.acked})
	}
	return nil
}
