package collector

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"

	"tallybook/api"
	"tallybook/schemas"
)

// usage is the body of POST /v1/usage, checked. Numbers are kept as they were
// written, so that none loses a digit.
type usage struct {
	id         string
	apiName    string
	version    string
	endpoint   string
	method     string
	clientIP   string
	status     json.Number
	tookMS     json.Number
	quantity   json.Number
	bytes      json.Number
	errorCode  string
	errorText  string
	at         time.Time
	dimensions json.RawMessage
}

// isError: such a request has an error event too.
func (u *usage) isError() bool { return u.errorCode != "" }

// usageFields are the names that a body may have, as the source document spells
// them; clientIPAddress is taken for clientIPAdress.
var usageFields = []string{"apiversion", "endPointName", "clientIPAdress", "httpStatusCode", "timeTakenInMilliSeconds",
	"errorCode", "errorDescription", "apiName", "id", "timestamp", "quantity", "dimensions", "method", "bytes", "clientIPAddress"}

// usageReader reads the fields of a body and collects all faults.
type usageReader struct {
	fields map[string]json.RawMessage
	faults []api.Field
}

func (r *usageReader) fault(field, format string, args ...any) {
	r.faults = append(r.faults, api.Field{Field: field, Error: field + " " + fmt.Sprintf(format, args...)})
}

// value is a field that is there and not null.
func (r *usageReader) value(field string) (json.RawMessage, bool) {
	v, ok := r.fields[field]
	return v, ok && string(v) != "null"
}

// text reads a string; required ones must not be empty.
func (r *usageReader) text(field string, required bool) string {
	v, ok := r.value(field)
	if !ok {
		if required {
			r.fault(field, "is required: a non-empty string")
		}
		return ""
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		r.fault(field, "must be a string")
	} else if s == "" && required {
		r.fault(field, "must not be empty")
	}
	return s
}

// number reads a number from least up to below 10^12.
func (r *usageReader) number(field string, required, whole bool, least, most int64) json.Number {
	v, ok := r.value(field)
	if !ok {
		if required {
			r.fault(field, "is required: a number")
		}
		return ""
	}
	d, err := schemas.ParseDecimal(v)
	kind := "number"
	if whole {
		kind = "whole number"
	}
	if err != nil || whole && d.Nanos != 0 || d.Cmp(schemas.DecimalFromInt(least)) < 0 || d.Cmp(schemas.DecimalFromInt(most)) > 0 {
		r.fault(field, "must be a %s from %d to %d", kind, least, most)
		return ""
	}
	if whole {
		return json.Number(fmt.Sprint(d.Units))
	}
	return json.Number(v)
}

const maxMeasure = schemas.MaxValue - 1

// parseUsage names every fault of a body at once.
func parseUsage(text []byte, received time.Time) (u usage, faults []api.Field) {
	r := usageReader{}
	if err := strict.Unmarshal(text, &r.fields); err != nil || r.fields == nil {
		return u, []api.Field{{Field: "", Error: "the body must be a JSON object, each name once"}}
	}
	names := make([]string, 0, len(r.fields))
	for name := range r.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(usageFields, name) {
			r.fault(name, "is unknown; allowed are %s", strings.Join(usageFields[:len(usageFields)-1], ", "))
		}
	}
	u.version = r.text("apiversion", true)
	u.endpoint = r.text("endPointName", true)
	u.clientIP = r.clientIP()
	u.status = r.number("httpStatusCode", true, true, 100, 999)
	u.tookMS = r.number("timeTakenInMilliSeconds", true, false, 0, maxMeasure)
	r.errorFields(&u)
	u.apiName = r.text("apiName", false)
	u.method = r.text("method", false)
	u.id = cmp.Or(r.text("id", false), newUUID())
	if len(u.id) > schemas.MaxID-len(errorSuffix) {
		r.fault("id", "may have up to %d bytes", schemas.MaxID-len(errorSuffix))
	}
	u.at = r.timestamp(received)
	u.quantity = r.number("quantity", false, false, 0, maxMeasure)
	u.bytes = r.number("bytes", false, true, 0, maxMeasure)
	u.dimensions = r.dimensions()
	return u, r.faults
}

func (r *usageReader) clientIP() string {
	const right, source = "clientIPAddress", "clientIPAdress"
	if _, ok := r.value(right); ok {
		if _, both := r.value(source); both && string(r.fields[right]) != string(r.fields[source]) {
			r.fault(source, "and %s differ; give one of them", right)
			return ""
		}
		r.fields[source] = r.fields[right]
	}
	text := r.text(source, true)
	if _, err := netip.ParseAddr(text); text != "" && err != nil {
		r.fault(source, "must be an IP address")
	}
	return text
}

// errorFields: from 400 on both are required; below, one of them makes it an
// error too.
func (r *usageReader) errorFields(u *usage) {
	code, isSet := r.value("errorCode")
	if d, err := schemas.ParseDecimal(code); isSet && err == nil && d.Nanos == 0 { // codes are often numbers
		r.fields["errorCode"] = json.RawMessage(fmt.Sprintf(`"%d"`, d.Units))
	}
	failed := len(u.status) == 3 && u.status >= "400"
	u.errorCode = r.text("errorCode", failed)
	u.errorText = r.text("errorDescription", failed)
	if !failed && (u.errorCode == "") != (u.errorText == "") {
		field := "errorCode"
		if u.errorText == "" {
			field = "errorDescription"
		}
		r.fault(field, "is required: an error has both errorCode and errorDescription")
	}
}

func (r *usageReader) timestamp(received time.Time) time.Time {
	text := r.text("timestamp", false)
	if text == "" {
		return received
	}
	at, ok := schemas.ParseUsageTime(text)
	if !ok {
		r.fault("timestamp", "must be of RFC 3339, such as 2026-01-31T23:59:59.123456Z, or YYYY-MM-DD:HH:MM:SS in UTC")
		return received
	}
	return time.UnixMicro(at).UTC()
}

func (r *usageReader) dimensions() json.RawMessage {
	v, ok := r.value("dimensions")
	if !ok {
		return nil
	}
	var texts map[string]string
	if json.Unmarshal(v, &texts) != nil {
		r.fault("dimensions", "must be an object of strings")
	}
	for _, value := range texts {
		if strings.ContainsRune(value, 0) {
			r.fault("dimensions", "must not have NUL characters")
			break
		}
	}
	return v
}
