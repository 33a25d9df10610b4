package jobs

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// foldColumns are what the fold of a dataset reads.
var foldColumns = map[schemas.Topic][]string{
	schemas.Usage: {"account", "type", "time", "topic_offset", "row", "sign", "api", "version", "endpoint", "method",
		"status", "latency_ms", "quantity", "bytes", "amount", "dimensions", "data"},
	schemas.Errors: {"account", "type", "time", "topic_offset", "row", "sign", "api", "version", "endpoint",
		"status", "latency_ms", "error_code", "reason", "records"},
	schemas.Emails: {"account", "type", "time", "topic_offset", "row", "sign", "domain", "event", "direction",
		"transport", "severity", "reason"},
}

// cell is a rollup row as a map's key.
type cell struct {
	hour   schemas.Hour
	series schemas.SeriesID
}

// folded is what one archive row adds to which series; family is nil where it
// adds to none.
type folded struct {
	family  *schemas.Family
	account string
	dims    [6]string
	sign    int64
	schemas.Measures
}

// foldRow reads row i by the rules of event-types.md. It shares nothing with
// the workers' fold, which it checks.
func foldRow(rows *archive.Rows, i int) (f folded, err error) {
	text := func(column []archive.Code) string {
		if len(column) == 0 {
			return ""
		}
		return rows.String(column[i])
	}
	field := func(x schemas.Field) string { return text(rows.Strings[x]) }
	kind := text(rows.Type)
	f.account, f.sign = text(rows.Account), 1
	if len(rows.Sign) > 0 {
		f.sign = int64(rows.Sign[i])
	}
	f.Count = 1
	switch {
	case rows.Dataset == schemas.Usage && kind == schemas.TypeRequest:
		f.family = schemas.FamilyRequest
		region, err := regionOf(text(rows.Dimensions))
		if err != nil {
			return f, err
		}
		f.dims = [6]string{field(schemas.API), field(schemas.Version), field(schemas.Endpoint), field(schemas.Method), statusOf(rows, i), region}
		addNumbers(&f, rows, i)
	case rows.Dataset == schemas.Usage && kind == schemas.TypeRatedUsage:
		f.family = schemas.FamilyRated
		if f.dims, err = ratedDims(dataOf(rows, i)); err != nil {
			return f, err
		}
		addNumbers(&f, rows, i)
	case rows.Dataset == schemas.Errors && kind == schemas.TypeAPIError:
		f.family = schemas.FamilyError
		f.dims = [6]string{field(schemas.API), field(schemas.Version), field(schemas.Endpoint), statusOf(rows, i), field(schemas.ErrorCode)}
	case rows.Dataset == schemas.Errors && kind == schemas.TypeInternalError:
		f.family = schemas.FamilyInternalError
		f.dims = [6]string{text(rows.Reason)}
		if len(rows.Records) > 0 {
			f.Count = rows.Records[i]
		}
	case rows.Dataset == schemas.Emails && strings.HasPrefix(kind, schemas.EmailPrefix):
		f.family = schemas.FamilyEmail
		event := field(schemas.MailEvent)
		if event == "" {
			event = strings.TrimPrefix(kind, schemas.EmailPrefix)
		}
		f.dims = [6]string{field(schemas.Domain), event, field(schemas.Direction), field(schemas.Transport), field(schemas.Severity), field(schemas.MailReason)}
	}
	if f.family == nil || f.family == schemas.FamilyInternalError || len(rows.LatencyMS) == 0 || math.IsNaN(rows.LatencyMS[i]) {
		return f, nil
	}
	f.ValueCount = 1
	f.ValueSum, err = schemas.DecimalOf(rows.LatencyMS[i])
	f.ValueMin, f.ValueMax = f.ValueSum, f.ValueSum
	return f, err
}

func addNumbers(f *folded, rows *archive.Rows, i int) {
	if len(rows.Quantity) > 0 && rows.Quantity[i] != archive.NullDecimal {
		f.Quantity = rows.Quantity[i]
	}
	if len(rows.Amount) > 0 && rows.Amount[i] != archive.NullDecimal {
		f.Amount = rows.Amount[i]
	}
	if len(rows.Bytes) > 0 && rows.Bytes[i] != archive.NullInt64 {
		f.Bytes = rows.Bytes[i]
	}
}

func statusOf(rows *archive.Rows, i int) string {
	if len(rows.Status) == 0 || rows.Status[i] == archive.NullInt32 {
		return ""
	}
	return strconv.Itoa(int(rows.Status[i]))
}

func regionOf(dimensions string) (string, error) {
	if dimensions == "" {
		return "", nil
	}
	var all map[string]string
	if err := json.Unmarshal([]byte(dimensions), &all); err != nil {
		return "", fmt.Errorf("dimensions %q: %w", dimensions, err)
	}
	return all["region"], nil
}

// addSigned adds one row's numbers, times its sign, to a sum. A retraction
// takes no part in minimum and maximum.
func addSigned(sum *schemas.Measures, f *folded) error {
	m := f.Measures
	if f.sign < 0 {
		m = schemas.Measures{Count: -m.Count, Quantity: m.Quantity.Neg(), ValueCount: -m.ValueCount,
			ValueSum: m.ValueSum.Neg(), Bytes: -m.Bytes, Amount: m.Amount.Neg()}
	}
	if m.ValueCount > 0 && (sum.ValueCount == 0 || m.ValueMin.Cmp(sum.ValueMin) < 0) {
		sum.ValueMin = m.ValueMin
	}
	if m.ValueCount > 0 && (sum.ValueCount == 0 || m.ValueMax.Cmp(sum.ValueMax) > 0) {
		sum.ValueMax = m.ValueMax
	}
	sum.Count += m.Count
	sum.ValueCount += m.ValueCount
	sum.Bytes += m.Bytes
	var err error
	for _, d := range []struct{ to, add *schemas.Decimal }{
		{&sum.Quantity, &m.Quantity}, {&sum.ValueSum, &m.ValueSum}, {&sum.Amount, &m.Amount}} {
		if *d.to, err = d.to.Add(*d.add); err != nil {
			return err
		}
	}
	return nil
}

// addresses is a set of rows of a log. The row 0 of each offset, which is
// nearly all there is, costs a bit.
type addresses struct {
	pages map[int64]*[64]uint64 // 4,096 offsets each
	other map[[2]int64]struct{} // offset and row, where row > 0
}

func newAddresses() *addresses {
	return &addresses{pages: make(map[int64]*[64]uint64), other: make(map[[2]int64]struct{})}
}

// add reports whether the address is new.
func (a *addresses) add(offset int64, row int32) bool {
	if row != 0 {
		key := [2]int64{offset, int64(row)}
		_, seen := a.other[key]
		a.other[key] = struct{}{}
		return !seen
	}
	page := a.pages[offset>>12]
	if page == nil {
		page = new([64]uint64)
		a.pages[offset>>12] = page
	}
	word, bit := &page[offset>>6&63], uint64(1)<<(offset&63)
	seen := *word&bit != 0
	*word |= bit
	return !seen
}
