package api

import (
	"net"
	"net/http"
	"strings"
)

var otherOrigins = http.NewCrossOriginProtection()

// notAPage refuses what a page of another site makes a browser on this machine
// send: where no key is asked for, a loopback address does not keep it away.
// Neither the site's own scripts may write, nor may a name of its own that it
// points here be read through.
func (g *Guard) notAPage(r *http.Request) error {
	if otherOrigins.Check(r) != nil {
		return Forbidden("without keys nothing is taken from a page of another site")
	}
	if g.Local && !localHost(r.Host) {
		return Forbidden("without keys this server answers under addresses of this machine, such as localhost, and not as %.255q", r.Host)
	}
	return nil
}

// localHost: addresses, localhost, and names without a dot, which no other site
// can have.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	host = strings.TrimSuffix(host, ".")
	return net.ParseIP(host) != nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}
