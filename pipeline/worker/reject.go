package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	maxErrorInput  = 64 << 10 // of a refused record, kept in its error row
	unknownAccount = "_unknown"
	errorSource    = "tallybook" // source of internal.error rows
)

// errorLog collects a batch's refused records. The first perMinute of a minute
// of processing get a row each; the others of the same account and reason
// share one, so that a flood of bad records cannot flood the store. Counts
// stay exact either way.
type errorLog struct {
	tp        schemas.Partition
	perMinute int
	minute    int64
	inMinute  int

	rows   []store.ErrorRow
	shared map[sharedError]int // index of the row that stands for more
	apps   map[int]string      // by index: rows of application events, and the ids of these
}

// refusedRecord is a record that becomes an error row, or part of one.
type refusedRecord struct {
	*record
	account []byte
	why     *schemas.Rejection
	app     bool   // it would have been an application event
	event   string // of this id; "" where it has none
}

type sharedError struct {
	account string
	reason  schemas.Reason
	app     bool
}

func newErrorLog(tp schemas.Partition, perMinute int) *errorLog {
	return &errorLog{tp: tp, perMinute: perMinute, shared: map[sharedError]int{}, apps: map[int]string{}}
}

func (l *errorLog) reset() {
	l.rows = nil // the checkpoint that is being written still has them
	clear(l.shared)
	clear(l.apps)
}

// add notes a refused record; now is the worker's wall clock, which only
// spaces the detailed rows, clock the log clock that the row is dated with.
func (l *errorLog) add(r refusedRecord, now, clock int64) {
	name := unknownAccount
	if len(r.account) > 0 && len(r.account) <= 255 && storable(string(r.account)) {
		name = string(r.account)
	}
	if m := now / 60_000_000; m != l.minute {
		l.minute, l.inMinute = m, 0
	}
	if l.inMinute >= l.perMinute {
		k := sharedError{name, r.why.Reason, r.app}
		if i, ok := l.shared[k]; ok {
			l.rows[i].Records++
			l.rows[i].LastOffset = max(l.rows[i].LastOffset, r.offset) // corrections are judged when the batch closes
			l.rows[i].Time = max(l.rows[i].Time, clock)
			l.rows[i].Whole = false
			return
		}
		l.shared[k] = len(l.rows)
	}
	l.inMinute++
	if r.app {
		l.apps[len(l.rows)] = r.event
	}
	l.rows = append(l.rows, l.row(r.record, name, r.why, clock))
}

func (l *errorLog) row(rec *record, account string, why *schemas.Rejection, clock int64) store.ErrorRow {
	address := fmt.Sprintf("%s/%d/%d/%s", l.tp.Topic, l.tp.ID, rec.offset, why.Reason)
	id := xxh3.HashString128(address).Bytes()
	input := rec.value
	if len(input) > maxErrorInput {
		input = input[:maxErrorInput]
	}
	row := store.ErrorRow{
		ID: hex.EncodeToString(id[:]), Time: clock, Account: account,
		Reason: why.Reason, Field: why.Field, Message: strings.ReplaceAll(strings.ToValidUTF8(why.Message, "�"), "\x00", ""),
		Input: append([]byte(nil), input...), InputBytes: int64(len(rec.value)), InputSHA256: sha256.Sum256(rec.value),
		Origin: l.tp, Offset: rec.offset, LastOffset: rec.offset, Records: 1,
	}
	keepRecord(&row, rec)
	return row
}

// maxErrorHeaders bounds what is kept of a refused record's key and headers.
const maxErrorHeaders = 16 << 10

// keepRecord keeps what sending the record again needs, or that it cannot be.
func keepRecord(row *store.ErrorRow, rec *record) {
	row.RecordTime = rec.time
	if refusal, ok := schemas.ParseRefusal(header(rec, schemas.RefusalHeader)); ok {
		row.Endpoint = refusal.Endpoint
		return
	}
	size := len(rec.key)
	for _, h := range rec.headers {
		size += len(h.Key) + len(h.Value)
	}
	if size > maxErrorHeaders || len(row.Input) < len(rec.value) {
		return
	}
	row.Whole = true
	row.Key = bytes.Clone(rec.key)
	for _, h := range rec.headers {
		row.Headers = append(row.Headers, store.Header{Name: strings.ToValidUTF8(h.Key, "�"), Value: bytes.Clone(h.Value)})
	}
}

// storable: PostgreSQL's text holds no NUL, and nothing holds broken UTF-8.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// errorDetail is what an internal.error row keeps in its data column.
type errorDetail struct {
	Field       string `json:"field,omitempty"`
	InputBytes  int64  `json:"input_bytes"`
	InputSHA256 string `json:"input_sha256"`
	InputBase64 []byte `json:"input_base64,omitempty"` // input that is no UTF-8 text
	Endpoint    string `json:"endpoint,omitempty"`     // where a refused request came in
	LastOffset  int64  `json:"last_offset,omitempty"`  // where the row stands for several records
}

// archiveRows are the error rows as rows of the archive of errors.
func (l *errorLog) archiveRows() *archive.Rows {
	in := newInterner()
	text := func(s string) archive.Code {
		if s == "" {
			return 0
		}
		return in.code([]byte(s))
	}
	r := &archive.Rows{Dataset: schemas.Errors, Partition: l.tp.ID}
	for i := range l.rows {
		e := &l.rows[i]
		r.ID.Append([]byte(e.ID))
		r.Source = append(r.Source, text(errorSource))
		r.Account = append(r.Account, text(e.Account))
		r.Type = append(r.Type, text(schemas.TypeInternalError))
		r.Time = append(r.Time, e.Time)
		r.LogTime = append(r.LogTime, e.Time)
		r.Offset = append(r.Offset, e.Offset)
		r.Status = append(r.Status, archive.NullInt32)
		r.LatencyMS = append(r.LatencyMS, latencyValue(&schemas.Event{}))
		r.Reason = append(r.Reason, text(string(e.Reason)))
		r.Message = append(r.Message, text(e.Message))
		detail := errorDetail{Field: e.Field, InputBytes: e.InputBytes, InputSHA256: hex.EncodeToString(e.InputSHA256[:]), Endpoint: e.Endpoint}
		if storable(string(e.Input)) {
			r.Input.Append(e.Input)
		} else {
			r.Input.Append(nil)
			detail.InputBase64 = e.Input
		}
		if e.Records > 1 {
			detail.LastOffset = e.LastOffset
		}
		data, err := json.Marshal(detail)
		if err != nil {
			panic(err) // strings and numbers always marshal
		}
		r.Data.Append(data)
		r.OriginTopic = append(r.OriginTopic, text(string(e.Origin.Topic)))
		r.OriginPart = append(r.OriginPart, e.Origin.ID)
		r.OriginOffset = append(r.OriginOffset, e.Offset)
		r.Records = append(r.Records, e.Records)
	}
	r.Dict = in.strings
	return r
}

// fold adds the error rows to the rollup internal_errors.
func (l *errorLog) fold(cp *store.Checkpoint) {
	in := newInterner()
	c := newCells(schemas.FamilyInternalError)
	for i := range l.rows {
		e := &l.rows[i]
		key := cellKey{account: in.code([]byte(e.Account)), hour: schemas.HourOf(e.Time)}
		key.dims[0] = in.code([]byte(e.Reason))
		c.at(&key).Count += e.Records
	}
	c.appendTo(cp, in.strings)
}
