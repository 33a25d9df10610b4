package mail

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func sample() Request {
	return Request{To: "ann@example.net", ToName: "Ann", From: "noreply@mg.example.com", FromName: "Rides", Subject: "Trip", Body: "<p>$10</p>"}
}

func TestRequestIsTaken(t *testing.T) {
	for _, change := range []func(r *Request){
		func(r *Request) {},
		func(r *Request) { r.To = "a.b+c_d'x@sub.example.co.uk" },
		func(r *Request) { r.To = "ann@xn--mller-kva.example" },
		func(r *Request) { r.ToName, r.Subject = "Jörg Ünï, \"the\" <b@c.d>", "Ihre Fahrt – 10 €" },
		func(r *Request) { r.Tags, r.OnAmbiguous = []string{"trip", "a b"}, Hold },
		func(r *Request) { r.Body = strings.Repeat("x\r\n", 10000) },
	} {
		r := sample()
		change(&r)
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseRequest(body); err != nil || got.Subject != r.Subject {
			t.Errorf("%s: got %v", body, err)
		}
	}
	// A field that nobody knows, as the source document's samples have.
	if _, err := ParseRequest([]byte(`{"testcase": "1", "to": "a@b.cd", "to_name": "A", "from": "c@d.ef", "from_name": "C", "subject": "s", "body": "b"}`)); err != nil {
		t.Error(err)
	}
}

func TestRequestIsRefused(t *testing.T) {
	type change = func(r *Request)
	for field, changes := range map[string][]change{
		"to": {
			func(r *Request) { r.To = "" },
			func(r *Request) { r.To = "ann@localhost" },
			func(r *Request) { r.To = "ann" },
			func(r *Request) { r.To = "ann@" },
			func(r *Request) { r.To = "@example.net" },
			func(r *Request) { r.To = "Ann <ann@example.net>" },
			func(r *Request) { r.To = "<ann@example.net>" },
			func(r *Request) { r.To = "ann@example.net (Ann)" },
			func(r *Request) { r.To = "ann@example.net, bob@example.net" },
			func(r *Request) { r.To = "ann@example.net,bob@example.net" },
			func(r *Request) { r.To = "ann@example.net\r\nBcc: x@y.zz" },
			func(r *Request) { r.To = "ann@example.net\n" },
			func(r *Request) { r.To = " ann@example.net" },
			func(r *Request) { r.To = "ann@example..net" },
			func(r *Request) { r.To = "ann@example.net." },
			func(r *Request) { r.To = "ann@-example.net" },
			func(r *Request) { r.To = "ann@[127.0.0.1]" },
			func(r *Request) { r.To = "ann@127.0.0.1" },
			func(r *Request) { r.To = "ann@exa_mple.net" },
			func(r *Request) { r.To = "jörg@example.net" },
			func(r *Request) { r.To = "ann@müller.example" },
			func(r *Request) { r.To = strings.Repeat("a", 65) + "@example.net" },
			func(r *Request) { r.To = "a@" + strings.Repeat("b", 260) + ".net" },
			func(r *Request) { r.To = "ann@@example.net" },
		},
		"from":      {func(r *Request) { r.From = "" }, func(r *Request) { r.From = "Rides <noreply@mg.example.com>" }},
		"to_name":   {func(r *Request) { r.ToName = "" }, func(r *Request) { r.ToName = "Ann\r\nBcc: x" }, func(r *Request) { r.ToName = "Ann\x00" }, func(r *Request) { r.ToName = strings.Repeat("n", 256) }},
		"from_name": {func(r *Request) { r.FromName = " " }, func(r *Request) { r.FromName = "a\u2028b" }, func(r *Request) { r.FromName = "a\u0085b" }},
		"subject":   {func(r *Request) { r.Subject = "" }, func(r *Request) { r.Subject = "Hi\nBcc: evil@example.org" }, func(r *Request) { r.Subject = "a\rb" }, func(r *Request) { r.Subject = strings.Repeat("s", 999) }},
		"body":      {func(r *Request) { r.Body = "" }},
		"tags": {func(r *Request) { r.Tags = []string{""} }, func(r *Request) { r.Tags = []string{"a\nb"} }, func(r *Request) { r.Tags = []string{"_internal"} },
			func(r *Request) { r.Tags = []string{"ä"} }, func(r *Request) { r.Tags = make([]string, 11) }},
		"on_ambiguous": {func(r *Request) { r.OnAmbiguous = "maybe" }},
	} {
		for i, change := range changes {
			r := sample()
			change(&r)
			body, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseRequest(body)
			var bad *Invalid
			if !errors.As(err, &bad) || bad.Field != field || !strings.Contains(bad.Detail, field) {
				t.Errorf("%s %d %+v: got %v", field, i, r, err)
			}
		}
	}
	for _, c := range []struct{ body, field string }{
		{`{"to":`, ""}, {``, ""}, {`[]`, ""}, {`null`, "to"}, {`{"to": 5}`, "to"}, {`{"tags": "x"}`, "tags"}, {`{"to": "a@b.cd", "to": "c@d.ef"}`, ""},
		{`{} x`, ""}, {"{\"to\": \"\xff\"}", ""},
	} {
		_, err := ParseRequest([]byte(c.body))
		var bad *Invalid
		if !errors.As(err, &bad) || bad.Field != c.field {
			t.Errorf("%s: got %#v, want the field %q", c.body, err, c.field)
		}
	}
}
