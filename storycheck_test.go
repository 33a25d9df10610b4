package main

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"slices"
)

// checkInvoices holds every document that is final now against the account, and
// has each proven by the command that users have.
func (s *story) checkInvoices() {
	s.t.Helper()
	list := s.documents()
	numbers := map[string][]string{}
	for i := range list {
		d := &list[i]
		if d.Status == "draft" {
			continue
		}
		numbers[d.Kind] = append(numbers[d.Kind], d.Number)
		var out bytes.Buffer
		if err := prove(context.Background(), s.parts.cfg, d.Number, "", &out); err != nil {
			s.fatal("%s: %v\n%s", d.Number, err, out.String())
		}
		s.checkTotal(d)
		if d.Kind == "invoice" && !s.seen[d.ID] {
			s.seen[d.ID] = true
			s.checkMonths(list, d)
		}
	}
	for kind, prefix := range map[string]string{"invoice": "INV", "credit_note": "CN"} {
		slices.Sort(numbers[kind])
		for i, number := range numbers[kind] {
			if want := fmt.Sprintf("%s-%06d", prefix, i+1); number != want {
				s.t.Errorf("%s: got the number %s, want %s", s.line, number, want)
			}
		}
	}
}

// checkTotal: the lines, and a tax on their sum, rounded once.
func (s *story) checkTotal(d *storyDocument) {
	s.t.Helper()
	c, net := s.customer(d.Customer.Name), new(big.Rat)
	for _, l := range d.Lines {
		net.Add(net, s.rat(l.Amount))
	}
	tax := new(big.Rat).Mul(net, new(big.Rat).Quo(s.rat(c.vat), big.NewRat(100, 1)))
	total := new(big.Rat).Add(net, s.rat(tax.FloatString(minorPlaces(c.currency))))
	if net.Cmp(s.rat(d.Net)) != 0 || total.Cmp(s.rat(d.Total)) != 0 {
		s.t.Errorf("%s: the lines of %s come to %s, with tax %s; it says %s and %s", s.line, d.Number, net.FloatString(9), total.FloatString(9), d.Net, d.Total)
	}
}

// checkMonths: with a new invoice everything that the customer was billed for its
// month and those before is what is due by now.
func (s *story) checkMonths(list []storyDocument, latest *storyDocument) {
	s.t.Helper()
	c := s.customer(latest.Customer.Name)
	for _, own := range list {
		if own.Kind != "invoice" || own.Number == "" || own.Customer != latest.Customer || own.Month > latest.Month || s.settled[own.ID] {
			continue
		}
		billed := map[string]*big.Rat{}
		for _, d := range list {
			for _, l := range d.Lines {
				if d.Status == "draft" || d.Customer != own.Customer || l.Month != own.Month {
					continue
				}
				key := l.Price.API + " " + l.Price.Endpoint + " " + l.Price.Start
				if billed[key] == nil {
					billed[key] = new(big.Rat)
				}
				billed[key].Add(billed[key], s.rat(l.Amount))
			}
		}
		for key, due := range s.due(c, own.Month) {
			if got := billed[key]; got == nil && due.amount.Sign() != 0 || got != nil && got.Cmp(due.amount) != 0 {
				s.t.Errorf("%s: %s was billed %v for %s in %s; %s of them are %s", s.line, c.name, got, key, own.Month,
					due.quantity.FloatString(3), due.amount.FloatString(2))
			}
			delete(billed, key)
		}
		for key, got := range billed {
			if got.Sign() == 0 { // billed, and taken back
				continue
			}
			s.t.Errorf("%s: %s was billed %s for %s in %s, which nothing says", s.line, c.name, got.FloatString(2), key, own.Month)
		}
	}
}

// checkNote: with a credit note the invoice's month is settled: nothing stays
// billed for it, by whatever document it was.
func (s *story) checkNote(number string, note *storyDocument) {
	s.t.Helper()
	list := s.documents()
	for _, own := range list {
		if own.Number != number {
			continue
		}
		s.settled[own.ID] = true
		left := new(big.Rat)
		for _, d := range list {
			for _, l := range d.Lines {
				if d.Status != "draft" && d.Customer == own.Customer && l.Month == own.Month {
					left.Add(left, s.rat(l.Amount))
				}
			}
		}
		if left.Sign() != 0 || note.CreditFor != number || own.Status != "credited" {
			s.fatal("%s of %s, credited by %s of %s: %s stays billed for %s", own.Number, own.Total, note.Number, note.Total, left.FloatString(2), own.Month)
		}
	}
	s.checkTotal(note)
}
