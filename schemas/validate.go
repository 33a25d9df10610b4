package schemas

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"
)

// Rules are what a worker holds events against, besides the rules of their
// types.
type Rules struct {
	OldestTime int64         // µs; earlier events are refused
	MaxAhead   time.Duration // how far past the log clock an event's time may lie
}

// DefaultRules accepts history from the year 2000 on, and clocks that are five
// minutes fast.
func DefaultRules() Rules {
	return Rules{
		OldestTime: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
		MaxAhead:   5 * time.Minute,
	}
}

// Limits of an event's strings, in bytes.
const (
	MaxID          = 1024
	MaxSource      = 2048
	MaxType        = 255
	MaxAccount     = 255
	MaxString      = 1024
	MaxDescription = 64 << 10 // data.error_description
	MaxRest        = 64 << 10
	MaxDimensions  = 64 << 10
)

// typeRule is what a type of our own demands. Types without a rule are accepted
// on usage only, for meters that are declared later.
type typeRule struct {
	topic       Topic // "": any
	required    []Field
	status      bool   // data.status is required
	ahead       bool   // its time may lie ahead
	correction  bool   // its data is ParseCorrection's; it goes to the topic of what it corrects
	refuse      Reason // it is never processed
	refuseWants string
	check       func(*Event) *Rejection // what else its data must be; nil: nothing
	normalise   func(*Event) *Rejection // brings the event into the form that is counted; nil: it has it
}

// typeRules holds the rules by type; every email.… has the rule of EmailPrefix.
var typeRules = map[string]*typeRule{
	TypeRequest:        {topic: Usage, required: []Field{Endpoint}, status: true},
	TypeAppEvent:       {topic: Usage, required: []Field{Session, Category, Name}, check: checkAppEvent, ahead: true}, // CheckReceipt is stricter
	TypeRatedUsage:     {topic: Usage, ahead: true, normalise: readRated},
	TypeAPIError:       {topic: Errors, required: []Field{Endpoint}, status: true},
	EmailPrefix:        {topic: Emails, required: []Field{Domain}, normalise: normaliseMail},
	TypeMailgunWebhook: {topic: Emails, normalise: readMailgun},
	TypeMandrill:       {topic: Emails, normalise: readMandrill},
	TypeRetracted:      {correction: true},
	TypeAmended:        {correction: true},
	TypeInternalError: {refuse: ReservedType,
		refuseWants: "the type is made by workers only; use another for events of your own"},
}

func ruleOf(ev *Event) *typeRule {
	if rule := typeRules[string(ev.Type)]; rule != nil {
		return rule
	}
	if bytes.HasPrefix(ev.Type, []byte(EmailPrefix)) {
		return typeRules[EmailPrefix]
	}
	return nil
}

// The fields that name series in the store, whose text can hold no NUL.
var usageDims, errorDims, emailDims = familyFields(Usage), familyFields(Errors), familyFields(Emails)

func familyFields(topic Topic) (set FieldSet) {
	for _, family := range Families {
		for f, name := range FieldNames {
			if family.Topic == topic && family.Dim(name) >= 0 {
				set |= Of(Field(f))
			}
		}
	}
	return set
}

func dimensionFields(topic Topic) FieldSet {
	switch topic {
	case Usage:
		return usageDims
	case Errors:
		return errorDims
	}
	return emailDims
}

// Validate holds a decoded event of topic against the rules; clock is the log
// clock in µs. It does not look at the account: Account does. Events of types
// that are counted in another form (rated.usage, e-mails, providers' webhooks)
// have that form when it returns nil.
func (r Rules) Validate(topic Topic, ev *Event, clock int64) *Rejection {
	rule := ruleOf(ev)
	if rejection := checkTopic(topic, rule, ev); rejection != nil {
		return rejection
	}
	if rejection := checkIdentity(ev); rejection != nil {
		return rejection
	}
	if rule != nil && rule.normalise != nil {
		if rejection := rule.normalise(ev); rejection != nil {
			return rejection
		}
		rule = ruleOf(ev)
	}
	if rejection := r.checkTime(rule, ev, clock); rejection != nil {
		return rejection
	}
	if rule != nil && rule.correction {
		return checkCorrection(ev)
	}
	if rule != nil {
		if rejection := rule.checkData(ev); rejection != nil {
			return rejection
		}
	}
	return checkLimits(topic, ev)
}

func checkTopic(topic Topic, rule *typeRule, ev *Event) *Rejection {
	switch {
	case rule == nil && topic == Usage:
		return nil
	case rule == nil:
		return &Rejection{WrongTopic, "type", fmt.Sprintf(
			"topic %s takes its own types only; events of other types belong on topic %s", topic, Usage)}
	case rule.topic != "" && rule.topic != topic:
		return &Rejection{WrongTopic, "type", fmt.Sprintf("events of this type belong on topic %s", rule.topic)}
	case rule.refuse != "":
		return &Rejection{rule.refuse, "type", rule.refuseWants}
	}
	return nil
}

func checkIdentity(ev *Event) *Rejection {
	if rejection := checkText("id", ev.ID, MaxID); rejection != nil {
		return rejection
	}
	if rejection := checkText("source", ev.Source, MaxSource); rejection != nil {
		return rejection
	}
	return checkText("type", ev.Type, MaxType)
}

// checkText holds a text that enters the store against its limit.
func checkText(field string, text []byte, limit int) *Rejection {
	if len(text) > limit {
		return tooLong(field, limit)
	}
	if hasControl(text) {
		return controlRejection(field)
	}
	return nil
}

func tooLong(field string, limit int) *Rejection {
	return &Rejection{TooLong, field, fmt.Sprintf("%s may have up to %d bytes", field, limit)}
}

func controlRejection(field string) *Rejection {
	return &Rejection{InvalidValue, field, field + " must not have control characters (U+0000 to U+001F, U+007F)"}
}

// hasControl looks at eight bytes at a time; see specials.
func hasControl(text []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(text) >= 8; text = text[8:] {
		w := binary.LittleEndian.Uint64(text)
		del := w ^ (ones * 0x7f)
		if ((w-ones*0x20)&^w|(del-ones)&^del)&tops != 0 {
			return true
		}
	}
	for _, c := range text {
		if c < 0x20 || c == 0x7f {
			return true
		}
	}
	return false
}

func (r Rules) checkTime(rule *typeRule, ev *Event, clock int64) *Rejection {
	switch {
	case !ev.HasTime:
	case ev.Time < r.OldestTime:
		return &Rejection{TimeTooOld, "time", "time must not be before " +
			time.UnixMicro(r.OldestTime).UTC().Format(time.RFC3339Nano)}
	case ev.Time-r.MaxAhead.Microseconds() > clock && (rule == nil || !rule.ahead):
		return &Rejection{TimeAhead, "time", fmt.Sprintf("time may be up to %v after the log clock, %s",
			r.MaxAhead, time.UnixMicro(clock).UTC().Format(time.RFC3339Nano))}
	}
	return nil
}

func checkCorrection(ev *Event) *Rejection {
	if len(ev.Rest) > MaxCorrection {
		return tooLong("data", MaxCorrection)
	}
	_, rejection := ParseCorrection(ev)
	return rejection
}

// checkData holds data against the rule of its type.
func (rule *typeRule) checkData(ev *Event) *Rejection {
	if ev.BadField != "" {
		return &Rejection{ev.BadReason, ev.BadField, fmt.Sprintf("%s must be %s", ev.BadField, ev.BadWant)}
	}
	for _, f := range rule.required {
		switch path := columnPaths[f]; {
		case !ev.Present.Has(f):
			return &Rejection{MissingField, path, path + " is required: a non-empty string"}
		case len(ev.Strings[f]) == 0:
			return &Rejection{InvalidValue, path, path + " must not be empty"}
		}
	}
	if rule.status && !ev.HasStatus {
		return &Rejection{MissingField, columnPaths[colStatus], "data.status is required: a whole number from 0 to 999"}
	}
	if ev.HasStatus && (ev.Status < 0 || ev.Status > 999) {
		return &Rejection{InvalidValue, columnPaths[colStatus], "data.status must be a whole number from 0 to 999"}
	}
	if rule.topic == Emails {
		return checkMailEvent(ev)
	}
	if rule.check != nil {
		return rule.check(ev)
	}
	return nil
}

func checkMailEvent(ev *Event) *Rejection {
	event := ev.Type[len(EmailPrefix):]
	if !slices.Contains(EmailEvents, string(event)) {
		return &Rejection{InvalidValue, "type", fmt.Sprintf("type must be %s and one of %q", EmailPrefix, EmailEvents)}
	}
	if !bytes.Equal(ev.Strings[MailEvent], event) {
		return &Rejection{InvalidValue, columnPaths[MailEvent], "data.event must be absent or what the type says after " + EmailPrefix}
	}
	return nil
}

// checkLimits holds data's sizes and dimension strings against their limits.
func checkLimits(topic Topic, ev *Event) *Rejection {
	dims := dimensionFields(topic)
	for left := ev.Present; left != 0; left &= left - 1 {
		f := Field(bits.TrailingZeros32(uint32(left)))
		limit := MaxString
		if f == ErrorDescription {
			limit = MaxDescription
		}
		if len(ev.Strings[f]) > limit {
			return tooLong(columnPaths[f], limit)
		}
		if dims.Has(f) && hasControl(ev.Strings[f]) {
			return controlRejection(columnPaths[f])
		}
	}
	if len(ev.Dimensions) > MaxDimensions {
		return tooLong(columnPaths[colDimensions], MaxDimensions)
	}
	if hasEscapedControl(ev.Dimensions) {
		return controlRejection(columnPaths[colDimensions])
	}
	if len(ev.Rest) > MaxRest {
		return &Rejection{TooLong, "data", fmt.Sprintf("what data has besides the type's own fields may have up to %d bytes", MaxRest)}
	}
	return nil
}

// hasEscapedControl looks for control characters in valid JSON, where they must
// be escaped (but for U+007F).
func hasEscapedControl(text []byte) bool {
	if bytes.IndexByte(text, 0x7f) >= 0 {
		return true
	}
	for i := bytes.IndexByte(text, '\\'); i >= 0 && i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch text[i] {
		case 'b', 'f', 'n', 'r', 't':
			return true
		case 'u':
			if r := hex4(text[i-1:]); r < 0x20 || r == 0x7f {
				return true
			}
		}
	}
	return false
}

// Account is whom the event belongs to: its subject, else the record's key. The
// account is checked as it stands, also where it came from the key.
func Account(ev *Event, key []byte) ([]byte, *Rejection) {
	account, field := ev.Subject, "subject"
	if len(account) == 0 {
		account, field = key, ""
	}
	if len(account) == 0 {
		return nil, &Rejection{NoAccount, "subject", "an event must name its account in subject, or in the record's key"}
	}
	if !utf8.Valid(account) {
		return nil, &Rejection{InvalidValue, field, "the account must be UTF-8"}
	}
	if len(account) > MaxAccount {
		return nil, &Rejection{TooLong, field, fmt.Sprintf("the account may have up to %d bytes", MaxAccount)}
	}
	if hasControl(account) {
		return nil, &Rejection{InvalidValue, field, "the account must not have control characters (U+0000 to U+001F, U+007F)"}
	}
	return account, nil
}
