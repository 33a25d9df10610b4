package mail

import (
	"crypto/sha256"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"tallybook/store"
)

const (
	maxName    = 255 // bytes
	maxSubject = 998 // RFC 5322 2.1.1, as one line
	maxTags    = 10
	maxTag     = 50
	maxKey     = 255

	maxAttachment = 10 << 20 // in base64 that is less than what the providers take
)

// Request is a mail as its sender wrote it; the body is HTML.
type Request struct {
	To          string   `json:"to"`
	ToName      string   `json:"to_name"`
	From        string   `json:"from"`
	FromName    string   `json:"from_name"`
	Subject     string   `json:"subject"`
	Body        string   `json:"body"`
	Tags        []string `json:"tags,omitempty"`
	OnAmbiguous string   `json:"on_ambiguous,omitempty"` // FailOver or Hold

	// Attachment is for mails of our own; a repeat with the same key may have
	// another.
	Attachment *store.MailAttachment `json:"-"`
}

// What to do when a provider may have accepted a mail.
const (
	FailOver = "failover" // ask the next one; the default
	Hold     = "hold"     // leave it unknown
)

// Invalid is a request that is refused without a record.
type Invalid struct {
	Field  string // "" where it is not one field
	Detail string
}

func (e *Invalid) Error() string { return e.Detail }

func invalid(field, format string, args ...any) error {
	return &Invalid{field, field + " " + fmt.Sprintf(format, args...)}
}

// ParseRequest reads and checks a request. Fields that it does not know are
// ignored, as the source document's own samples have some.
func ParseRequest(body []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		var typed *json.SemanticError
		if errors.As(err, &typed) && len(typed.JSONPointer) > 1 {
			field, _, _ := strings.Cut(string(typed.JSONPointer[1:]), "/")
			return r, invalid(field, "must be a string, or tags a list of strings: %s", clip(err.Error()))
		}
		return r, &Invalid{"", "the body must be one JSON object {to, to_name, from, from_name, subject, body}: " + clip(err.Error())}
	}
	return r, r.Check()
}

// Check returns an *Invalid that names the first field at fault.
func (r *Request) Check() error {
	for _, f := range []struct{ name, value string }{{"to", r.To}, {"to_name", r.ToName}, {"from", r.From},
		{"from_name", r.FromName}, {"subject", r.Subject}, {"body", r.Body}} {
		if strings.TrimSpace(f.value) == "" {
			return invalid(f.name, "is required and must not be empty")
		}
		if !utf8.ValidString(f.value) {
			return invalid(f.name, "must be valid UTF-8")
		}
	}
	if err := checkAddress("to", r.To); err != nil {
		return err
	}
	if err := checkAddress("from", r.From); err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		max         int
	}{{"to_name", r.ToName, maxName}, {"from_name", r.FromName, maxName}, {"subject", r.Subject, maxSubject}} {
		if err := checkLine(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	if r.OnAmbiguous != "" && r.OnAmbiguous != FailOver && r.OnAmbiguous != Hold {
		return invalid("on_ambiguous", "must be %q or %q, not %q", FailOver, Hold, clip(r.OnAmbiguous))
	}
	if err := checkAttachment(r.Attachment); err != nil {
		return err
	}
	return r.checkTags()
}

func checkAttachment(a *store.MailAttachment) error {
	switch {
	case a == nil:
		return nil
	case len(a.Content) > maxAttachment:
		return invalid("attachment", "may have up to %d bytes, not %d", maxAttachment, len(a.Content))
	case a.Name == "" || a.Type == "":
		return invalid("attachment", "must have a name and a media type")
	}
	return errors.Join(checkLine("attachment", a.Name, maxName), checkLine("attachment", a.Type, maxName))
}

func (r *Request) checkTags() error {
	if len(r.Tags) > maxTags {
		return invalid("tags", "may be up to %d, not %d", maxTags, len(r.Tags))
	}
	for _, tag := range r.Tags {
		printable := strings.IndexFunc(tag, func(c rune) bool { return c < ' ' || c > '~' }) < 0
		if tag == "" || len(tag) > maxTag || !printable || tag[0] == '_' {
			return invalid("tags", "must each have 1 to %d printable ASCII characters and not begin with _, unlike %q", maxTag, clip(tag))
		}
	}
	return nil
}

// checkLine refuses what could end a header and begin another one.
func checkLine(field, value string, limit int) error {
	if len(value) > limit {
		return invalid(field, "may have up to %d bytes, not %d", limit, len(value))
	}
	if strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }) {
		return invalid(field, "must not have line breaks or other control characters")
	}
	return nil
}

// checkAddress allows exactly one plain ASCII address, local@domain.tld.
func checkAddress(field, address string) error {
	if len(address) > 254 {
		return invalid(field, "must be one address of up to 254 characters")
	}
	for _, c := range address {
		if c <= ' ' || c == 0x7f {
			return invalid(field, "must be one plain address such as ann@example.net, without spaces, line breaks or a display name")
		}
		if c > 0x7f {
			return invalid(field, "must be an ASCII address; write an international domain in its xn-- form")
		}
	}
	parsed, err := netmail.ParseAddress(address)
	if err != nil || parsed.Address != address || parsed.Name != "" {
		return invalid(field, "must be one plain address such as ann@example.net, not %q", clip(address))
	}
	at := strings.LastIndexByte(address, '@')
	if at > 64 {
		return invalid(field, "may have up to 64 characters before the @")
	}
	if !validDomain(address[at+1:]) {
		return invalid(field, "must have a domain name with a dot behind the @, such as example.net, not %q", clip(address[at+1:]))
	}
	return nil
}

func validDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != "" // no IP address
}

// hash tells requests apart that come with the same Idempotency-Key.
func (r *Request) hash() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // checked before: strings, all of them valid
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

func checkKey(key string) error {
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return invalid("Idempotency-Key", "must have up to %d printable ASCII characters", maxKey)
	}
	return nil
}
