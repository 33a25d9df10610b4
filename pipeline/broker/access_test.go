package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

func TestReachRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		access Access
		want   string
	}{
		"codec":               {Access{Compression: "brotli"}, "allowed are none, gzip"},
		"files without TLS":   {Access{CA: empty}, "TLS is off"},
		"no such authorities": {Access{TLS: true, CA: "none.pem"}, "no such file"},
		"empty authorities":   {Access{TLS: true, CA: empty}, "no certificate in PEM"},
		"half a certificate":  {Access{TLS: true, Cert: empty}, "needs both"},
		"no certificate":      {Access{TLS: true, Cert: empty, Key: empty}, "client certificate for Kafka"},
		"mechanism":           {Access{SASL: "gssapi", User: "u", Password: "p"}, "allowed are plain"},
		"no password":         {Access{SASL: "plain", User: "u"}, "needs a user and a password"},
		"no mechanism":        {Access{User: "u", Password: "p"}, "no SASL mechanism"},
	} {
		if _, err := Reach(c.access); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	k, err := Reach(Access{Brokers: []string{"a:1"}, TLS: true, SASL: "scram-sha-512", User: "u", Password: "p", Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	if k.Transport.TLS == nil || k.Dialer.TLS == nil || k.Transport.SASL.Name() != "SCRAM-SHA-512" || k.Dialer.SASLMechanism == nil || k.Compression != kafka.Zstd {
		t.Errorf("got %+v", k)
	}
}

func TestExplainKeepsTheError(t *testing.T) {
	for _, err := range []error{kafka.SASLAuthenticationFailed, kafka.LeaderNotAvailable, errors.New("something else")} {
		if got := Explain(err); !errors.Is(got, err) {
			t.Errorf("got %v, want %v in it", got, err)
		}
	}
	// The client says it in its own words where no broker is asked at all.
	if got := Explain(fmt.Errorf("fetch: %w", protocol.NewErrNoLeader("usage", 1))); !strings.Contains(got.Error(), "its brokers are down") {
		t.Errorf("no leader: got %v", got)
	}
	if got := Explain(nil); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
