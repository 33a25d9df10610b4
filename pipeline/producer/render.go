package producer

import (
	"fmt"
	"strconv"
	"time"

	"tallybook/schemas"
)

// render appends the event as structured JSON.
func (g *synth) render(b []byte, i int64, e *sample, account []byte) []byte {
	r := g.random(i, 4)
	b = append(b, `{"specversion":"1.0","id":"`...)
	b = appendUUID(b, r.next(), r.next())
	b = append(b, `","source":"gateway-`...)
	b = append(b, '1'+byte(e.rest&7))
	b = append(b, `","type":"`...)
	switch e.topic {
	case 0:
		b = append(b, schemas.TypeRequest...)
	case 1:
		b = append(b, schemas.TypeAPIError...)
	default:
		b = append(append(b, schemas.EmailPrefix...), mailEvents[e.mail]...)
	}
	b = append(append(append(b, `","subject":"`...), account...), `","time":"`...)
	b = appendMicros(b, e.time)
	b = append(b, `","data":`...)
	if e.topic == 2 {
		return g.renderMail(b, e)
	}
	b = append(b, g.routes[e.route]...)
	b = append(b, byte('0'+e.status/100), byte('0'+e.status/10%10), byte('0'+e.status%10))
	if e.topic == 1 {
		b = append(b, `,"error_code":"E`...)
		b = strconv.AppendInt(b, int64(e.status)*10+int64(e.rest>>8&3), 10)
		b = append(b, `","error_description":"the request could not be answered"`...)
	} else {
		b = append(b, `,"latency_ms":`...)
		b = appendThousandths(b, e.latency)
		b = append(b, `,"bytes":`...)
		b = strconv.AppendInt(b, e.bytes, 10)
		if e.quantity != 1000 {
			b = append(b, `,"quantity":`...)
			b = appendThousandths(b, e.quantity)
		}
	}
	b = append(b, `,"client_ip":"10.`...)
	b = strconv.AppendUint(b, e.rest>>8&3, 10)
	b = strconv.AppendUint(append(b, '.'), e.rest>>16&0xff, 10)
	b = strconv.AppendUint(append(b, '.'), e.rest>>24&0xff, 10)
	return append(b, `"}}`...)
}

func (g *synth) renderMail(b []byte, e *sample) []byte {
	b = append(b, `{"domain":"mg`...)
	b = strconv.AppendUint(b, e.rest>>8&3, 10)
	b = append(append(b, `.example.com","event":"`...), mailEvents[e.mail]...)
	b = append(b, `","recipient":"user`...)
	b = strconv.AppendUint(b, e.rest>>16&0xfff, 10)
	b = append(b, `@example.net","direction":"outgoing","transport":"smtp"`...)
	if mailEvents[e.mail] == "failed" {
		b = append(b, `,"severity":"permanent","reason":"bounce"`...)
	}
	return append(b, `,"provider":"mailgun"}}`...)
}

// hexPairs[2*n:2*n+2] is n in hex.
var hexPairs = func() (pairs [512]byte) {
	for n := range 256 {
		copy(pairs[2*n:], fmt.Sprintf("%02x", n))
	}
	return pairs
}()

// appendUUID appends a version 4 UUID.
func appendUUID(b []byte, hi, lo uint64) []byte {
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	text := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	for n, at := range [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		word := hi
		if n >= 8 {
			word = lo
		}
		pair := int(word>>(56-8*(n&7))&0xff) * 2
		text[at], text[at+1] = hexPairs[pair], hexPairs[pair+1]
	}
	return append(b, text[:]...)
}

// appendThousandths appends n/1000 with three digits behind the point.
func appendThousandths(b []byte, n int64) []byte {
	b = strconv.AppendInt(b, n/1000, 10)
	f := n % 1000
	return append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

// appendMicros appends µs since 1970 as 2026-01-01T00:12:31.123456Z.
func appendMicros(b []byte, micros int64) []byte {
	t := time.UnixMicro(micros).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	us := t.Nanosecond() / 1000
	b = appendPair(appendPair(b, year/100), year%100)
	b = appendPair(append(b, '-'), int(month))
	b = appendPair(append(b, '-'), day)
	b = appendPair(append(b, 'T'), hour)
	b = appendPair(append(b, ':'), minute)
	b = appendPair(append(b, ':'), second)
	b = appendPair(append(b, '.'), us/10_000)
	b = appendPair(appendPair(b, us/100%100), us%100)
	return append(b, 'Z')
}

func appendPair(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
