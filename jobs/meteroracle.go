package jobs

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// oracleRow is an archive row as declared meters see it, worked out the long
// way round: the event's data is put together again as one JSON value. It
// shares nothing with what the workers and the backfill read events by.
type oracleRow struct {
	rows *archive.Rows
	i    int

	kind, account string
	hour          schemas.Hour
	sign          int64
	hasLatency    bool
	data          map[string]any // nil: not put together yet
}

func (r *oracleRow) set(rows *archive.Rows, i int) {
	*r = oracleRow{rows: rows, i: i, kind: rows.String(rows.Type[i]), account: rows.String(rows.Account[i]),
		hour: schemas.HourOf(rows.Time[i]), sign: 1,
		hasLatency: len(rows.LatencyMS) > 0 && !math.IsNaN(rows.LatencyMS[i])}
	if len(rows.Sign) > 0 {
		r.sign = int64(rows.Sign[i])
	}
}

func (r *oracleRow) matches(eventType string) bool {
	if prefix, ok := strings.CutSuffix(eventType, "*"); ok && strings.HasPrefix(r.kind, prefix) {
		return r.kind != schemas.TypeInternalError
	}
	return r.kind == eventType
}

// whole is the data: what the typed columns hold, and the rest.
func (r *oracleRow) whole() (map[string]any, error) {
	if r.data != nil {
		return r.data, nil
	}
	data := map[string]any{}
	rows, i := r.rows, r.i
	if len(rows.Data.Ends) > 0 && len(rows.Data.At(i)) > 0 {
		if err := parseJSON(string(rows.Data.At(i)), &data); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	for f, col := range rows.Strings {
		if len(col) > 0 && col[i] != 0 {
			data[schemas.FieldNames[f]] = rows.String(col[i])
		}
	}
	if len(rows.Status) > 0 && rows.Status[i] != archive.NullInt32 {
		data["status"] = json.Number(strconv.Itoa(int(rows.Status[i])))
	}
	if r.hasLatency {
		d, err := schemas.DecimalOf(rows.LatencyMS[i])
		if err != nil {
			return nil, err
		}
		data["latency_ms"] = json.Number(d.String())
	}
	if len(rows.Quantity) > 0 && rows.Quantity[i] != archive.NullDecimal {
		data["quantity"] = json.Number(rows.Quantity[i].String())
	}
	if len(rows.Bytes) > 0 && rows.Bytes[i] != archive.NullInt64 {
		data["bytes"] = json.Number(strconv.FormatInt(rows.Bytes[i], 10))
	}
	if len(rows.Dimensions) > 0 && rows.Dimensions[i] != 0 {
		var dimensions any
		if err := parseJSON(rows.String(rows.Dimensions[i]), &dimensions); err != nil {
			return nil, fmt.Errorf("dimensions: %w", err)
		}
		data["dimensions"] = dimensions
	}
	r.data = data
	return data, nil
}

func parseJSON(text string, to any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

var pathStep = regexp.MustCompile(`^(?:\.([^.\[]+)|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]|\[(-?[0-9]+)\])`)

// dims are the values of the meter's dimensions.
func (r *oracleRow) dims(meter *schemas.Meter) (dims []string, err error) {
	for _, name := range meter.Family.Dims {
		text, _, err := r.find(meter.Definition.GroupBy[name])
		if err != nil {
			return nil, err
		}
		if len(text) > schemas.MaxString {
			text = schemas.OtherDimension
		}
		dims = append(dims, text)
	}
	return dims, nil
}

// find is the text of what stands at a JSONPath: "" for nothing, null, an object
// or an array.
func (r *oracleRow) find(path string) (text string, isText bool, err error) {
	data, err := r.whole()
	if err != nil {
		return "", false, err
	}
	var at any = data
	for rest := strings.TrimPrefix(path, "$"); rest != ""; {
		step := pathStep.FindStringSubmatch(rest)
		if step == nil {
			return "", false, fmt.Errorf("path %q: no step at %q", path, rest)
		}
		rest = rest[len(step[0]):]
		if step[4] != "" {
			list, _ := at.([]any)
			n, err := strconv.Atoi(step[4])
			if err != nil {
				return "", false, err
			}
			if n < 0 {
				n += len(list)
			}
			if n < 0 || n >= len(list) {
				return "", false, nil
			}
			at = list[n]
			continue
		}
		name := step[1]
		if name == "" {
			quoted := strings.ReplaceAll(step[2], `\'`, `'`)
			if step[3] == "" {
				quoted = strings.ReplaceAll(quoted, `"`, `\"`)
			} else {
				quoted = step[3]
			}
			if err := json.Unmarshal([]byte(`"`+quoted+`"`), &name); err != nil {
				return "", false, fmt.Errorf("path %q: %w", path, err)
			}
		}
		object, _ := at.(map[string]any)
		at = object[name]
	}
	switch v := at.(type) {
	case string:
		return v, true, nil
	case json.Number:
		return v.String(), false, nil
	case bool:
		return strconv.FormatBool(v), false, nil
	}
	return "", false, nil
}
