package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// storyHashes depend on ids that are made up anew each time.
var storyHashes = regexp.MustCompile(`\b[0-9a-f]{32}(?:[0-9a-f]{32})?\b`)

// storyNumbers of documents.
var storyNumbers = regexp.MustCompile(`\b(INV|CN)-\d{6}\b`)

// innermost is an object or a list without others in it.
var innermost = regexp.MustCompile(`[{\[]\n[^{}\[\]]*[}\]]`)

// get shows an answer: JSON laid out with what is innermost in a line, all else
// as it is.
func (s *story) get(args []string) string {
	s.args(args, 2, "get admin|CUSTOMER PATH")
	key := s.admin
	if args[0] != "admin" {
		key = s.customer(args[0]).key
	}
	answer, status := s.ask("GET", args[1], "", key)
	var out bytes.Buffer
	if json.Indent(&out, answer, "", "  ") != nil {
		out.Reset()
		out.Write(answer)
	}
	text := innermost.ReplaceAllStringFunc(strings.TrimSpace(out.String()), func(part string) string { return strings.Join(strings.Fields(part), " ") })
	return fmt.Sprintf("%d\n%s\n", status, text)
}

// may asks whether a customer may call an endpoint now.
func (s *story) may(args []string) string {
	s.args(args, 3, "may CUSTOMER API ENDPOINT")
	body, err := json.Marshal(map[string]string{"apiName": args[1], "apiversion": storyVersion, "endPointName": args[2]})
	if err != nil {
		s.fatal("%v", err)
	}
	answer, status := s.ask("POST", "/v1/validateRequest", string(body), s.customer(args[0]).key)
	if status != 200 {
		s.fatal("got %d %s", status, answer)
	}
	return fmt.Sprintf("%s %s\n", s.clock.now().Format("2006-01-02 15:04"), answer)
}

// storyDocument is an invoice or a credit note as the API shows it.
type storyDocument struct {
	ID, Kind, Number, Status, Payment, Month, Currency, Net, Total, Reason, CreditFor string

	Customer struct{ ID, Name string }
	Taxes    []struct{ Name, Percent, Amount string }
	Unrated  struct{ Quantity string }
	Lines    []storyLine
}

type storyLine struct {
	Kind, Month, Quantity, Rated, Billed, Amount string

	Price struct{ APIName, API, Endpoint, Model, Start, End string }
	Parts []struct{ Kind, Quantity, Price, Amount string }
}

// documents are all of them, in the order of customers, months and numbers.
func (s *story) documents() (list []storyDocument) {
	s.t.Helper()
	var page struct {
		Invoices []storyDocument
		Next     *string `json:"next_cursor"`
	}
	s.want(200, "GET", "/v1/invoices?limit=1000", nil, &page)
	for i := range page.Invoices {
		var d storyDocument
		s.want(200, "GET", "/v1/invoices/"+page.Invoices[i].ID, nil, &d)
		s.name(&d)
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b storyDocument) int {
		return strings.Compare(a.Customer.Name+a.Month+a.Kind+a.Number, b.Customer.Name+b.Month+b.Kind+b.Number)
	})
	return list
}

// name calls a document by its customer and month, since who gets which number
// depends on ids.
func (s *story) name(d *storyDocument) {
	prefix, _, final := strings.Cut(d.Number, "-")
	if !slices.Contains(s.known, d.ID) {
		s.known = append(s.known, d.ID, "<"+d.Customer.Name+" "+d.Month+" "+d.Kind+">")
	}
	if !final || slices.Contains(s.known, d.Number) {
		return
	}
	name := prefix + "-" + d.Customer.Name + "-" + d.Month
	for slices.Contains(s.known, name) { // a month has one invoice, and may have several credit notes
		name += "+"
	}
	s.known = append(s.known, d.Number, name)
}

// numbers puts numbers in place of the names of documents.
func (s *story) numbers(text string) string {
	for i := 0; i < len(s.known); i += 2 {
		if name := s.known[i+1]; name[0] != '<' {
			text = strings.ReplaceAll(text, name, s.known[i])
		}
	}
	return text
}

// showInvoices shows the documents of a month.
func (s *story) showInvoices(args []string) string {
	s.args(args, 1, "invoices MONTH")
	var out strings.Builder
	for _, d := range s.documents() {
		if d.Month != args[0] {
			continue
		}
		fmt.Fprintf(&out, "%s %s %s: %s\n", d.Customer.Name, d.Kind, strings.Join(strings.Fields(d.Number+" "+d.Status+" "+d.Payment), ", "), d.Total+" "+d.Currency)
		if d.Reason != "" {
			fmt.Fprintf(&out, "    %s\n", strings.TrimSpace(d.CreditFor+" "+d.Reason))
		}
		for _, l := range d.Lines {
			fmt.Fprintf(&out, "    %s of %s, %s %s, %s from %s to %s: quantity %s, %s less %s = %s\n", l.Kind, l.Month, l.Price.API, orDash(l.Price.Endpoint), l.Price.Model,
				l.Price.Start, l.Price.End, l.Quantity, l.Rated, l.Billed, l.Amount)
			for _, p := range l.Parts {
				fmt.Fprintf(&out, "        %s %s × %s = %s\n", p.Kind, orDash(p.Quantity), orDash(p.Price), p.Amount)
			}
		}
		for _, tax := range d.Taxes {
			fmt.Fprintf(&out, "    net %s, %s of %s %%: %s\n", d.Net, tax.Name, tax.Percent, tax.Amount)
		}
		if d.Unrated.Quantity != "" && d.Unrated.Quantity != "0" {
			fmt.Fprintf(&out, "    unrated: quantity %s\n", d.Unrated.Quantity)
		}
	}
	return out.String()
}

// download is a document as customers get it, of HTML the text.
func (s *story) download(args []string) string {
	s.args(args, 2, "download NUMBER csv|html")
	answer, status := s.ask("GET", "/v1/invoices/"+url.PathEscape(args[0])+"/download?format="+args[1], "", s.admin)
	if status != 200 {
		s.fatal("got %d %s", status, answer)
	}
	if args[1] == "html" {
		return textOfPage(answer)
	}
	return string(answer) + "\n"
}

// textOfPage is a line for each row of a table and each paragraph.
func textOfPage(page []byte) string {
	var out strings.Builder
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for skip := ""; ; {
		kind := tokens.Next()
		name, _ := tokens.TagName()
		tag := string(name)
		switch {
		case kind == html.ErrorToken:
			return strings.TrimSpace(emptyLines.ReplaceAllString(out.String(), "\n")) + "\n"
		case kind == html.StartTagToken && (tag == "style" || tag == "title"):
			skip = tag
		case kind == html.EndTagToken && tag == skip:
			skip = ""
		case kind == html.TextToken && skip == "":
			out.WriteString(strings.Join(strings.Fields(html.UnescapeString(string(tokens.Raw()))), " "))
		case kind == html.EndTagToken && (tag == "td" || tag == "th"):
			out.WriteString(" | ")
		case strings.Contains(" tr p h1 br address header ", " "+tag+" "):
			out.WriteString("\n")
		}
	}
}

var emptyLines = regexp.MustCompile(`\n\s*\n+`)
