package jobs

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// erasure says what becomes of personal values: a hash with the installation's
// secret, so that what counts different ones still does, and equal values stay
// equal. A value that is erased stays what it is.
type erasure struct {
	secret    []byte
	account   string
	recipient string // lower case; "": everything of the account
	kept      map[schemas.Topic][]string
}

// ratedMembers are what rated usage is metered by: members of its data.
var ratedMembers = []string{"metric", "unit", "groupby", "metadata", "price"}

// newErasure finds what declared meters are made of: that of data stays, as the
// rollups have it too. A meter of a personal column would no longer agree with
// the archive, and is refused.
func newErasure(secret [16]byte, account, recipient string, meters []store.DeclaredMeter) (*erasure, error) {
	e := &erasure{secret: secret[:], account: account, recipient: strings.ToLower(recipient), kept: map[schemas.Topic][]string{}}
	for i := range meters {
		m := &meters[i]
		reader := schemas.NewMeterReader(&m.Meter)
		for _, column := range reader.Columns() {
			if column != "data" && slices.Contains(archive.PersonalColumns, column) {
				return nil, fmt.Errorf("meter %s counts by %s, which is to be erased: its numbers would not be those of the archive any more; delete the meter first", m.Slug, column)
			}
		}
		e.kept[m.Family.Topic] = append(e.kept[m.Family.Topic], reader.Members()...)
	}
	return e, nil
}

const erasedPrefix = "erased:"

var erasedForm = regexp.MustCompile(`^<?` + erasedPrefix + `[0-9a-f]{32}(@.*)?$`)

func (e *erasure) hash(column string, value []byte) string {
	mac := hmac.New(sha256.New, e.secret)
	fmt.Fprintf(mac, "erase\x00%s\x00%s\x00%s", e.account, column, value)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// text is what becomes of a value that is no JSON.
func (e *erasure) text(column, value string) string {
	if value == "" || erasedForm.MatchString(value) {
		return value
	}
	at := strings.LastIndexByte(value, '@')
	if column != "message_id" || at < 0 {
		return erasedPrefix + e.hash(column, []byte(value))
	}
	local, open := strings.CutPrefix(value[:at], "<")
	is := erasedPrefix + e.hash(column, []byte(local)) + value[at:]
	if open {
		is = "<" + is
	}
	return is
}

// data is what becomes of a JSON value: the members that meters are made of, and
// a hash of the whole.
func (e *erasure) data(topic schemas.Topic, kind string, value []byte) []byte {
	keep := e.kept[topic]
	if kind == schemas.TypeRatedUsage {
		keep = append(slices.Clone(keep), ratedMembers...)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		if slices.Contains(keep, "data") {
			return value // a meter reads it as it is
		}
		members = nil
	}
	erased := map[string]json.RawMessage{}
	others := 0
	var before string
	for name, member := range members {
		switch {
		case slices.Contains(keep, name):
			erased[name] = member
		case name == "erased" && json.Unmarshal(member, &before) == nil && erasedForm.MatchString(before):
		default:
			others++
		}
	}
	if members != nil && others == 0 {
		return value // nothing is left to erase, or nothing was ever there
	}
	erased["erased"] = json.RawMessage(`"` + erasedPrefix + e.hash("data", value) + `"`)
	text, err := json.Marshal(erased)
	if err != nil {
		panic(err) // raw messages that were parsed
	}
	return text
}

// row says whether a row of the archive is to be erased.
func (e *erasure) row(r *archive.Rows, i int) bool {
	if r.String(r.Account[i]) != e.account {
		return false
	}
	switch {
	case e.recipient == "":
		return true
	case r.Dataset == schemas.Emails:
		return strings.EqualFold(r.String(r.Strings[schemas.Recipient][i]), e.recipient)
	case r.Dataset == schemas.Errors:
		return e.names(r.Input.At(i)) || e.names(r.Data.At(i))
	}
	return false
}

// names reports whether a text has the recipient.
func (e *erasure) names(text []byte) bool {
	return e.recipient == "" || bytes.Contains(bytes.ToLower(text), []byte(e.recipient))
}

// rewrite is an archive.Rewrite.
func (e *erasure) rewrite(r *archive.Rows, i int, column string, value []byte) []byte {
	if !e.row(r, i) {
		return value
	}
	if column == "data" {
		return e.data(r.Dataset, r.String(r.Type[i]), value)
	}
	return []byte(e.text(column, string(value)))
}

// image is what becomes of the image of an archive row that the store keeps.
func (e *erasure) image(topic schemas.Topic, image json.RawMessage) (json.RawMessage, error) {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(image, &row); err != nil {
		return nil, fmt.Errorf("image of a row: %w", err)
	}
	text := func(column string) string {
		var s string
		if json.Unmarshal(row[column], &s) != nil {
			return ""
		}
		return s
	}
	if e.recipient != "" && !strings.EqualFold(text("recipient"), e.recipient) {
		return image, nil
	}
	for _, column := range archive.PersonalColumns {
		was := text(column)
		if was == "" {
			continue
		}
		is := e.text(column, was)
		if column == "data" {
			is = string(e.data(topic, text("type"), []byte(was)))
		}
		quoted, err := json.Marshal(is)
		if err != nil {
			return nil, err
		}
		row[column] = quoted
	}
	return json.Marshal(row)
}
