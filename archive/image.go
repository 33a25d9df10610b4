package archive

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"tallybook/schemas"
)

// Address is what a row has besides its image: whose it is and where it came from.
type Address struct {
	ID, Source, TargetID []byte
	Offset, LogTime      int64
	Row                  int32
	Sign                 int8
}

// ofAddress are the columns that Address and Rows.Partition hold, and that of
// how many records a row stands for, which is one here; all others are the
// row's image.
var ofAddress = map[string]bool{"id": true, "source": true, "topic_partition": true, "topic_offset": true,
	"row": true, "log_time": true, "sign": true, "target_id": true, "records": true}

// Image is row i as a JSON object of its columns that are not null, but for
// those of its Address. AppendImage makes the same values of it again, to the
// last bit. A decimal is [units, nanos].
func (r *Rows) Image(i int) []byte {
	b := []byte{'{'}
	for k := range columnsOf[r.Dataset] {
		c := &columnsOf[r.Dataset][k]
		if ofAddress[c.name] {
			continue
		}
		before := len(b)
		if before > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), c.name...), '"', ':')
		value := len(b)
		if b = r.appendJSON(b, c, i); len(b) == value {
			b = b[:before] // null
		}
	}
	return append(b, '}')
}

// appendJSON appends row i's value of a column, nothing where it is null.
func (r *Rows) appendJSON(b []byte, c *column, i int) []byte {
	switch col := c.at(r).(type) {
	case *[]Code:
		if i < len(*col) && (*col)[i] != 0 {
			b = appendText(b, []byte(r.String((*col)[i])))
		}
	case *Texts:
		if i < len(col.Ends) && len(col.At(i)) > 0 {
			b = appendText(b, col.At(i))
		}
	case *[]int64:
		if i < len(*col) && (*col)[i] != NullInt64 {
			b = strconv.AppendInt(b, (*col)[i], 10)
		}
	case *[]int32:
		if i < len(*col) && (*col)[i] != NullInt32 {
			b = strconv.AppendInt(b, int64((*col)[i]), 10)
		}
	case *[]float64:
		if i < len(*col) && !math.IsNaN((*col)[i]) {
			b = strconv.AppendFloat(b, (*col)[i], 'g', -1, 64)
		}
	case *[]schemas.Decimal:
		if i < len(*col) && (*col)[i] != NullDecimal {
			d := (*col)[i]
			b = append(strconv.AppendInt(append(b, '['), d.Units, 10), ',')
			b = append(strconv.AppendInt(b, int64(d.Nanos), 10), ']')
		}
	}
	return b
}

func appendText(b, text []byte) []byte {
	quoted, err := json.Marshal(string(text))
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, quoted...)
}

// AppendImage appends the row of an image under an address; code gives the code
// of a string in Dict. All columns of the dataset are as long as the rows
// afterwards. An image of columns that the dataset does not have is an error.
func (r *Rows) AppendImage(image []byte, a Address, code func([]byte) Code) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(image, &values); err != nil {
		return fmt.Errorf("image of a row: %w", err)
	}
	n := r.Len()
	var parsed Rows // of one row, so that an error leaves r as it was
	parsed.Dataset = r.Dataset
	for name, value := range values {
		index, err := findColumn(r.Dataset, name)
		if err == nil && ofAddress[name] {
			err = fmt.Errorf("column %q is not of an image", name)
		}
		if err == nil {
			err = parseValue(columnsOf[r.Dataset][index].at(&parsed), value, code)
		}
		if err != nil {
			return fmt.Errorf("image of a row: column %s: %w", name, err)
		}
	}
	if len(parsed.Time) != 1 || len(parsed.Account) != 1 || len(parsed.Type) != 1 {
		return fmt.Errorf("image of a row: account, type or time is missing")
	}
	r.Pad()
	for k := range columnsOf[r.Dataset] {
		c := &columnsOf[r.Dataset][k]
		moveValue(c.at(r), c.at(&parsed))
	}
	r.setAddress(a, code)
	r.Pad()
	if r.Len() != n+1 {
		return fmt.Errorf("image of a row: %d rows became %d", n, r.Len())
	}
	return nil
}

// setAddress gives the last row its address; Pad must have made the columns as
// long as the rows before.
func (r *Rows) setAddress(a Address, code func([]byte) Code) {
	r.ID.Append(a.ID)
	r.Source = append(r.Source, code(a.Source))
	r.Offset, r.LogTime = append(r.Offset, a.Offset), append(r.LogTime, a.LogTime)
	r.Row, r.Sign = append(r.Row, a.Row), append(r.Sign, a.Sign)
	target := Code(0)
	if len(a.TargetID) > 0 {
		target = code(a.TargetID)
	}
	r.TargetID = append(r.TargetID, target)
}

func parseValue(to any, value json.RawMessage, code func([]byte) Code) error {
	switch col := to.(type) {
	case *[]Code:
		var text string
		err := json.Unmarshal(value, &text)
		*col = []Code{code([]byte(text))}
		return err
	case *Texts:
		var text string
		err := json.Unmarshal(value, &text)
		col.Append([]byte(text))
		return err
	case *[]schemas.Decimal:
		var parts [2]int64
		if err := json.Unmarshal(value, &parts); err != nil {
			return err
		}
		*col = []schemas.Decimal{{Units: parts[0], Nanos: int32(parts[1])}}
		return nil
	case *[]int64:
		*col = make([]int64, 1)
		return json.Unmarshal(value, &(*col)[0])
	case *[]int32:
		*col = make([]int32, 1)
		return json.Unmarshal(value, &(*col)[0])
	case *[]float64:
		*col = make([]float64, 1)
		return json.Unmarshal(value, &(*col)[0])
	}
	return fmt.Errorf("a %T has no image", to)
}

func moveValue(to, from any) {
	switch col := to.(type) {
	case *[]Code:
		*col = append(*col, *from.(*[]Code)...)
	case *Texts:
		if one := from.(*Texts); len(one.Ends) == 1 {
			col.Append(one.At(0))
		}
	case *[]schemas.Decimal:
		*col = append(*col, *from.(*[]schemas.Decimal)...)
	case *[]int64:
		*col = append(*col, *from.(*[]int64)...)
	case *[]int32:
		*col = append(*col, *from.(*[]int32)...)
	case *[]float64:
		*col = append(*col, *from.(*[]float64)...)
	}
}

// Pad makes every column of the dataset as long as the rows: with null, or with
// what a nil column stands for.
func (r *Rows) Pad() {
	n := r.Len()
	for k := range columnsOf[r.Dataset] {
		c := &columnsOf[r.Dataset][k]
		one := int64(0)
		if c.one {
			one = 1
		}
		switch col := c.at(r).(type) {
		case *[]Code:
			*col = padded(*col, n, 0)
		case *Texts:
			for len(col.Ends) < n {
				col.Append(nil)
			}
		case *[]int64:
			null := int64(NullInt64)
			if c.one {
				null = one
			}
			*col = padded(*col, n, null)
		case *[]int32:
			null := int32(NullInt32)
			if c.required {
				null = 0
			}
			*col = padded(*col, n, null)
		case *[]int8:
			*col = padded(*col, n, int8(one))
		case *[]float64:
			*col = padded(*col, n, math.NaN())
		case *[]schemas.Decimal:
			*col = padded(*col, n, NullDecimal)
		}
	}
}

func padded[T any](col []T, n int, value T) []T {
	for len(col) < n {
		col = append(col, value)
	}
	return col
}
