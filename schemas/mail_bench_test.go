package schemas

import "testing"

// BenchmarkMailEvent decodes and validates an e-mail event as its producers
// send it.
func BenchmarkMailEvent(b *testing.B) {
	record := []byte(event("email.delivered", `{"domain":"mg1.example.com","event":"delivered","recipient":"user1@example.net","direction":"outgoing","transport":"smtp","provider":"mailgun"}`,
		`,"subject":"acme","time":"2025-12-31T00:00:00Z"`))
	var d Decoder
	var ev Event
	b.ReportAllocs()
	for b.Loop() {
		rejection := d.Decode(Emails, record, &ev)
		if rejection == nil {
			rejection = DefaultRules().Validate(Emails, &ev, 1<<60)
		}
		if rejection != nil {
			b.Fatal(rejection)
		}
	}
}
