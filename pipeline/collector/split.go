package collector

import (
	"bytes"
	"net/http"

	"tallybook/api"
)

// split cuts a body into its events. Each is checked on its own later; here only
// what stands between them must be right.
func (c *Collector) split(body []byte, allowed form) (events [][]byte, p *api.Failure) {
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		return nil, refuse(http.StatusBadRequest, "the body is empty")
	}
	switch {
	case allowed == lines:
		for line := range bytes.SplitSeq(body, []byte{'\n'}) {
			if line = bytes.Trim(line, " \t\r"); len(line) > 0 {
				if events = append(events, line); len(events) > c.cfg.MaxEvents {
					return nil, c.tooMany()
				}
			}
		}
		return events, nil
	case body[0] == '[' && allowed&batch != 0:
		return c.splitArray(body)
	case body[0] == '[':
		return nil, refuse(http.StatusBadRequest, "this content type takes one event, not an array")
	case allowed&oneEvent == 0:
		return nil, refuse(http.StatusBadRequest, "this content type takes an array of events")
	}
	return [][]byte{body}, nil
}

func (c *Collector) tooMany() *api.Failure {
	return refuse(http.StatusRequestEntityTooLarge, "a request may have up to %d events", c.cfg.MaxEvents)
}

// splitArray cuts at the commas of the outermost array. Where the text is not
// JSON the pieces are not either, and the decoder says so.
func (c *Collector) splitArray(body []byte) (events [][]byte, p *api.Failure) {
	malformed := refuse(http.StatusBadRequest, "the body is not a JSON array")
	depth, start := 0, 1
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			if i = endOfString(body, i+1); i < 0 {
				return nil, malformed
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth > 0 {
				continue
			}
			if depth < 0 || body[i] == ']' != (i == len(body)-1) {
				return nil, malformed
			}
		}
		if depth == 0 || depth == 1 && body[i] == ',' {
			event := bytes.Trim(body[start:i], " \t\r\n")
			start = i + 1
			if len(event) == 0 {
				if depth == 0 && len(events) == 0 {
					return nil, nil // []
				}
				return nil, malformed
			}
			if events = append(events, event); len(events) > c.cfg.MaxEvents {
				return nil, c.tooMany()
			}
		}
	}
	if depth != 0 {
		return nil, malformed
	}
	return events, nil
}

// endOfString is the place of the closing quote of a string whose content begins
// at i, or -1.
func endOfString(body []byte, i int) int {
	for i < len(body) {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return -1
		}
		quote := i + n
		slashes := 0
		for quote-slashes > i && body[quote-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote
		}
		i = quote + 1
	}
	return -1
}
