package schemas

import "fmt"

// Reason is why a record was refused: the fixed list of kinds that error rows
// carry and the meter internal_errors groups by.
type Reason string

const (
	InvalidJSON     Reason = "invalid_json"     // not JSON, not UTF-8, a name twice, something behind it
	InvalidEvent    Reason = "invalid_event"    // not a CloudEvents 1.0 envelope
	MissingField    Reason = "missing_field"    // a required field is absent
	WrongType       Reason = "wrong_type"       // a field has another JSON type
	InvalidValue    Reason = "invalid_value"    // a field's value is not allowed
	TooLong         Reason = "too_long"         // a string over its limit
	OutOfRange      Reason = "out_of_range"     // a number of 10^12 or more
	TimeAhead       Reason = "time_ahead"       // event time over 5 minutes past the log clock
	TimeTooOld      Reason = "time_too_old"     // event time before the oldest that is accepted
	WrongTopic      Reason = "wrong_topic"      // an event type of another topic
	ReservedType    Reason = "reserved_type"    // made by workers only
	UnsupportedType Reason = "unsupported_type" // a known type that this version does not process
	NoAccount       Reason = "no_account"       // neither subject nor key
	WrongAccount    Reason = "wrong_account"    // the key is another account's; answered, never kept
	UnknownKey      Reason = "unknown_key"      // a request with a key that nobody has
	EmptyRecord     Reason = "empty_record"     // a tombstone or an empty value
	TooLarge        Reason = "too_large"        // record over the size limit
	UnknownOriginal Reason = "unknown_original" // a correction of an event that was not counted, or not yet
	RevisionGap     Reason = "revision_gap"     // a correction whose predecessor was not applied, or not yet
	Retracted       Reason = "retracted"        // a correction of an event that was taken back
	EmptyData       Reason = "empty_data"       // an application event whose data holds nothing
	InvalidData     Reason = "invalid_data"     // an application event whose data is no JSON object or array
	UnknownSession  Reason = "unknown_session"  // an application event of a session that the account does not have
	// TimeAfterReceipt: the time of an application event is after its receipt.
	TimeAfterReceipt Reason = "time_after_receipt"
	RefusedByStore   Reason = "refused_by_store" // the store refuses what the event would add up to
)

// Rejection says why and where an event was refused, and what is allowed.
type Rejection struct {
	Reason  Reason
	Field   string // JSON path such as "data.status"; empty where the whole record is meant
	Message string
}

func (r *Rejection) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("%s: %s", r.Reason, r.Message)
	}
	return fmt.Sprintf("%s: %s: %s", r.Reason, r.Field, r.Message)
}
