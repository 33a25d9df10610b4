package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tallybook/schemas/rating"
)

// answersOf runs lines through the calculator and reads what it wrote.
func answersOf(t *testing.T, in string) (answers []map[string]any, refused int) {
	t.Helper()
	var out bytes.Buffer
	refused, err := rateLines(&out, strings.NewReader(in), false)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		answers = append(answers, a)
	}
	return answers, refused
}

// The file of cases goes in as it is, a case a line, with all of its fields.
func TestRateCases(t *testing.T) {
	text, err := os.ReadFile("testdata/cases/pricing.json")
	if err != nil {
		t.Fatal(err)
	}
	var raw []json.RawMessage
	var cases []struct{ ID, Model, Expected_amount string }
	if err := errors.Join(json.Unmarshal(text, &raw), json.Unmarshal(text, &cases)); err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for _, line := range raw {
		if err := json.Compact(&in, line); err != nil {
			t.Fatal(err)
		}
		in.WriteString("\n")
	}
	answers, refused := answersOf(t, in.String())
	if len(answers) != len(cases) {
		t.Fatalf("got %d answers, want %d", len(answers), len(cases))
	}
	for i, c := range cases {
		a := answers[i]
		if a["id"] != c.ID {
			t.Fatalf("answer %d: got %v, want id %s", i, a, c.ID)
		}
		if !slices.Contains(rating.Models(), c.Model) {
			refused--
			if problem, _ := a["error"].(string); !strings.HasPrefix(problem, "model must be one of ") {
				t.Errorf("%s: got %v, want an error of model", c.ID, a)
			}
			continue
		}
		got, want := new(big.Rat), new(big.Rat)
		want.SetString(c.Expected_amount)
		if _, ok := got.SetString(fmt.Sprint(a["amount"])); !ok || got.Cmp(want) != 0 {
			t.Errorf("%s: got %v, want %s", c.ID, a, c.Expected_amount)
		}
	}
	if refused != 0 {
		t.Errorf("got %d more refused than there are cases of other models", refused)
	}
}

func TestRateLines(t *testing.T) {
	const period = `"period":{"start":"2024-03-01T00:00:00+01:00","end":"2024-04-01T00:00:00+02:00"}`
	long := `{"id":"` + strings.Repeat("x", maxRateLine) + `"}`
	for _, c := range []struct{ in, want string }{
		{`{"id":"a","model":"per_unit","params":{"unit_price":"0.31","currency_precision":2},"quantity":"100"}`, `{"id":"a","amount":"31.00"}`},
		{`{"id":7,"model":"per_unit","params":{"unit_price":0.1},"quantity":3}` + "\r", `{"id":7,"amount":"0.3"}`},
		{`{"model":"flat","params":{"amount":"5"}}`, `{"id":null,"amount":"5"}`},
		{`{"id":"s","model":"graduated","params":{"tiers":[{"up_to":"2","unit_price":"0"},{"up_to":null,"unit_price":"2"}]},"quantity":["1",1,"1"],"notes":1}`,
			`{"id":"s","amount":"2","amounts":["0","0","2"]}`},
		{`{"id":"s","model":"percentage_per_event","params":{"rate_percent":"1","minimum_amount":"3"},"quantity":[]}`, `{"id":"s","amount":"3","amounts":[]}`},
		{`{"id":"s","model":"percentage_per_event","params":{"rate_percent":"2.99","min_per_event":"1.75"},"quantity":"10"}`, `{"id":"s","amount":"1.75"}`},
		{`{"id":"p","model":"flat","params":{"amount":"31"},` + period + `,"held":{"start":"2024-03-14T23:30:00Z","end":"2024-05-01T00:00:00Z"},"timezone":"Europe/Berlin"}`,
			`{"id":"p","amount":"17"}`},
		{`{"id":"p","model":"flat","params":{"amount":"31"},` + period + `}`, `{"id":"p","error":"held must be {`},
		{`{"id":"p","model":"flat","params":{"amount":"31"},` + period + `,"held":{"start":"2024-03-14","end":"2024-05-01"}}`, `{"id":"p","error":"held must be {`},
		{`{"id":"p","model":"flat","params":{"amount":"31"},` + period + `,"held":{"start":"2024-03-14T23:30:00Z","end":"2024-05-01T00:00:00Z"},"timezone":"Mars"}`,
			`{"id":"p","error":"timezone must be`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"x","unit":1},"quantity":"1"}`, `{"id":"e","error":"params.unit is no parameter of the model per_unit; it has unit_price, free_units,`},
		{`{"id":"f","model":"flat","params":{"amount":"31"},"quantity":null}`, `{"id":"f","amount":"31"}`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":null}`, `{"id":"e","error":"quantity must be a decimal`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"}}`, `{"id":"e","error":"quantity must be a decimal`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":"-1"}`, `{"id":"e","error":"quantity must be a decimal of 0 or more"}`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":{"a":"1"}}`, `{"id":"e","error":"quantity must be a decimal`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":["1",null]}`, `{"id":"e","error":"quantity[1]: not a decimal"}`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":["1","-2"]}`, `{"id":"e","error":"quantity[1]: quantity must not fall below 0`},
		{`{"id":"e","model":"per_unit","params":{"unit_price":"1"},"quantity":[` + strings.Repeat("1,", maxRateEvents) + `1]}`, `{"id":"e","error":"quantity must be a list of up to 100000 events"}`},
		{`{"id":"e","model":5,"params":{}}`, `{"id":"e","error":"model is required: one of flat,`},
		{`{"id":"e","model":"flat"}`, `{"id":"e","error":"params must be an object with amount`},
		{`{"id":"a","id":"b"}`, `{"id":null,"error":"line 1: not JSON`},
		{`{"id":`, `{"id":null,"error":"line 1: not JSON`},
		{`"id"`, `{"id":null,"error":"line 1: must be a JSON object`},
		{"\n \t\n[]", `{"id":null,"error":"line 3: must be a JSON object`},
		{long, `{"id":null,"error":"line 1: a line may have up to 1048576 bytes"}`},
	} {
		for _, end := range []string{"", "\n"} {
			var out bytes.Buffer
			_, err := rateLines(&out, strings.NewReader(c.in+end), false)
			if got := strings.TrimSuffix(out.String(), "\n"); err != nil || !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") || c.want[len(c.want)-1] == '}' && got != c.want {
				t.Errorf("%.300s\n got %.300s, %v\nwant %s", c.in, got, err, c.want)
			}
		}
	}
	// One bad line does not stop the rest.
	good := `{"id":"good","model":"flat","params":{"amount":"1"}}`
	answers, refused := answersOf(t, strings.Join([]string{good, long, "{", good, long}, "\n"))
	if got, want := fmt.Sprintln(refused, answers[0]["amount"], answers[3]["amount"], len(answers)), "3 1 1 5\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// An answer comes before the next line is there; what cannot be read or
// written ends it.
func TestRateStreams(t *testing.T) {
	in, lines := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := rateLines(out, in, false)
		done <- err
	}()
	read := bufio.NewReader(answers)
	for i := range 3 {
		fmt.Fprintf(lines, `{"id":%d,"model":"flat","params":{"amount":"1"}}`+"\n", i)
		if got, err := read.ReadString('\n'); err != nil || got != fmt.Sprintf(`{"id":%d,"amount":"1"}`+"\n", i) {
			t.Fatalf("got %s, %v", got, err)
		}
	}
	lines.CloseWithError(errors.New("a torn pipe"))
	if err := <-done; err == nil || err.Error() != "read line 4: a torn pipe" {
		t.Errorf("got %v", err)
	}
	if _, err := rateLines(iotest.TruncateWriter(io.Discard, 0), iotest.OneByteReader(strings.NewReader("{}\n{}")), false); err != nil {
		t.Errorf("byte by byte: got %v", err)
	}
	answers.Close()
	if _, err := rateLines(out, strings.NewReader("{}"), false); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("nobody reads: got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestRateCommand(t *testing.T) {
	run := func(in string, args ...string) outcome {
		cmd := tallybookCommand(t, append([]string{"rate"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		return finish(t, cmd)
	}
	run("{}\n").want(t, 0, `{"id":null,"error":"line 1: model is required`)
	run("{}\n", "--strict").want(t, 1, "1 lines were not rated")
	run(`{"id":"x","model":"package","params":{"package_size":"10","package_price":"15"},"quantity":"11"}`, "--explain").
		want(t, 0, `{"id":"x","amount":"30","line":{"quantity":"11","amount":"30","exact":"30","places":-1,"parts":[{"kind":"packages","quantity":"2","price":"15","amount":"30"}]}}`)
	run("", "file").want(t, 2, "takes no arguments")
	run("").want(t, 0)
}

// Whatever comes in, one line of JSON comes out, with an amount or an error.
func FuzzRateLine(f *testing.F) {
	f.Add([]byte(`{"id":"a","model":"per_unit","params":{"unit_price":"0.31"},"quantity":["1",2]}`))
	f.Add([]byte(`{"id":7,"model":"flat","params":{"amount":1},"period":{"start":"2024-03-01T00:00:00Z","end":"2024-04-01T00:00:00Z"},"held":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\n"), nil))
		if len(text) == 0 {
			return
		}
		var out bytes.Buffer
		refused, err := rateLines(&out, bytes.NewReader(text), true)
		var a struct{ Amount, Error *string }
		if err := errors.Join(err, json.Unmarshal(out.Bytes(), &a)); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Fatalf("%q: got %s, %v", text, &out, err)
		}
		if (a.Amount == nil) == (a.Error == nil) || (a.Error != nil) != (refused == 1) {
			t.Fatalf("%q: got %s, %d refused", text, &out, refused)
		}
	})
}
