package query

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tallybook/query/engine"
	"tallybook/query/table"
	"tallybook/schemas"
)

// send sends the rows: window_start, window_end, subject, the groups and value,
// in CSV and Arrow; in JSON and Arrow also what the value was made of.
func (p *meterParams) send(w http.ResponseWriter, r *http.Request, rows []meterRow) error {
	more := table.FormatOf(r.Header.Get("Accept")) != table.CSV
	t := table.Table{JSONHead: p.jsonHead(), JSONTail: "]}", JSONRow: p.jsonRow,
		Columns: []table.Column{{Name: "window_start", Type: table.Time}, {Name: "window_end", Type: table.Time}, {Name: "subject"}}}
	for _, name := range p.groupBy {
		t.Columns = append(t.Columns, table.Column{Name: name})
	}
	t.Columns = append(t.Columns, table.Column{Name: "value", Type: table.Decimal})
	if more {
		t.Columns = append(t.Columns, p.moreColumns()...)
	}
	cells := make([]table.Cell, 0, len(t.Columns))
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for i := range rows {
			cells = p.cells(cells[:0], &rows[i])
			if more {
				cells = p.moreCells(cells, rows[i].Group)
			}
			if err := row(cells...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *meterParams) cells(cells []table.Cell, row *meterRow) []table.Cell {
	start, subject := table.Null, table.Null
	if !row.start.IsZero() {
		start = table.Micros(row.start.UnixMicro())
	}
	if row.subject != nil {
		subject = table.String(*row.subject)
	}
	cells = append(cells, start, table.Micros(row.end.UnixMicro()), subject)
	for _, name := range row.names {
		cells = append(cells, table.String(name))
	}
	return append(cells, table.Dec(row.value))
}

// explained says that a row shows what its average is made of.
func (p *meterParams) explained() bool {
	return p.meter.Measure == schemas.MeasureValue && p.meter.Aggregation == schemas.Avg
}

func (p *meterParams) moreColumns() (columns []table.Column) {
	if p.explained() {
		columns = []table.Column{{Name: "count", Type: table.Int}, {Name: "sum", Type: table.Decimal},
			{Name: "min", Type: table.Decimal}, {Name: "max", Type: table.Decimal}}
	}
	for _, q := range p.percentiles() {
		columns = append(columns, table.Column{Name: percentileName(q), Type: table.Decimal})
	}
	return columns
}

func (p *meterParams) moreCells(cells []table.Cell, g *engine.Group) []table.Cell {
	if p.explained() {
		cells = append(cells, table.Integer(g.ValueCount), table.Dec(g.ValueSum), table.Dec(g.ValueMin), table.Dec(g.ValueMax))
	}
	for _, q := range p.percentiles() {
		cell := table.Null
		if value, ok := g.Quantile(q / 100); ok {
			cell = table.Dec(value)
		}
		cells = append(cells, cell)
	}
	return cells
}

// jsonHead leaves out a from that is not known: none was given and there is no
// data.
func (p *meterParams) jsonHead() string {
	head := struct {
		From       *time.Time  `json:"from,omitempty"`
		To         time.Time   `json:"to"`
		WindowSize engine.Size `json:"windowSize,omitempty"`
	}{nil, p.to, p.size}
	if !p.from.IsZero() {
		head.From = &p.from
	}
	b, err := json.Marshal(head)
	if err != nil {
		panic(err) // times are of the years 1 to 9999
	}
	return string(b[:len(b)-1]) + `,"data":[`
}

// jsonRow appends a row of the conventions: {"value", "windowStart",
// "windowEnd", "subject", "groupBy": {…}} and what more there is.
func (p *meterParams) jsonRow(b []byte, row []table.Cell) []byte {
	n := 3 + len(p.groupBy) // where the value stands
	b = table.AppendCell(append(b, `{"value":`...), table.Decimal, &row[n])
	b = table.AppendCell(append(b, `,"windowStart":`...), table.Time, &row[0])
	b = table.AppendCell(append(b, `,"windowEnd":`...), table.Time, &row[1])
	b = table.AppendCell(append(b, `,"subject":`...), table.Text, &row[2])
	b = append(b, `,"groupBy":{`...)
	order := slices.Clone(p.groupBy)
	slices.Sort(order)
	for i, name := range order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(table.AppendString(b, name), ':')
		b = table.AppendCell(b, table.Text, &row[3+slices.Index(p.groupBy, name)])
	}
	b = append(b, '}')
	n++
	if p.explained() {
		for i, name := range []string{"count", "sum", "min", "max"} {
			b = append(strconv.AppendQuote(append(b, ','), name), ':')
			kind := table.Decimal
			if i == 0 {
				kind = table.Int
			}
			b = table.AppendCell(b, kind, &row[n])
			n++
		}
	}
	if percentiles := p.percentiles(); len(percentiles) > 0 {
		b = append(b, `,"percentiles":{`...)
		for i, q := range percentiles {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(strconv.AppendQuote(b, strconv.FormatFloat(q, 'f', -1, 64)), ':')
			b = table.AppendCell(b, table.Decimal, &row[n+i])
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
