package jobs

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/archive/archivetest"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// event is an archive row, with what it must add to which series in the words
// of the test: the fold under test is not asked.
type event struct {
	kind, account, at string // at: RFC 3339
	strings           map[schemas.Field]string
	status            int32
	latency           float64 // 0: null
	quantity          string  // "": null
	bytes             int64   // 0: null
	price             int32   // 0: null, as amount and currency
	amount, currency  string
	dimensions, data  string
	reason            string // of a refused record, as records
	records           int64
	taken             bool // a row of sign -1

	family *schemas.Family // nil: adds to none
	dims   []string
	adds   schemas.Measures
	live   *schemas.Family // of a declared meter of its latency that is folded live
}

func (e *event) sign() int64 {
	if e.taken {
		return -1
	}
	return 1
}

func dec(text string) schemas.Decimal {
	d, err := schemas.ParseDecimal([]byte(text))
	if err != nil {
		panic(err)
	}
	return d
}

func micros(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

// rig is an installation: a store and an archive.
type rig struct {
	t       testing.TB
	path    string
	store   *store.Store
	bucket  *archive.Faulty
	archive *archive.Archive

	metering store.Metering // of the checkpoints
	closedAt string         // of the checkpoints; "": 2026-01-02, 22:00
	logClock string         // that checkpoints move to; "": 2026-03-01
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, path: storetest.URL(t), bucket: archivetest.Bucket(t)}
	r.archive = archive.New(r.bucket)
	st, err := store.Open(t.Context(), r.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.store = st
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// sql changes the store behind its back.
func (r *rig) sql(query string, args ...any) {
	r.t.Helper()
	if storetest.Exec(r.t, r.path, query, args...) == 0 {
		r.t.Fatalf("%s: no row", query)
	}
}

// write makes a checkpoint of accepted events, refused records and duplicates,
// in this order of offsets, and publishes its files.
func (r *rig) write(tp schemas.Partition, events, refused []event, duplicates int64) []archive.FileInfo {
	r.t.Helper()
	files := r.stage(tp, events, refused, duplicates)
	for _, f := range files {
		if err := r.archive.Publish(r.t.Context(), f); err != nil {
			r.t.Fatal(err)
		}
	}
	return files
}

func (r *rig) stage(tp schemas.Partition, events, refused []event, duplicates int64) []archive.FileInfo {
	r.t.Helper()
	from, err := r.store.TakeOver(r.t.Context(), tp, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	n := int64(len(events)) + duplicates
	c := &store.Checkpoint{From: from, To: from, Metering: r.metering, ClosedAt: time.UnixMicro(micros(cmp.Or(r.closedAt, "2026-01-02T22:00:00Z"))).UTC(),
		Ledger: store.Ledger{First: from.Next, Counted: int64(len(events)), Duplicate: duplicates}}
	files := r.stageRows(tp, tp.Topic, from, from.Next, events)
	offset := from.Next + int64(len(events))
	files = append(files, r.stageRows(tp, schemas.Errors, from, offset, refused)...)
	for i, e := range refused {
		c.Errors = append(c.Errors, store.ErrorRow{ID: fmt.Sprintf("%s-%d-%d", tp.Topic, tp.ID, offset), Time: micros(e.at), Account: e.account,
			Reason: schemas.Reason(e.reason), Message: "bad", Origin: tp, Offset: offset + int64(i), LastOffset: offset + int64(i) + e.records - 1, Records: e.records})
		c.Ledger.Rejected += e.records
		n += e.records
		offset += e.records
	}
	r.addDeltas(c, append(append([]event(nil), events...), refused...))
	addSketches(c, events)
	c.Ledger.Records, c.Ledger.Next = n, from.Next+n
	c.To.Next, c.To.LastOffset, c.To.Clock = from.Next+n, from.Next+n-1, micros(cmp.Or(r.logClock, "2026-03-01T00:00:00Z"))
	for _, f := range files {
		c.Files = append(c.Files, store.ArchiveFile(f))
	}
	results, err := r.store.Checkpoint(r.t.Context(), []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != store.Applied {
		r.t.Fatalf("checkpoint: %+v, %v", results, err)
	}
	return files
}

func (r *rig) addDeltas(c *store.Checkpoint, events []event) {
	series := make(map[schemas.SeriesID]int)
	at := make(map[cell]int)
	for _, e := range events {
		if e.live != nil {
			e.family, e.dims, e.adds.Quantity, e.adds.Bytes = e.live, nil, schemas.Decimal{}, 0
			events = append(events, e)
		}
	}
	for i := range events {
		e := &events[i]
		if e.family == nil {
			continue
		}
		id := schemas.MakeSeriesID(e.family.Name, e.account, e.dims)
		if _, ok := series[id]; !ok {
			series[id] = len(c.Series)
			c.Series = append(c.Series, schemas.Series{ID: id, Account: e.account, Family: e.family.Name, Dims: e.dims})
		}
		key := cell{schemas.HourOf(micros(e.at)), id}
		if _, ok := at[key]; !ok {
			at[key] = len(c.Deltas)
			c.Deltas = append(c.Deltas, store.Delta{Hour: key.hour, Series: series[id]})
		}
		adds := e.adds
		if e.taken {
			adds = schemas.Measures{Count: -adds.Count, Quantity: adds.Quantity.Neg(), ValueCount: -adds.ValueCount,
				ValueSum: adds.ValueSum.Neg(), Bytes: -adds.Bytes, Amount: adds.Amount.Neg()}
			c.Deltas[at[key]].Stale = c.Deltas[at[key]].Stale || adds.ValueCount != 0
		}
		if err := c.Deltas[at[key]].Measures.Add(&adds); err != nil {
			r.t.Fatal(err)
		}
	}
}

// addSketches adds those of latency.
func addSketches(c *store.Checkpoint, events []event) {
	type key struct {
		account string
		hour    schemas.Hour
	}
	packs := map[key]map[schemas.SeriesID][]schemas.SketchCount{}
	for i := range events {
		e := &events[i]
		if e.kind != schemas.TypeRequest || e.latency == 0 {
			continue
		}
		dims := []string{e.strings[schemas.API], e.strings[schemas.Version], e.strings[schemas.Endpoint]}
		id := schemas.MakeSeriesID("latency", e.account, dims)
		c.Series = append(c.Series, schemas.Series{ID: id, Account: e.account, Family: "latency", Dims: dims})
		k := key{e.account, schemas.HourOf(micros(e.at))}
		if packs[k] == nil {
			packs[k] = map[schemas.SeriesID][]schemas.SketchCount{}
		}
		packs[k][id] = append(packs[k][id], schemas.SketchCount{Bucket: schemas.BucketOf(e.latency), Count: e.sign()})
	}
	for k, series := range packs {
		ids := slices.SortedFunc(maps.Keys(series), func(a, b schemas.SeriesID) int { return bytes.Compare(a[:], b[:]) })
		var pack []byte
		for _, id := range ids {
			pack = store.AppendSketch(pack, id, schemas.SketchOf(series[id]))
		}
		c.Sketches = append(c.Sketches, store.SketchPack{Account: k.account, Hour: k.hour, Pack: pack})
	}
}

func (r *rig) stageRows(tp schemas.Partition, dataset schemas.Topic, from store.Position, offset int64, events []event) []archive.FileInfo {
	r.t.Helper()
	rows := rowsOf(tp, dataset, offset, events)
	var files []archive.FileInfo
	for _, day := range archive.ByDay(rows) {
		random := "own"
		if dataset != tp.Topic || len(events) > 0 && events[0].kind == schemas.TypeInternalError {
			random = "refused"
		}
		f, err := r.archive.Stage(r.t.Context(), archive.StageFile{Rows: rows, Day: day, Source: tp, Epoch: from.Epoch, Random: random})
		if err != nil {
			r.t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func rowsOf(tp schemas.Partition, dataset schemas.Topic, offset int64, events []event) *archive.Rows {
	rows := &archive.Rows{Dataset: dataset, Partition: tp.ID, Dict: []string{""}}
	codes := make(map[string]archive.Code)
	code := func(text string) archive.Code {
		if text == "" {
			return 0
		}
		if codes[text] == 0 {
			codes[text] = archive.Code(len(rows.Dict))
			rows.Dict = append(rows.Dict, text)
		}
		return codes[text]
	}
	for i := range events {
		e := &events[i]
		rows.ID.Append(fmt.Appendf(nil, "id-%d", offset))
		rows.Source = append(rows.Source, code("test"))
		rows.Account = append(rows.Account, code(e.account))
		rows.Type = append(rows.Type, code(e.kind))
		rows.Time = append(rows.Time, micros(e.at))
		rows.LogTime = append(rows.LogTime, micros(e.at))
		rows.Sign = append(rows.Sign, 1)
		if e.taken {
			rows.Sign[i] = -1
		}
		rows.Offset = append(rows.Offset, offset)
		for f := range schemas.NumFields {
			if schemas.TopicFields[dataset].Has(f) && f != schemas.Region {
				rows.Strings[f] = append(rows.Strings[f], code(e.strings[f]))
			}
		}
		rows.Status = append(rows.Status, e.status)
		if e.status == 0 {
			rows.Status[i] = archive.NullInt32
		}
		rows.LatencyMS = append(rows.LatencyMS, e.latency)
		if e.latency == 0 {
			rows.LatencyMS[i] = math.NaN()
		}
		rows.Quantity = append(rows.Quantity, archive.NullDecimal)
		if e.quantity != "" {
			rows.Quantity[i] = dec(e.quantity)
		}
		rows.Bytes = append(rows.Bytes, e.bytes)
		if e.bytes == 0 {
			rows.Bytes[i] = archive.NullInt64
		}
		rows.PriceVersion, rows.Amount = append(rows.PriceVersion, archive.NullInt32), append(rows.Amount, archive.NullDecimal)
		if e.price != 0 {
			rows.PriceVersion[i] = e.price
		}
		if e.amount != "" {
			rows.Amount[i] = dec(e.amount)
		}
		rows.Currency = append(rows.Currency, code(e.currency))
		rows.Dimensions = append(rows.Dimensions, code(e.dimensions))
		rows.Data.Append([]byte(e.data))
		rows.Reason = append(rows.Reason, code(e.reason))
		rows.Records = append(rows.Records, max(e.records, 1))
		offset += max(e.records, 1)
	}
	return rows
}

var (
	usage0  = schemas.Partition{Topic: schemas.Usage, ID: 0}
	errors0 = schemas.Partition{Topic: schemas.Errors, ID: 0}
	emails0 = schemas.Partition{Topic: schemas.Emails, ID: 0}
)

// fill writes some of everything over two days.
func (r *rig) fill() {
	r.t.Helper()
	request := func(at, account, endpoint, quantity string, latency float64) event {
		e := event{kind: "api.request", account: account, at: at, status: 200, quantity: quantity, latency: latency, bytes: 10,
			strings:    map[schemas.Field]string{schemas.API: "web", schemas.Endpoint: endpoint, schemas.Method: "GET"},
			dimensions: `{"region":"eu","tier":"x"}`,
			family:     schemas.FamilyRequest, dims: []string{"web", "", endpoint, "GET", "200", "eu"},
			adds: schemas.Measures{Count: 1, Bytes: 10}}
		if quantity != "" {
			e.adds.Quantity = dec(quantity)
		}
		if latency != 0 {
			v := dec(fmt.Sprint(latency))
			e.adds.ValueCount, e.adds.ValueSum, e.adds.ValueMin, e.adds.ValueMax = 1, v, v, v
		}
		return e
	}
	refused := func(at, account, reason string, records int64) event {
		return event{kind: "internal.error", account: account, at: at, reason: reason, records: records,
			family: schemas.FamilyInternalError, dims: []string{reason}, adds: schemas.Measures{Count: records}}
	}
	r.write(usage0, []event{
		request("2026-01-01T23:59:59.999999Z", "acme", "/a", "1", 12.5),
		request("2026-01-01T23:00:00Z", "acme", "/a", "0.000000001", 0.1),
		request("2026-01-02T00:00:00Z", "acme", "/a", "-2.5", 0),
		request("2026-01-02T00:30:00Z", "bolt", "/b", "", 7),
		{kind: "app.event", account: "acme", at: "2026-01-02T01:00:00Z", strings: map[schemas.Field]string{schemas.Session: "s"}},
	}, []event{refused("2026-01-02T01:00:00Z", "_unknown", "invalid_json", 3)}, 2)
	r.write(usage0, []event{request("2026-01-01T23:10:00Z", "acme", "/a", "5", 99.25)}, nil, 0)
	r.write(errors0, []event{{kind: "api.error", account: "acme", at: "2026-01-01T10:00:00Z", status: 500, latency: 3.5,
		strings: map[schemas.Field]string{schemas.API: "web", schemas.Endpoint: "/a", schemas.ErrorCode: "E1"},
		family:  schemas.FamilyError, dims: []string{"web", "", "/a", "500", "E1"},
		adds: schemas.Measures{Count: 1, ValueCount: 1, ValueSum: dec("3.5"), ValueMin: dec("3.5"), ValueMax: dec("3.5")}},
	}, []event{refused("2026-01-01T10:00:00Z", "acme", "wrong_type", 1)}, 0)
	r.write(emails0, []event{
		{kind: "email.delivered", account: "acme", at: "2026-01-01T10:00:00Z", strings: map[schemas.Field]string{schemas.Domain: "d.example"},
			family: schemas.FamilyEmail, dims: []string{"d.example", "delivered", "", "", "", ""}, adds: schemas.Measures{Count: 1}},
		{kind: "email.failed", account: "acme", at: "2026-01-01T10:00:00Z", strings: map[schemas.Field]string{schemas.MailEvent: "failed",
			schemas.Severity: "permanent", schemas.MailReason: "bounce"},
			family: schemas.FamilyEmail, dims: []string{"", "failed", "", "", "permanent", "bounce"}, adds: schemas.Measures{Count: 1}},
	}, nil, 1)
}
