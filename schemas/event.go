package schemas

// Topic is one of the three Kafka topics, and the archive folder of its events.
type Topic string

const (
	Usage  Topic = "usage"
	Errors Topic = "errors"
	Emails Topic = "emails"
)

// Topics in the order in which they are listed everywhere.
var Topics = []Topic{Usage, Errors, Emails}

// Partition names one partition of one topic.
type Partition struct {
	Topic Topic
	ID    int32
}

// Event types with rules of their own (event-types.md).
const (
	TypeRequest        = "api.request"
	TypeAppEvent       = "app.event"
	TypeRatedUsage     = "rated.usage"
	TypeAPIError       = "api.error"
	TypeInternalError  = "internal.error"
	TypeRetracted      = "event.retracted"
	TypeAmended        = "event.amended"
	TypeMailgunWebhook = "mailgun.webhook"
	TypeMandrill       = "mandrill.webhook"
	EmailPrefix        = "email."
)

// EmailEvents are the names that may follow EmailPrefix.
var EmailEvents = []string{"accepted", "delivered", "failed", "opened", "clicked",
	"unsubscribed", "complained", "stored", "rejected"}

// Field is a string of an event's data that has an archive column of its own.
type Field uint8

const (
	API Field = iota
	Version
	Endpoint
	Method
	ClientIP
	KeyID
	Customer
	Subscription
	Session
	Category
	Name
	ErrorCode
	ErrorDescription
	Domain
	MailEvent // data.event of an e-mail event
	Direction
	Transport
	Severity
	MailReason // data.reason of an e-mail event
	Recipient
	MessageID
	Provider
	Region // data.dimensions.region; a dimension, no column
	NumFields
)

// FieldNames are the JSON names under data, and the archive's column names.
var FieldNames = [NumFields]string{"api", "version", "endpoint", "method", "client_ip",
	"key_id", "customer", "subscription", "session", "category", "name", "error_code",
	"error_description", "domain", "event", "direction", "transport", "severity", "reason",
	"recipient", "message_id", "provider", "region"}

// FieldSet is a set of fields.
type FieldSet uint32

// Has reports whether f is in the set.
func (s FieldSet) Has(f Field) bool { return s>>f&1 == 1 }

// Of is the set of the given fields.
func Of(fields ...Field) FieldSet {
	var s FieldSet
	for _, f := range fields {
		s |= 1 << f
	}
	return s
}

// TopicFields says which fields are columns of a topic's archive; others of
// that name stay in the event's leftover data.
var TopicFields = map[Topic]FieldSet{
	Usage: Of(API, Version, Endpoint, Method, ClientIP, KeyID, Customer, Subscription,
		Session, Category, Name, Region),
	Errors: Of(API, Version, Endpoint, Method, ClientIP, KeyID, Customer, Subscription,
		ErrorCode, ErrorDescription),
	Emails: Of(Domain, MailEvent, Direction, Transport, Severity, MailReason, Recipient,
		MessageID, Provider),
}

// Event is one decoded record. The byte slices are views: into the record
// where the JSON had no escapes, else into memory of the decoder that is valid
// until its next call. Copy or intern what must live longer.
type Event struct {
	ID, Source, Type []byte
	Subject          []byte // nil: absent or null
	Time             int64  // µs since 1970 UTC; see HasTime
	HasTime          bool

	Strings [NumFields][]byte // meaningful where Present has the field
	Present FieldSet

	Status      int32
	HasStatus   bool
	LatencyMS   float64 // what the archive stores
	Latency     Decimal // DecimalOf(LatencyMS): what rollups add
	HasLatency  bool
	Bytes       int64
	HasBytes    bool
	Quantity    Decimal // of a request 1 where absent or null
	HasQuantity bool    // false: absent, or given but no number ("NaN"): kept, not counted
	Amount      Decimal // money; meaningful where HasAmount
	HasAmount   bool
	Rated       *Rated // what names the series of a rated.usage event; set by Validate
	Twin        string // "": none; else the e-mail event that the record stands for too; set by Validate

	// Dimensions is data.dimensions as compact JSON, an object of strings; nil: absent.
	Dimensions []byte
	// Rest is a JSON object of what no field above holds of data; nil: nothing left.
	Rest []byte

	// BadField is the JSON path ("data.status") of the first field whose JSON type does not fit its column
	// (the value is then in Rest), with what is allowed. It refuses the event
	// only where the type has rules of its own.
	BadField, BadWant string
	BadReason         Reason
}
