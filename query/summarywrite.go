package query

import (
	"net/http"
	"slices"
	"strconv"

	"tallybook/query/table"
)

// send sends one page of the rows, which are in order.
func (p *summaryParams) send(w http.ResponseWriter, r *http.Request, rows []*summaryRow) error {
	total := int64(len(rows))
	rows = rows[min(p.offset, total):]
	rows = rows[:min(p.limit, int64(len(rows)))]
	columns := p.columns()
	t := table.Table{Columns: columns, JSONTail: `],"format":"table"}`, JSONRow: func(b []byte, row []table.Cell) []byte {
		for i := range row {
			b = append(b, "[,"[min(i, 1)])
			b = appendSummaryCell(b, columns[i].Type, &row[i])
		}
		return append(b, ']')
	}}
	t.JSONHead = `{"total":` + strconv.FormatInt(total, 10) + `,"columns":[`
	for i, c := range columns {
		if len(rows) == 0 {
			break
		}
		if i > 0 {
			t.JSONHead += ","
		}
		t.JSONHead += string(table.AppendString(nil, c.Name))
	}
	t.JSONHead += `],"results":[`
	if p.object {
		t.JSONHead = `{"total":` + strconv.FormatInt(total, 10) + `,"results":[`
		t.JSONTail = `],"format":"object"}`
		t.JSONRow = objectRow(columns)
	}
	cells := make([]table.Cell, len(columns))
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for _, x := range rows {
			p.cells(cells, x)
			if err := row(cells...); err != nil {
				return err
			}
		}
		return nil
	})
}

// columns of an answer; time has none of its own.
func (p *summaryParams) columns() []table.Column {
	columns := []table.Column{{Name: "begin", Type: table.Time}, {Name: "end", Type: table.Time},
		{Name: "qty", Type: table.Decimal}, {Name: "rate", Type: table.Decimal}}
	for _, name := range p.groupBy {
		if name == attrTime {
			continue
		}
		if column, ok := timeColumns[name]; ok {
			name = column
		}
		columns = append(columns, table.Column{Name: name})
	}
	return columns
}

func (p *summaryParams) cells(cells []table.Cell, x *summaryRow) {
	begin, end := p.begin, p.end
	if slices.Contains(p.groupBy, attrTime) {
		begin, end = x.start, x.end
	}
	cells[0], cells[1] = table.Micros(begin.UnixMicro()), table.Micros(end.UnixMicro())
	if cells[2], cells[3] = table.Dec(x.qty), table.Dec(x.rate); x.mixed {
		cells[3] = table.Null
	}
	n := 4
	for i, name := range p.groupBy {
		if name != attrTime {
			cells[n] = table.String(x.names[i])
			n++
		}
	}
}

// appendSummaryCell writes times in CloudKitty's form.
func appendSummaryCell(b []byte, kind table.Type, c *table.Cell) []byte {
	if kind == table.Time {
		return append(append(append(b, '"'), isoTime(microsTime(c.Int))...), '"')
	}
	return table.AppendCell(b, kind, c)
}

// objectRow writes a row as an object; begin, end, qty and rate win over a
// groupby of that name.
func objectRow(columns []table.Column) func([]byte, []table.Cell) []byte {
	return func(b []byte, row []table.Cell) []byte {
		for i := range row {
			if slices.ContainsFunc(columns[:i], func(c table.Column) bool { return c.Name == columns[i].Name }) {
				continue
			}
			b = append(b, "{,"[min(i, 1)])
			b = append(table.AppendString(b, columns[i].Name), ':')
			b = appendSummaryCell(b, columns[i].Type, &row[i])
		}
		return append(b, '}')
	}
}
