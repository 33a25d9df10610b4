package mailtest

import (
	"bytes"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
)

func (p *Provider) startSMTP() {
	addr := ""
	switch p.behaviours[0].Kind {
	case "refused":
		addr = closedPort(p.t)
	case "dns_failure":
		addr = "does-not-exist.invalid:25"
	default:
		l := p.listen()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go p.serveSMTP(c)
			}
		}()
		addr = l.Addr().String()
	}
	if p.Auth {
		addr = "user:secret@" + addr
	}
	p.URL = "smtp://" + addr
}

// serveSMTP is one connection, one mail, one behaviour: every command succeeds
// but the one that the behaviour is about.
func (p *Provider) serveSMTP(conn net.Conn) {
	defer conn.Close()
	b := p.next()
	text := textproto.NewConn(conn)
	// answer replies, or does what stands for a reply; it reports whether to go on.
	answer := func(at, reply string) bool {
		if at == b.At {
			reply = b.Reply
		}
		switch reply {
		case "HANG":
			<-p.stop
			return false
		case "DROP":
			return false
		}
		text.PrintfLine("%s", reply)
		return true
	}
	set := p.record(Call{})
	call := Call{}
	if !answer("BANNER", "220 fake ESMTP") || strings.HasPrefix(b.Reply, "421") && b.At == "BANNER" {
		return
	}
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		ok := true
		switch strings.ToUpper(verb) {
		case "EHLO":
			if p.Auth {
				text.PrintfLine("250-fake")
				ok = answer("EHLO", "250 AUTH PLAIN LOGIN")
			} else {
				ok = answer("EHLO", "250 fake")
			}
		case "AUTH":
			ok = answer("AUTH", "235 2.7.0 welcome")
		case "MAIL":
			call.From = envelope(rest)
			set(call)
			ok = answer("MAIL", "250 2.1.0 ok")
		case "RCPT":
			call.To = envelope(rest)
			set(call)
			ok = answer("RCPT", "250 2.1.5 ok")
		case "DATA":
			if ok = answer("DATA", "354 go ahead"); ok && !(b.At == "DATA") {
				ok = readMail(text, &call)
				call.Taken = ok && (b.At != "EOD" || strings.HasPrefix(b.Reply, "250"))
				set(call)
				ok = ok && answer("EOD", "250 2.0.0 queued as Q1")
			}
		case "QUIT":
			text.PrintfLine("221 2.0.0 bye")
			return
		default:
			text.PrintfLine("502 5.5.2 not known")
		}
		if !ok {
			return
		}
	}
}

func readMail(text *textproto.Conn, call *Call) bool {
	data, err := io.ReadAll(text.DotReader())
	if err != nil {
		return false
	}
	call.Body = data
	if m, err := mail.ReadMessage(bytes.NewReader(data)); err == nil {
		call.Header = m.Header
		call.OutboxID, call.HeaderID = m.Header.Get("X-Outbox-Id"), m.Header.Get("Message-Id")
	}
	return true
}

// envelope is the address of "FROM:<a@b> BODY=8BITMIME".
func envelope(rest string) string {
	_, rest, _ = strings.Cut(rest, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}
