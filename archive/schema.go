package archive

import (
	"fmt"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"tallybook/schemas"
)

// kind is how a column's values are held in Rows and typed in the file.
type kind uint8

const (
	kindCode      kind = iota // []Code; string
	kindText                  // Texts; string
	kindTimestamp             // []int64; timestamp µs UTC
	kindInt64                 // []int64
	kindInt32                 // []int32
	kindInt8                  // []int8; int8
	kindDouble                // []float64
	kindDecimal               // []schemas.Decimal; decimal(38,9)
	kindPartition             // Rows.Partition; int32
)

// column is one archive column: its name, its type, and where Rows holds it.
// at returns a pointer to the field of Rows, of the type that its kind names.
type column struct {
	name     string
	kind     kind
	required bool
	bounds   bool // minimum and maximum per row group
	paged    bool // minimum and maximum per page too: the sort columns
	bloom    bool
	one      bool // a nil column means 1 in every row, not null (or 0 where required)
	at       func(*Rows) any
}

// columnsOf lists the columns of each dataset in file order.
var columnsOf = map[schemas.Topic][]column{
	schemas.Usage:  datasetColumns(schemas.Usage),
	schemas.Errors: datasetColumns(schemas.Errors),
	schemas.Emails: datasetColumns(schemas.Emails),
}

// placesOf are the columns' places in columnsOf, by name.
var placesOf = func() map[schemas.Topic]map[string]int {
	places := map[schemas.Topic]map[string]int{}
	for dataset, columns := range columnsOf {
		places[dataset] = map[string]int{}
		for i := range columns {
			places[dataset][columns[i].name] = i
		}
	}
	return places
}()

var commonColumns = []column{
	{name: "id", kind: kindText, required: true, bounds: true, bloom: true, at: func(r *Rows) any { return &r.ID }},
	{name: "source", kind: kindCode, required: true, at: func(r *Rows) any { return &r.Source }},
	{name: "account", kind: kindCode, required: true, bounds: true, paged: true, at: func(r *Rows) any { return &r.Account }},
	{name: "type", kind: kindCode, required: true, at: func(r *Rows) any { return &r.Type }},
	{name: "time", kind: kindTimestamp, required: true, bounds: true, paged: true, at: func(r *Rows) any { return &r.Time }},
	{name: "topic_partition", kind: kindPartition, required: true, at: func(r *Rows) any { return &r.Partition }},
	{name: "topic_offset", kind: kindInt64, required: true, bounds: true, at: func(r *Rows) any { return &r.Offset }},
	{name: "row", kind: kindInt32, required: true, at: func(r *Rows) any { return &r.Row }},
	{name: "log_time", kind: kindTimestamp, required: true, bounds: true, at: func(r *Rows) any { return &r.LogTime }},
	{name: "sign", kind: kindInt8, required: true, one: true, at: func(r *Rows) any { return &r.Sign }},
	{name: "target_id", kind: kindCode, at: func(r *Rows) any { return &r.TargetID }},
}

var usageColumns = []column{
	{name: "meter_version", kind: kindInt32, at: func(r *Rows) any { return &r.MeterVersion }},
	{name: "price_version", kind: kindInt32, at: func(r *Rows) any { return &r.PriceVersion }},
	{name: "amount", kind: kindDecimal, at: func(r *Rows) any { return &r.Amount }},
	{name: "currency", kind: kindCode, at: func(r *Rows) any { return &r.Currency }},
	{name: "quantity", kind: kindDecimal, at: func(r *Rows) any { return &r.Quantity }},
	{name: "bytes", kind: kindInt64, at: func(r *Rows) any { return &r.Bytes }},
	{name: "dimensions", kind: kindCode, at: func(r *Rows) any { return &r.Dimensions }},
}

var requestColumns = []column{
	{name: "status", kind: kindInt32, at: func(r *Rows) any { return &r.Status }},
	{name: "latency_ms", kind: kindDouble, at: func(r *Rows) any { return &r.LatencyMS }},
}

var errorColumns = []column{
	{name: "reason", kind: kindCode, at: func(r *Rows) any { return &r.Reason }},
	{name: "message", kind: kindCode, at: func(r *Rows) any { return &r.Message }},
	{name: "input", kind: kindText, at: func(r *Rows) any { return &r.Input }},
	{name: "origin_topic", kind: kindCode, at: func(r *Rows) any { return &r.OriginTopic }},
	{name: "origin_partition", kind: kindInt32, at: func(r *Rows) any { return &r.OriginPart }},
	{name: "origin_offset", kind: kindInt64, at: func(r *Rows) any { return &r.OriginOffset }},
	{name: "records", kind: kindInt64, one: true, at: func(r *Rows) any { return &r.Records }},
}

func datasetColumns(dataset schemas.Topic) []column {
	all := append([]column(nil), commonColumns...)
	for f := schemas.Field(0); f < schemas.NumFields; f++ {
		if schemas.TopicFields[dataset].Has(f) && f != schemas.Region {
			all = append(all, column{name: schemas.FieldNames[f], kind: kindCode,
				at: func(r *Rows) any { return &r.Strings[f] }})
		}
	}
	switch dataset {
	case schemas.Usage:
		all = append(append(all, requestColumns...), usageColumns...)
	case schemas.Errors:
		all = append(append(all, requestColumns...), errorColumns...)
	}
	return append(all, column{name: "data", kind: kindText, at: func(r *Rows) any { return &r.Data }})
}

// Columns names the columns of a dataset, in file order.
func Columns(dataset schemas.Topic) []string {
	var names []string
	for _, c := range columnsOf[dataset] {
		names = append(names, c.name)
	}
	return names
}

// findColumn is the column's place among those of the dataset.
func findColumn(dataset schemas.Topic, name string) (index int, err error) {
	if index, ok := placesOf[dataset][name]; ok {
		return index, nil
	}
	return 0, fmt.Errorf("dataset %s has no column %q", dataset, name)
}

// physical is the type in which the file stores the column.
func (c *column) physical() format.Type {
	switch c.kind {
	case kindCode, kindText:
		return format.ByteArray
	case kindTimestamp, kindInt64:
		return format.Int64
	case kindDouble:
		return format.Double
	case kindDecimal:
		return format.FixedLenByteArray
	}
	return format.Int32
}

// element is the column's line in the file's schema. Both the new logical and
// the older converted type are given, for readers that know one of them.
func (c *column) element() format.SchemaElement {
	e := format.SchemaElement{Name: c.name, Type: thrift.New(c.physical()),
		RepetitionType: thrift.New(format.Optional)}
	if c.required {
		e.RepetitionType = thrift.New(format.Required)
	}
	switch c.kind {
	case kindCode, kindText:
		e.LogicalType.Value = &format.StringType{}
		e.ConvertedType = thrift.New(deprecated.UTF8)
	case kindTimestamp:
		e.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: true,
			Unit: format.TimeUnit{Value: &format.MicroSeconds{}}}
		e.ConvertedType = thrift.New(deprecated.TimestampMicros)
	case kindInt8:
		e.LogicalType.Value = &format.IntType{BitWidth: 8, IsSigned: true}
		e.ConvertedType = thrift.New(deprecated.Int8)
	case kindDecimal:
		e.TypeLength = thrift.New(int32(16))
		e.LogicalType.Value = &format.DecimalType{Scale: 9, Precision: 38}
		e.ConvertedType = thrift.New(deprecated.Decimal)
		e.Scale, e.Precision = thrift.New(int32(9)), thrift.New(int32(38))
	}
	return e
}

// width is the size of a value in PLAIN encoding, where that is fixed.
func (c *column) width() int {
	switch c.physical() {
	case format.Int32:
		return 4
	case format.FixedLenByteArray:
		return 16
	}
	return 8
}

func schemaElements(columns []column) []format.SchemaElement {
	elements := []format.SchemaElement{{Name: "event", NumChildren: thrift.New(int32(len(columns)))}}
	for i := range columns {
		elements = append(elements, columns[i].element())
	}
	return elements
}
