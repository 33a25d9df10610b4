package archive

import (
	"math"

	"tallybook/schemas"
)

// Code names a string of Rows.Dict. Code 0 is null, in every dictionary.
type Code uint32

// Null values of the columns that have no Code.
const (
	NullInt32 = math.MinInt32
	NullInt64 = math.MinInt64
)

// NullDecimal stands for null in a decimal column.
var NullDecimal = schemas.Decimal{Units: math.MinInt64}

// Texts is a column of long strings that are rarely alike: row i is
// Data[Ends[i-1]:Ends[i]]. An empty text is null.
type Texts struct {
	Data []byte
	Ends []uint32
}

// Append adds one text; nil is null.
func (t *Texts) Append(text []byte) {
	t.Data = append(t.Data, text...)
	t.Ends = append(t.Ends, uint32(len(t.Data)))
}

// At is text i, as a view.
func (t *Texts) At(i int) []byte {
	var start uint32
	if i > 0 {
		start = t.Ends[i-1]
	}
	return t.Data[start:t.Ends[i]]
}

// Rows are archive rows of one dataset, column by column, in the order of the
// log. The worker fills them, the writer sorts and encodes them, and the reader
// gives them back with the columns that were asked for. The columns and their
// meaning are archive.md's; a column that the dataset lacks stays empty, and a
// nil column of one that it has, or an empty one, means the default given here for
// every row.
type Rows struct {
	Dataset   schemas.Topic
	Partition int32    // topic_partition of every row
	Dict      []string // Dict[code]; Dict[0] is never read

	ID           Texts
	Source       []Code
	Account      []Code
	Type         []Code
	Time         []int64 // µs
	Offset       []int64 // topic_offset
	Row          []int32 // nil: 0
	LogTime      []int64 // µs
	Sign         []int8  // nil: 1
	TargetID     []Code  // nil: null
	MeterVersion []int32 // usage; nil: null, as the next three
	PriceVersion []int32
	Amount       []schemas.Decimal
	Currency     []Code
	Strings      [schemas.NumFields][]Code // those of schemas.TopicFields[Dataset] but Region
	Status       []int32                   // usage, errors; NullInt32
	LatencyMS    []float64                 // usage, errors; NaN is null
	Quantity     []schemas.Decimal         // usage; NullDecimal
	Bytes        []int64                   // usage; NullInt64
	Dimensions   []Code                    // usage, a JSON object
	Data         Texts                     // JSON; nil Ends: null
	Reason       []Code                    // errors, as the next five; nil: null
	Message      []Code
	Input        Texts
	OriginTopic  []Code
	OriginPart   []int32 // NullInt32
	OriginOffset []int64 // NullInt64
	Records      []int64 // errors: records that the row stands for; nil: 1

	read int // rows that were read, also where the time was not asked for
}

// Len is the number of rows.
func (r *Rows) Len() int { return max(len(r.Time), r.read) }

// String is the text of a code, "" for null.
func (r *Rows) String(c Code) string {
	if c == 0 {
		return ""
	}
	return r.Dict[c]
}
