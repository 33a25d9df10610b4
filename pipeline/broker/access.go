package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Access is how to reach a cluster, and who asks. Zero values mean plain TCP,
// nobody in particular, and lz4.
type Access struct {
	Brokers     []string // host:port of one broker or more
	TLS         bool
	CA          string // PEM file; "": the system's authorities
	Cert, Key   string // PEM files of the client's certificate; "": none
	SASL        string // one of Mechanisms; "": none
	User        string
	Password    string
	Compression string // one of Codecs, of what is produced; "": lz4
}

// Mechanisms are the ways of SASL that are spoken here.
var Mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}

// Codecs are the compressions of what is produced; all of them are read.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

var codecs = []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}

// Reach connects to nothing yet. An error is one of the settings or their files.
func Reach(a Access) (*Kafka, error) {
	k := NewKafka(a.Brokers...)
	if a.Compression != "" {
		i := slices.Index(Codecs, a.Compression)
		if i < 0 {
			return nil, fmt.Errorf("compression %q: allowed are %s", a.Compression, strings.Join(Codecs, ", "))
		}
		k.Compression = codecs[i]
	}
	config, err := a.tls()
	if err != nil {
		return nil, err
	}
	mechanism, err := a.mechanism()
	if err != nil {
		return nil, err
	}
	k.Transport.TLS, k.Dialer.TLS = config, config
	k.Transport.SASL, k.Dialer.SASLMechanism = mechanism, mechanism
	return k, nil
}

// tls reads the client's certificate again for each connection, so that a
// renewed one is used without a restart; the files must be sound at the start.
func (a *Access) tls() (*tls.Config, error) {
	if !a.TLS {
		if a.CA != "" || a.Cert != "" || a.Key != "" {
			return nil, fmt.Errorf("certificates for Kafka are given, and TLS is off")
		}
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("authorities for Kafka: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities for Kafka: %s has no certificate in PEM", a.CA)
		}
	}
	if (a.Cert == "") != (a.Key == "") {
		return nil, fmt.Errorf("a client certificate for Kafka needs both, certificate and key")
	}
	if a.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
			if err != nil {
				return nil, fmt.Errorf("client certificate for Kafka: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

func (a *Access) mechanism() (sasl.Mechanism, error) {
	if a.SASL == "" {
		if a.User != "" || a.Password != "" {
			return nil, fmt.Errorf("a user or password for Kafka is given, and no SASL mechanism: %s", strings.Join(Mechanisms, ", "))
		}
		return nil, nil
	}
	if a.User == "" || a.Password == "" {
		return nil, fmt.Errorf("SASL %s needs a user and a password", a.SASL)
	}
	switch a.SASL {
	case "plain":
		return plain.Mechanism{Username: a.User, Password: a.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, a.User, a.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, a.User, a.Password)
	}
	return nil, fmt.Errorf("SASL mechanism %q: allowed are %s", a.SASL, strings.Join(Mechanisms, ", "))
}
