package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// event is what a test writes, in its own words: neither the engine nor the
// workers are asked what it adds to.
type event struct {
	kind, account string
	time          int64
	fields        map[string]string // columns by name; "dimensions.X"
	status        int32
	latency       float64 // 0: none
	quantity      string  // "": none
	amount        string
	bytes         int64
	data          string
	sign          int8 // 0: 1
	taken         bool // a correction took it away
}

func (e *event) signed() int64 {
	if e.sign < 0 {
		return -1
	}
	return 1
}

func dec(text string) schemas.Decimal {
	if text == "" {
		return schemas.Decimal{}
	}
	d, err := schemas.ParseDecimal([]byte(text))
	if err != nil {
		panic(err)
	}
	return d
}

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

// family is the family that the event adds to, and its dimensions.
func (e *event) family() (*schemas.Family, []string) {
	field := func(names ...string) (all []string) {
		for _, n := range names {
			all = append(all, e.name(n))
		}
		return all
	}
	switch e.kind {
	case "api.request":
		return schemas.FamilyRequest, field("api", "version", "endpoint", "method", "status", "dimensions.region")
	case "api.error":
		return schemas.FamilyError, field("api", "version", "endpoint", "status", "error_code")
	case "rated.usage":
		var p struct {
			Metric, Unit      string
			Groupby, Metadata map[string]string
		}
		if err := json.Unmarshal([]byte(e.data), &p); err != nil {
			panic(err)
		}
		groupby, err := json.Marshal(p.Groupby)
		if err != nil {
			panic(err)
		}
		names, err := json.Marshal(append([]string{}, slices.Sorted(maps.Keys(p.Metadata))...))
		if err != nil {
			panic(err)
		}
		return schemas.FamilyRated, []string{p.Metric, p.Unit, string(groupby), string(names)}
	}
	return nil, nil
}

// name is what a question's name means of the event.
func (e *event) name(name string) string {
	switch name {
	case Account:
		return e.account
	case "status":
		if e.status == 0 {
			return ""
		}
		return strconv.Itoa(int(e.status))
	case "region":
		return e.fields["dimensions.region"]
	case "type":
		return e.kind
	case "source":
		return "test"
	}
	return e.fields[name]
}

func (e *event) measures() schemas.Measures {
	m := schemas.Measures{Count: 1, Quantity: dec(e.quantity), Bytes: e.bytes, Amount: dec(e.amount)}
	if e.latency != 0 {
		d := dec(strconv.FormatFloat(e.latency, 'f', -1, 64))
		m.ValueCount, m.ValueSum, m.ValueMin, m.ValueMax = 1, d, d, d
	}
	if e.sign < 0 {
		m = schemas.Measures{Count: -1, Quantity: m.Quantity.Neg(), ValueCount: -m.ValueCount, ValueSum: m.ValueSum.Neg(),
			Bytes: -m.Bytes, Amount: m.Amount.Neg()}
	}
	return m
}

type rig struct {
	t       testing.TB
	store   *store.Store
	archive *archive.Archive
	bucket  *archive.Mem
	engine  *Engine
	events  []event
}

func newRig(t testing.TB) *rig { return newRigOf(t, store.Options{}) }

// write makes a checkpoint of events of one topic, and publishes its files.
func (r *rig) write(tp schemas.Partition, events ...event) {
	r.t.Helper()
	for _, f := range r.commit(tp, events...) {
		if err := r.archive.Publish(r.t.Context(), f); err != nil {
			r.t.Fatal(err)
		}
	}
}

// commit is write without publishing.
func (r *rig) commit(tp schemas.Partition, events ...event) (files []archive.FileInfo) {
	r.t.Helper()
	if len(events) == 0 {
		return nil
	}
	from, err := r.store.TakeOver(r.t.Context(), tp, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	n := int64(len(events))
	c := &store.Checkpoint{From: from, To: from, ClosedAt: time.UnixMicro(at("2026-03-01T00:00:00Z")),
		Ledger: store.Ledger{First: from.Next, Next: from.Next + n, Records: n, Counted: n}}
	c.To.Next, c.To.LastOffset, c.To.Clock = from.Next+n, from.Next+n-1, at("2026-03-01T00:00:00Z")
	rows := rowsOf(tp, from.Next, events)
	for _, day := range archive.ByDay(rows) {
		f, err := r.archive.Stage(r.t.Context(), archive.StageFile{Rows: rows, Day: day, Source: tp, Epoch: from.Epoch, Random: "r"})
		if err != nil {
			r.t.Fatal(err)
		}
		files = append(files, f)
		c.Files = append(c.Files, store.ArchiveFile(f))
	}
	addDeltas(c, events)
	results, err := r.store.Checkpoint(r.t.Context(), []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != store.Applied {
		r.t.Fatalf("checkpoint: %+v, %v", results, err)
	}
	r.events = append(r.events, events...)
	return files
}

func addDeltas(c *store.Checkpoint, events []event) {
	series, deltas := map[schemas.SeriesID]int{}, map[string]int{}
	for i := range events {
		e := &events[i]
		family, dims := e.family()
		if family == nil {
			continue
		}
		id := schemas.MakeSeriesID(family.Name, e.account, dims)
		if _, ok := series[id]; !ok {
			series[id] = len(c.Series)
			c.Series = append(c.Series, schemas.Series{ID: id, Account: e.account, Family: family.Name, Dims: dims})
		}
		h := schemas.HourOf(e.time)
		key := fmt.Sprint(h, series[id])
		if _, ok := deltas[key]; !ok {
			deltas[key] = len(c.Deltas)
			c.Deltas = append(c.Deltas, store.Delta{Hour: h, Series: series[id]})
		}
		m := e.measures()
		d := &c.Deltas[deltas[key]]
		if err := d.Measures.Add(&m); err != nil {
			panic(err)
		}
		d.Stale = d.Stale || e.sign < 0 && e.latency != 0
	}
	addSketches(c, events)
}

// addSketches counts latencies by api, version and endpoint.
func addSketches(c *store.Checkpoint, events []event) {
	type place struct {
		account string
		hour    schemas.Hour
	}
	counts, series := map[place]map[schemas.SeriesID][]schemas.SketchCount{}, map[schemas.SeriesID]bool{}
	for i := range events {
		e := &events[i]
		if e.kind != "api.request" || e.latency == 0 {
			continue
		}
		dims := []string{e.name("api"), e.name("version"), e.name("endpoint")}
		id := schemas.MakeSeriesID("latency", e.account, dims)
		if !series[id] {
			series[id] = true
			c.Series = append(c.Series, schemas.Series{ID: id, Account: e.account, Family: "latency", Dims: dims})
		}
		at := place{e.account, schemas.HourOf(e.time)}
		if counts[at] == nil {
			counts[at] = map[schemas.SeriesID][]schemas.SketchCount{}
		}
		counts[at][id] = append(counts[at][id], schemas.SketchCount{Bucket: schemas.BucketOf(e.latency), Count: e.signed()})
	}
	for at, all := range counts {
		ids := slices.SortedFunc(maps.Keys(all), func(a, b schemas.SeriesID) int { return bytes.Compare(a[:], b[:]) })
		var pack []byte
		for _, id := range ids {
			pack = store.AppendSketch(pack, id, schemas.SketchOf(all[id]))
		}
		c.Sketches = append(c.Sketches, store.SketchPack{Account: at.account, Hour: at.hour, Pack: pack})
	}
}

func rowsOf(tp schemas.Partition, offset int64, events []event) *archive.Rows {
	rows := &archive.Rows{Dataset: tp.Topic, Partition: tp.ID, Dict: []string{""}}
	codes := map[string]archive.Code{"": 0}
	code := func(text string) archive.Code {
		if _, ok := codes[text]; !ok {
			codes[text] = archive.Code(len(rows.Dict))
			rows.Dict = append(rows.Dict, text)
		}
		return codes[text]
	}
	for i := range events {
		e := &events[i]
		rows.ID.Append(fmt.Appendf(nil, "id-%d", offset+int64(i)))
		rows.Source, rows.Account, rows.Type = append(rows.Source, code("test")), append(rows.Account, code(e.account)), append(rows.Type, code(e.kind))
		rows.Time, rows.LogTime, rows.Offset = append(rows.Time, e.time), append(rows.LogTime, e.time), append(rows.Offset, offset+int64(i))
		rows.Sign = append(rows.Sign, int8(e.signed()))
		for f := range schemas.NumFields {
			if schemas.TopicFields[tp.Topic].Has(f) && f != schemas.Region {
				rows.Strings[f] = append(rows.Strings[f], code(e.fields[schemas.FieldNames[f]]))
			}
		}
		status, latency, quantity, amount, bytes := int32(archive.NullInt32), math.NaN(), archive.NullDecimal, archive.NullDecimal, int64(archive.NullInt64)
		if e.status != 0 {
			status = e.status
		}
		if e.latency != 0 {
			latency = e.latency
		}
		if e.quantity != "" {
			quantity = dec(e.quantity)
		}
		if e.amount != "" {
			amount = dec(e.amount)
		}
		if e.bytes != 0 {
			bytes = e.bytes
		}
		rows.Status, rows.LatencyMS = append(rows.Status, status), append(rows.LatencyMS, latency)
		rows.Quantity, rows.Amount, rows.Bytes = append(rows.Quantity, quantity), append(rows.Amount, amount), append(rows.Bytes, bytes)
		rows.Dimensions = append(rows.Dimensions, code(e.dimensions()))
		rows.Data.Append([]byte(e.data))
	}
	return rows
}

func (e *event) dimensions() string {
	all := map[string]string{}
	for name, value := range e.fields {
		if dim, ok := strings.CutPrefix(name, "dimensions."); ok && value != "" {
			all[dim] = value
		}
	}
	if len(all) == 0 {
		return ""
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(b)
}

var usage0 = schemas.Partition{Topic: schemas.Usage, ID: 0}

func (r *rig) ask(q *Question) []*Group {
	r.t.Helper()
	a, err := r.engine.Ask(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Groups[0]
}
