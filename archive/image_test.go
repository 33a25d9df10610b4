package archive

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"tallybook/schemas"
)

// valueText is row i's value of a column in words, also where it is null.
func valueText(r *Rows, c *column, i int) string {
	switch col := c.at(r).(type) {
	case *[]Code:
		if (*col)[i] == 0 {
			return "null"
		}
		return fmt.Sprintf("%q", r.String((*col)[i]))
	case *Texts:
		return fmt.Sprintf("%q", col.At(i))
	case *[]float64:
		return fmt.Sprint(math.Float64bits((*col)[i]))
	case *[]int64:
		return fmt.Sprint((*col)[i])
	case *[]int32:
		return fmt.Sprint((*col)[i])
	case *[]int8:
		return fmt.Sprint((*col)[i])
	case *[]schemas.Decimal:
		return fmt.Sprint((*col)[i])
	}
	return "?"
}

// A row that was kept as its image comes back with every column as it was.
func TestImage(t *testing.T) {
	for _, dataset := range schemas.Topics {
		for _, sparse := range []bool{false, true} {
			rows := mixedRows(dataset, 300, sparse)
			rows.Pad()
			again, dict := newRows(dataset)
			code := func(text []byte) Code { return dict.code(string(text)) }
			for i := range rows.Len() {
				a := Address{ID: fmt.Appendf(nil, "id-%d", i), Source: []byte("fix"), TargetID: rows.ID.At(i),
					Offset: int64(i), LogTime: 7, Row: int32(i % 2), Sign: int8(1 - 2*(i%2))}
				if err := again.AppendImage(rows.Image(i), a, code); err != nil {
					t.Fatalf("%s row %d: %v", dataset, i, err)
				}
			}
			if got, want := again.Len(), rows.Len(); got != want {
				t.Fatalf("%s: got %d rows, want %d", dataset, got, want)
			}
			for k := range columnsOf[dataset] {
				c := &columnsOf[dataset][k]
				if ofAddress[c.name] {
					continue
				}
				for i := range rows.Len() {
					if got, want := valueText(again, c, i), valueText(rows, c, i); got != want {
						t.Fatalf("%s row %d column %s: got %s, want %s", dataset, i, c.name, got, want)
					}
				}
			}
			if got := again.String(again.TargetID[5]); got != string(rows.ID.At(5)) || again.Sign[5] != -1 || again.Row[5] != 1 {
				t.Errorf("%s: got target %q, sign %d, row %d", dataset, got, again.Sign[5], again.Row[5])
			}
			if err := NewWriter().Write(&bytes.Buffer{}, again, ByDay(again)[0].Index); err != nil {
				t.Errorf("%s: the rows cannot be written: %v", dataset, err)
			}
		}
	}
}

func TestImageRefused(t *testing.T) {
	rows, dict := newRows(schemas.Usage)
	code := func(text []byte) Code { return dict.code(string(text)) }
	for _, image := range []string{``, `[]`, `{}`, `{"account":"a","type":"t"}`, `{"account":"a","type":"t","time":"x"}`,
		`{"account":"a","type":"t","time":1,"domain":"of e-mails"}`, `{"account":"a","type":"t","time":1,"sign":1}`} {
		if err := rows.AppendImage([]byte(image), Address{Sign: 1}, code); err == nil {
			t.Errorf("%s: got a row, want an error", image)
		}
	}
	if rows.Len() != 0 || len(rows.ID.Ends) != 0 {
		t.Errorf("got %d rows, want none", rows.Len())
	}
}
