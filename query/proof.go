package query

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) proofEndpoints() []api.Endpoint {
	const one = "/v1/invoices/{id}"
	return []api.Endpoint{
		{Method: "GET", Path: one + "/files", Access: api.Admin, Form: api.PlainForm, Handle: q.invoiceFiles},
		{Method: "POST", Path: one + "/prove", Access: api.Admin, Form: api.PlainForm, Timeout: proveTime, Handle: q.proveInvoice},
	}
}

// invoiceFile is an archive file as the API shows it. Names and numbers say
// something of all accounts, so that they are for administrators.
type invoiceFile struct {
	Name      string        `json:"name"`
	Topic     schemas.Topic `json:"topic"`
	Partition int32         `json:"partition"`
	First     int64         `json:"firstOffset"`
	Last      int64         `json:"lastOffset"`
	Rows      int64         `json:"rows"`
	Bytes     int64         `json:"bytes"`
	SHA256    string        `json:"sha256"`
	From      time.Time     `json:"from"` // of the events in it
	To        time.Time     `json:"to"`
}

// invoiceFiles lists the files that may have rows of a document, or of one of its
// lines.
func (q *Server) invoiceFiles(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, get, err := paging(r, "line")
	if err != nil {
		return err
	}
	i, err := q.invoiceOf(r)
	if err != nil {
		return err
	}
	periods := i.Periods
	if text := get("line"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > len(i.Lines) {
			return api.Invalid("line", "line must be a number from 1 to %d, the document's lines", len(i.Lines))
		}
		periods = []schemas.InvoicePeriod{linePeriod(&i.Invoice, n-1)}
	}
	var files []store.ArchiveFile
	err = q.cfg.Store.View(r.Context(), func(v *store.View) error {
		files, err = v.InvoiceFiles(i.Cut, periods)
		return err
	})
	if err != nil {
		return err
	}
	from, found := slices.BinarySearchFunc(files, cursor, func(f store.ArchiveFile, name string) int { return strings.Compare(f.Name, name) })
	if found {
		from++
	}
	writePage(w, "files", limit, files[from:], func(f *store.ArchiveFile) string { return f.Name }, invoiceFileOf)
	return nil
}

// linePeriod is the part of a period that a line's price held.
func linePeriod(i *schemas.Invoice, line int) schemas.InvoicePeriod {
	l := &i.Lines[line]
	p := i.Periods[l.Period]
	if !l.IsMinimum() {
		p.Start, p.End = l.Price.Start, l.Price.End
	}
	return p
}

func invoiceFileOf(f *store.ArchiveFile) invoiceFile {
	return invoiceFile{Name: f.Name, Topic: f.Partition.Topic, Partition: f.Partition.ID, First: f.First, Last: f.Last, Rows: f.Rows, Bytes: f.Bytes,
		SHA256: hex.EncodeToString(f.SHA256[:]), From: time.UnixMicro(f.MinTime).UTC(), To: time.UnixMicro(f.MaxTime).UTC()}
}

// proveTime is what proving over HTTP may take; 'tallybook prove' has no limit.
const proveTime = 10 * time.Minute

// proofLine is a line of the answer: what is right, and at last the outcome.
type proofLine struct {
	Line       string `json:"line,omitempty"`
	Proven     *bool  `json:"proven,omitempty"`
	Difference string `json:"difference,omitempty"` // where it is not
	Error      string `json:"error,omitempty"`      // the proof could not be done
}

// proveInvoice sends what it finds while it finds it. It ends when the caller
// leaves; one at a time, since it reads every file of a month.
func (q *Server) proveInvoice(w http.ResponseWriter, r *http.Request) error {
	i, err := q.invoiceOf(r)
	if err != nil {
		return err
	}
	if q.cfg.Prove == nil {
		return api.Unavailable(0, "this process does not prove invoices; 'tallybook prove' does")
	}
	if !q.proves.TryLock() {
		return api.Conflict("", "another invoice is being proven; try again when that is done")
	}
	defer q.proves.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	say := func(l proofLine) {
		// A caller that left ends the proof by its context.
		_ = out.Encode(l)
		_ = flush.Flush()
	}
	finding, err := q.cfg.Prove(r.Context(), &i, func(line string) { say(proofLine{Line: line}) })
	if err != nil {
		q.cfg.Log.Error("prove", "invoice", i.ID, "err", err)
		say(proofLine{Error: "the proof could not be done: " + err.Error()})
		return nil
	}
	proven := finding == ""
	say(proofLine{Proven: &proven, Difference: finding})
	return nil
}
