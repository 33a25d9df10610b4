package schemas

// column is a field of data that an Event holds typed: a Field, or one of those
// below.
type column uint8

const (
	colStatus column = column(NumFields) + iota
	colLatency
	colBytes
	colQuantity
	colDimensions
	numColumns
	noColumn column = 31 // in no columnSet
)

type columnSet uint32

func (s columnSet) has(c column) bool { return s>>c&1 == 1 }

// Columns of each topic; a field of data outside them stays in Event.Rest.
var (
	usageColumns = columnsOf(Usage, colStatus, colLatency, colBytes, colQuantity, colDimensions)
	errorColumns = columnsOf(Errors, colStatus, colLatency)
	emailColumns = columnsOf(Emails)
)

// columnsOf leaves Region out: it is a name under data.dimensions.
func columnsOf(topic Topic, more ...column) columnSet {
	s := columnSet(TopicFields[topic] &^ Of(Region))
	for _, c := range more {
		s |= 1 << c
	}
	return s
}

func topicColumns(topic Topic) columnSet {
	switch topic {
	case Usage:
		return usageColumns
	case Errors:
		return errorColumns
	case Emails:
		return emailColumns
	}
	return 0
}

// columnPaths are the JSON paths of the columns, as a Rejection names them.
var columnPaths = func() (paths [numColumns]string) {
	for f, name := range FieldNames {
		paths[f] = "data." + name
	}
	paths[Region] = "data.dimensions.region"
	paths[colStatus] = "data.status"
	paths[colLatency] = "data.latency_ms"
	paths[colBytes] = "data.bytes"
	paths[colQuantity] = "data.quantity"
	paths[colDimensions] = "data.dimensions"
	return paths
}()

func columnCode(name []byte) uint8 { return uint8(columnOf(name)) }

// columnOf finds the column of a name under data.
func columnOf(name []byte) column {
	switch string(name) {
	case "api":
		return column(API)
	case "version":
		return column(Version)
	case "endpoint":
		return column(Endpoint)
	case "method":
		return column(Method)
	case "status":
		return colStatus
	case "latency_ms":
		return colLatency
	case "bytes":
		return colBytes
	case "quantity":
		return colQuantity
	case "dimensions":
		return colDimensions
	case "client_ip":
		return column(ClientIP)
	case "key_id":
		return column(KeyID)
	case "customer":
		return column(Customer)
	case "subscription":
		return column(Subscription)
	}
	return rareColumnOf(name)
}

func rareColumnOf(name []byte) column {
	switch string(name) {
	case "session":
		return column(Session)
	case "category":
		return column(Category)
	case "name":
		return column(Name)
	case "error_code":
		return column(ErrorCode)
	case "error_description":
		return column(ErrorDescription)
	case "domain":
		return column(Domain)
	case "event":
		return column(MailEvent)
	case "direction":
		return column(Direction)
	case "transport":
		return column(Transport)
	case "severity":
		return column(Severity)
	case "reason":
		return column(MailReason)
	case "recipient":
		return column(Recipient)
	case "message_id":
		return column(MessageID)
	case "provider":
		return column(Provider)
	}
	return noColumn
}
