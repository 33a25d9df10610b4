package query

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"time"

	"tallybook/schemas"
)

// meterRowJSON is a row on the wire. A meter of values says besides their
// average what it was made of.
type meterRowJSON struct {
	Value       schemas.Decimal   `json:"value"`
	WindowStart *time.Time        `json:"windowStart"`
	WindowEnd   time.Time         `json:"windowEnd"`
	Subject     *string           `json:"subject"`
	GroupBy     map[string]string `json:"groupBy"`
	Count       *int64            `json:"count,omitempty"`
	Sum         *schemas.Decimal  `json:"sum,omitempty"`
	Min         *schemas.Decimal  `json:"min,omitempty"`
	Max         *schemas.Decimal  `json:"max,omitempty"`
}

// writeMeterJSON sends the rows one by one. A from that is not known (none was
// given and there is no data) is left out, and null as a window's start.
func writeMeterJSON(w http.ResponseWriter, p *meterParams, rows []meterRow) error {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 64<<10)
	head := struct {
		From       *time.Time `json:"from,omitempty"`
		To         time.Time  `json:"to"`
		WindowSize WindowSize `json:"windowSize,omitempty"`
	}{optional(p.from), p.to, p.size}
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	out.Write(b[:len(b)-1])
	out.WriteString(`,"data":[`)
	for i := range rows {
		if i > 0 {
			out.WriteByte(',')
		}
		if b, err = json.Marshal(jsonRow(p, &rows[i])); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	out.WriteString("]}\n")
	return out.Flush()
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func jsonRow(p *meterParams, row *meterRow) *meterRowJSON {
	r := &meterRowJSON{Value: row.value, WindowStart: optional(row.start), WindowEnd: row.end,
		Subject: row.subject, GroupBy: make(map[string]string, len(p.groupBy))}
	for i, name := range p.groupBy {
		r.GroupBy[name] = row.names[i]
	}
	if p.meter.Measure == schemas.MeasureValue {
		r.Count, r.Sum, r.Min, r.Max = &row.ValueCount, &row.ValueSum, &row.ValueMin, &row.ValueMax
	}
	return r
}

// writeMeterCSV sends window_start, window_end, subject, the groups and value.
func writeMeterCSV(w http.ResponseWriter, p *meterParams, rows []meterRow) error {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	out := csv.NewWriter(w)
	record := append([]string{"window_start", "window_end", "subject"}, p.groupBy...)
	if err := out.Write(append(record, "value")); err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		subject, start := "", ""
		if row.subject != nil {
			subject = *row.subject
		}
		if !row.start.IsZero() {
			start = row.start.Format(time.RFC3339)
		}
		record = append(record[:0], start, row.end.Format(time.RFC3339), subject)
		record = append(append(record, row.names...), row.value.String())
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
