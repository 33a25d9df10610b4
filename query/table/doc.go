// Package table sends an answer's rows in the form that the caller asks for:
// JSON, CSV (Accept: text/csv) or an Arrow stream
// (application/vnd.apache.arrow.stream).
//
//	t := table.Table{Columns: []table.Column{{"account", table.Text}, {"requests", table.Decimal}}, JSONHead: `{"data":[`, JSONTail: `]}`}
//	err := t.Send(w, r, func(row func(...table.Cell) error) error {
//		for _, g := range groups {
//			if err := row(table.String(g.Names[0]), table.Dec(g.Quantity)); err != nil {
//				return err
//			}
//		}
//		return nil
//	})
//
// Rows are sent as they come, with bounded memory. Numbers stay exact: decimals
// are JSON numbers, in Arrow decimal128(38, 9); times are RFC 3339 in text and
// timestamps of microseconds in UTC in Arrow. A CSV begins with the columns'
// names; null is an empty cell. An error behind the first bytes is the caller's
// to turn into a cut connection: the end of each form is told from a part of it
// (JSON by its tail, Arrow by its end mark, CSV by the length of its chunks).
package table
