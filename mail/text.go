package mail

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// textOf is the text part of an HTML mail: what a reader without HTML should
// see, in time and memory proportional to the mail.
func textOf(body string) string {
	var w textWriter
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken: // the end; there is no HTML that does not parse
			return w.text()
		case html.TextToken:
			if w.hidden == 0 {
				w.write(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			w.open(z.Token())
		case html.EndTagToken:
			name, _ := z.TagName()
			w.close(atom.Lookup(name))
		}
	}
}

// Elements by what they are in a text.
var (
	// A head may be left open, and then ends at the first thing that is to be seen:
	// what is in it is hidden by itself.
	hiddenAtoms = []atom.Atom{atom.Script, atom.Style, atom.Title, atom.Template}
	// apartAtoms stand between blank lines, blockAtoms on lines of their own.
	apartAtoms = []atom.Atom{atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Table, atom.Blockquote}
	blockAtoms = []atom.Atom{atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Pre, atom.Dt, atom.Dd, atom.Address}
)

// textWriter folds white space as a browser does. What separates is written
// only before the next word, so that the text neither begins nor ends with it.
type textWriter struct {
	b        strings.Builder
	newlines int  // due before the next word
	space    bool // due before the next word, if it is on the same line
	hidden   int
	links    []string // of open <a>
}

func (w *textWriter) write(text string) {
	for i, word := range strings.FieldsFunc(text, isSpace) {
		if i > 0 || isSpace(rune(text[0])) {
			w.space = true
		}
		w.word(word)
	}
	if len(text) > 0 && isSpace(rune(text[len(text)-1])) {
		w.space = true
	}
}

// isSpace leaves the no-break space alone.
func isSpace(c rune) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func (w *textWriter) word(word string) {
	if w.b.Len() > 0 {
		if w.newlines > 0 {
			w.b.WriteString("\n\n"[:w.newlines])
		} else if w.space {
			w.b.WriteByte(' ')
		}
	}
	w.newlines, w.space = 0, false
	w.b.WriteString(word)
}

func (w *textWriter) breakLine(n int) { w.newlines = max(w.newlines, n) }

func (w *textWriter) open(t html.Token) {
	switch a := t.DataAtom; {
	case slices.Contains(hiddenAtoms, a):
		if t.Type == html.StartTagToken {
			w.hidden++
		}
	case a == atom.Body:
		w.hidden = 0 // something before it that nobody closed
	case w.hidden > 0:
	case a == atom.Br:
		w.newlines = min(w.newlines+1, 2)
	case a == atom.Hr:
		w.breakLine(1)
		w.word("----")
		w.breakLine(1)
	case a == atom.Li:
		w.breakLine(1)
		w.word("-")
		w.space = true
	case a == atom.Td || a == atom.Th:
		w.space = true
	case a == atom.Img:
		w.write(attribute(t, "alt"))
	case a == atom.A:
		if t.Type == html.StartTagToken && len(w.links) < 100 {
			w.links = append(w.links, attribute(t, "href"))
		}
	default:
		w.around(a)
	}
}

func (w *textWriter) close(a atom.Atom) {
	switch {
	case slices.Contains(hiddenAtoms, a):
		w.hidden = max(0, w.hidden-1)
	case w.hidden > 0:
	case a == atom.A && len(w.links) > 0:
		link := w.links[len(w.links)-1]
		w.links = w.links[:len(w.links)-1]
		scheme, _, _ := strings.Cut(strings.ToLower(link), ":")
		if (scheme == "http" || scheme == "https" || scheme == "mailto") && !strings.ContainsFunc(link, isSpace) {
			w.space = true
			w.word("<" + link + ">")
		}
	default:
		w.around(a)
	}
}

// around is what separates an element, at either end.
func (w *textWriter) around(a atom.Atom) {
	switch {
	case slices.Contains(apartAtoms, a):
		w.breakLine(2)
	case slices.Contains(blockAtoms, a):
		w.breakLine(1)
	}
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (w *textWriter) text() string {
	if w.b.Len() == 0 {
		return "(This mail has no text, only HTML.)\n"
	}
	return w.b.String() + "\n"
}
