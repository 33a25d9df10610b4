package archive

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"tallybook/schemas"
)

// sampleDay is the date of most sample rows.
const sampleDay = schemas.Day(20454) // 2026-01-01

// dictionary interns texts as a worker does.
type dictionary struct {
	rows  *Rows
	codes map[string]Code
}

func (d *dictionary) code(s string) Code {
	if c, ok := d.codes[s]; ok {
		return c
	}
	c := Code(len(d.rows.Dict))
	d.codes[s] = c
	d.rows.Dict = append(d.rows.Dict, s)
	return c
}

func newRows(dataset schemas.Topic) (*Rows, *dictionary) {
	rows := &Rows{Dataset: dataset, Partition: 3, Dict: []string{"never read"}}
	return rows, &dictionary{rows, map[string]Code{}}
}

// uuid is a random version 4 UUID.
func uuid(rnd *rand.Rand) string {
	a, b := rnd.Uint64(), rnd.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&(1<<48-1))
}

// denseRows are n live usage events: an hour, few accounts and endpoints.
func denseRows(n int) *Rows {
	rnd := rand.New(rand.NewPCG(1, 2))
	rows, dict := newRows(schemas.Usage)
	pick := func(format string, n int) Code {
		return dict.code(fmt.Sprintf(format, int(float64(n)*math.Pow(rnd.Float64(), 3))))
	}
	start := int64(sampleDay)*microsPerDay + 10*3_600_000_000
	for f := range rows.Strings {
		if schemas.TopicFields[schemas.Usage].Has(schemas.Field(f)) {
			rows.Strings[f] = make([]Code, n)
		}
	}
	statuses := []int32{200, 200, 200, 200, 200, 200, 201, 204, 304, 400, 404, 500}
	for i := range n {
		logTime := start + int64(i)*3_600_000_000/int64(n)
		rows.ID.Append([]byte(uuid(rnd)))
		rows.Source = append(rows.Source, pick("gateway-%d", 3))
		rows.Account = append(rows.Account, pick("account-%04d", 1000))
		rows.Type = append(rows.Type, dict.code("api.request"))
		rows.Time = append(rows.Time, logTime-rnd.Int64N(2_000_000))
		rows.Offset = append(rows.Offset, 1_000_000+int64(i))
		rows.LogTime = append(rows.LogTime, logTime/1000*1000)
		rows.Strings[schemas.API][i] = pick("api-%d", 4)
		rows.Strings[schemas.Version][i] = pick("v%d", 3)
		rows.Strings[schemas.Endpoint][i] = pick("/v1/things/%d/{id}", 60)
		rows.Strings[schemas.Method][i] = dict.code([]string{"GET", "GET", "GET", "POST", "DELETE"}[rnd.IntN(5)])
		rows.Strings[schemas.KeyID][i] = pick("key-%d", 2000)
		rows.Status = append(rows.Status, statuses[rnd.IntN(len(statuses))])
		rows.LatencyMS = append(rows.LatencyMS, math.Round(1000*math.Exp(3+rnd.NormFloat64()))/1000)
		rows.Quantity = append(rows.Quantity, schemas.Decimal{Units: 1})
		rows.Bytes = append(rows.Bytes, int64(math.Exp(8+1.5*rnd.NormFloat64())))
		rows.Dimensions = append(rows.Dimensions, dict.code([]string{`{"region":"eu"}`, `{"region":"us"}`}[rnd.IntN(2)]))
	}
	return rows
}

// mixedRows are n rows in which every column of the dataset has its corner
// cases: nulls, empty strings, negative decimals, Unicode, few and many values.
// With sparse, optional columns are nil, but for every third.
func mixedRows(dataset schemas.Topic, n int, sparse bool) *Rows {
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	rows, dict := newRows(dataset)
	texts := []string{"", "a", "é", "漢字", "🙂\x00", strings.Repeat("long ", 100), `{"k":"v"}`}
	start := int64(sampleDay) * microsPerDay
	for k := range columnsOf[dataset] {
		c := &columnsOf[dataset][k]
		if sparse && k%3 != 0 && (!c.required || c.name == "row" || c.name == "sign") {
			continue
		}
		null := func() bool { return !c.required && (k%5 == 4 || rnd.IntN(4) == 0) }
		for i := range n {
			switch col := c.at(rows).(type) {
			case *[]Code:
				code := Code(0)
				switch {
				case null():
				case k%4 == 0: // more than a dictionary is good for
					code = dict.code(fmt.Sprintf("%s %d", c.name, rnd.IntN(4*n)))
				default:
					code = dict.code(texts[rnd.IntN(len(texts))])
				}
				if c.required && code == 0 {
					code = dict.code("")
				}
				*col = append(*col, code)
			case *Texts:
				if c.name == "id" {
					col.Append([]byte(uuid(rnd)[:rnd.IntN(37)]))
				} else if null() {
					col.Append(nil)
				} else {
					col.Append([]byte(texts[rnd.IntN(len(texts))]))
				}
			case *[]int64:
				v := rnd.Int64() - rnd.Int64()
				switch {
				case c.name == "time":
					v = start + rnd.Int64N(microsPerDay)
				case c.name == "topic_offset":
					v = int64(10 + i)
				case k%2 == 0:
					v %= 7
				case null():
					v = NullInt64
				}
				*col = append(*col, v)
			case *[]int32:
				v := rnd.Int32() - rnd.Int32()
				if k%2 == 0 {
					v %= 5
				} else if null() {
					v = NullInt32
				}
				*col = append(*col, v)
			case *[]int8:
				*col = append(*col, int8(1-2*rnd.IntN(2)))
			case *[]float64:
				v := rnd.NormFloat64()
				if null() {
					v = math.NaN()
				} else if rnd.IntN(2) == 0 {
					v = math.Round(v)
				}
				*col = append(*col, v)
			case *[]schemas.Decimal:
				v := schemas.Decimal{Units: rnd.Int64N(1e12) - 5e11, Nanos: rnd.Int32N(1e9)}
				if null() {
					v = NullDecimal
				} else if k%2 == 0 {
					v = schemas.Decimal{Units: rnd.Int64N(3) - 1, Nanos: 500_000_000}
				}
				*col = append(*col, v)
			}
		}
	}
	return rows
}

// cell is what the archive holds for a row and column, as a plain value; nil
// is null.
func cell(c *column, rows *Rows, r int) any {
	var v any
	switch col := c.at(rows).(type) {
	case *[]Code:
		if *col != nil && (*col)[r] != 0 {
			v = rows.String((*col)[r])
		} else if c.required {
			v = ""
		}
	case *Texts:
		if len(col.Ends) > 0 && (c.required || len(col.At(r)) > 0) {
			v = string(col.At(r))
		}
	case *[]int64:
		v = number(c, *col, r, NullInt64)
	case *[]int32:
		v = number(c, *col, r, NullInt32)
	case *[]int8:
		v = number(c, *col, r, 0)
	case *int32:
		v = int64(*col)
	case *[]float64:
		if *col != nil && !math.IsNaN((*col)[r]) {
			v = (*col)[r]
		}
	case *[]schemas.Decimal:
		if *col != nil && (*col)[r] != NullDecimal {
			v = (*col)[r]
		}
	}
	return v
}

func number[T int8 | int32 | int64](c *column, col []T, r int, null T) any {
	switch {
	case col == nil && c.one:
		return int64(1)
	case col == nil && c.required:
		return int64(0)
	case col == nil || !c.required && col[r] == null:
		return nil
	}
	return int64(col[r])
}
