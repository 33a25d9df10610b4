package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"tallybook/schemas/rating"
)

const (
	maxRateLine   = 1 << 20 // bytes of a line to rate
	maxRateEvents = 100_000 // in a sequence
)

func rateCommand() *cobra.Command {
	var explain, strict bool
	cmd := &cobra.Command{Use: "rate", Short: "price calculator: usage and prices as JSON lines in, amounts out", Args: noArgs,
		Long: `Reads JSON lines {"id", "model", "params", "quantity"} from standard input and writes
{"id", "amount"} or {"id", "error"} for each, by the rules that rate invoices.

quantity is a decimal as a text or number, or a list of events in their order; then
"amounts" has what each of them adds. A line may have "period" and "held", each
{"start", "end"}, RFC 3339, and "timezone", where a price held for a part of a period.
Other fields are ignored. Lines have up to 1 MiB, lists up to 100000 events.`,
		Example: `  echo '{"id":"a","model":"package","params":{"package_size":"10","package_price":"15"},"quantity":"11"}' | tallybook rate`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refused, err := rateLines(cmd.OutOrStdout(), cmd.InOrStdin(), explain)
			if err == nil && strict && refused > 0 {
				err = fmt.Errorf("%d lines were not rated", refused)
			}
			return err
		}}
	cmd.Flags().BoolVar(&explain, "explain", false, "also write the line with its parts: tiers, quantity × price, limits, rounding")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 where a line was not rated")
	return cmd
}

// rateAnswer is what is written for a line that was read.
type rateAnswer struct {
	ID      jsontext.Value  `json:"id"`
	Amount  rating.Number   `json:"amount,omitzero"`
	Amounts []rating.Number `json:"amounts,omitzero"`
	Line    *rating.Line    `json:"line,omitempty"`
	Error   string          `json:"error,omitempty"`
}

// rateLines answers each line of in, in order, and counts those that it could
// not rate. An answer is written out before the next line is waited for.
func rateLines(w io.Writer, r io.Reader, explain bool) (refused int, err error) {
	in, out := bufio.NewReaderSize(r, 64<<10), bufio.NewWriter(w)
	for number := 1; ; number++ {
		text, long, readErr := readRateLine(in)
		if readErr != nil && readErr != io.EOF {
			return refused, fmt.Errorf("read line %d: %w", number, errors.Join(readErr, out.Flush()))
		}
		if long || len(text) > 0 {
			answer := rateAnswer{Error: fmt.Sprintf("a line may have up to %d bytes", maxRateLine)}
			if !long {
				answer = rateText(text, explain)
			}
			if answer.Error != "" {
				refused++
				if answer.ID == nil {
					answer.Error = fmt.Sprintf("line %d: %s", number, answer.Error)
				}
			}
			if err := json.MarshalWrite(out, &answer); err != nil {
				return refused, fmt.Errorf("answer line %d: %w", number, err)
			}
			out.WriteByte('\n')
		}
		if readErr == io.EOF || in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return refused, fmt.Errorf("answer line %d: %w", number, err)
			}
		}
		if readErr == io.EOF {
			return refused, nil
		}
	}
}

// readRateLine reads a line without the white space around it. Of one that is
// too long it keeps nothing.
func readRateLine(in *bufio.Reader) (line []byte, long bool, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		if line = append(line, piece...); len(bytes.TrimRight(line, "\r\n")) > maxRateLine {
			line, long = line[:0], true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), long, err
		}
	}
}

// rateInput is a line as it was sent; each field is read by itself, so that an
// error can name it and the id.
type rateInput struct {
	ID       jsontext.Value `json:"id"`
	Model    jsontext.Value `json:"model"`
	Params   jsontext.Value `json:"params"`
	Quantity jsontext.Value `json:"quantity"`
	Period   jsontext.Value `json:"period"`
	Held     jsontext.Value `json:"held"`
	Timezone jsontext.Value `json:"timezone"`
}

func rateText(text []byte, explain bool) rateAnswer {
	var in rateInput
	if err := json.Unmarshal(text, &in); err != nil {
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			return rateAnswer{Error: fmt.Sprintf("not JSON at byte %d: %v", syntax.ByteOffset, syntax.Err)}
		}
		return rateAnswer{Error: `must be a JSON object with "id", "model", "params" and "quantity"`}
	}
	answer := rateAnswer{ID: in.ID}
	if err := answer.rate(&in, explain); err != nil {
		return rateAnswer{ID: in.ID, Error: err.Error()}
	}
	return answer
}

func (a *rateAnswer) rate(in *rateInput, explain bool) error {
	var model string
	if err := json.Unmarshal(in.Model, &model); err != nil {
		return errors.New("model is required: one of " + strings.Join(rating.Models(), ", "))
	}
	price, bad := rating.Parse("", model, in.Params)
	if bad != nil {
		var all []string
		for _, p := range bad {
			all = append(all, p.Problem)
		}
		return errors.New(strings.Join(all, "; "))
	}
	term, err := rateTerm(in)
	if err != nil {
		return err
	}
	tally := price.Tally()
	if in.Quantity.Kind() == '[' {
		a.Amounts, err = rateEvents(tally, in.Quantity, term)
	} else {
		err = rateTotal(tally, in.Quantity, model)
	}
	if err != nil {
		return err
	}
	line, err := tally.Line(term, -1)
	if err != nil {
		return err
	}
	if a.Amount = line.Amount; explain {
		a.Line = &line
	}
	return nil
}

// rateTotal takes a quantity that is one number: of percentage_per_event, one event.
func rateTotal(tally *rating.Tally, text jsontext.Value, model string) error {
	quantity, err := rateNumber(text)
	switch {
	case (len(text) == 0 || text.Kind() == 'n') && model == "flat":
		return nil
	case err != nil:
		return fmt.Errorf("quantity must be a decimal of 0 or more, such as \"11.5\", or a list of such: %w", err)
	case model == "percentage_per_event":
		return tally.Event(quantity)
	}
	return tally.Total(quantity, -1)
}

// rateEvents adds the events, and says what each made of the amount.
func rateEvents(tally *rating.Tally, text jsontext.Value, term rating.Term) ([]rating.Number, error) {
	var events []jsontext.Value
	if err := json.Unmarshal(text, &events); err != nil || len(events) > maxRateEvents {
		return nil, fmt.Errorf("quantity must be a list of up to %d events", maxRateEvents)
	}
	amounts := make([]rating.Number, len(events))
	before := rating.NumberOf(0)
	for i := range events {
		value, err := rateNumber(events[i])
		if err == nil {
			err = tally.Event(value)
		}
		if err != nil {
			return nil, fmt.Errorf("quantity[%d]: %w", i, err)
		}
		line, err := tally.Line(term, -1)
		if err != nil {
			return nil, err
		}
		amounts[i], before = line.Amount.Minus(before), line.Amount
	}
	return amounts, nil
}

func rateNumber(text jsontext.Value) (rating.Number, error) {
	number := string(text)
	if text.Kind() == '"' {
		if err := json.Unmarshal(text, &number); err != nil {
			return rating.Number{}, err
		}
	}
	return rating.ParseNumber(number)
}

func rateTerm(in *rateInput) (term rating.Term, err error) {
	if len(in.Period) == 0 && len(in.Held) == 0 {
		return rating.Term{}, nil
	}
	for name, into := range map[string]*rating.Span{"period": &term.Period, "held": &term.Held} {
		text := map[string]jsontext.Value{"period": in.Period, "held": in.Held}[name]
		var span struct {
			Start time.Time `json:"start"`
			End   time.Time `json:"end"`
		}
		if json.Unmarshal(text, &span) != nil || !span.Start.Before(span.End) {
			return term, fmt.Errorf("%s must be {\"start\", \"end\"}, rising times of RFC 3339, such as 2026-01-31T23:00:00Z; period and held go together", name)
		}
		*into = rating.Span(span)
	}
	zone := "UTC"
	if len(in.Timezone) > 0 {
		if json.Unmarshal(in.Timezone, &zone) != nil || zone == "Local" || zone == "" {
			zone = "?"
		}
	}
	if term.Zone, err = time.LoadLocation(zone); err != nil {
		return term, errors.New("timezone must be an IANA time zone, such as Europe/Berlin")
	}
	return term, nil
}
