package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/bench/servers"
	"tallybook/pipeline/broker"
)

// Certificates expire, the broker's and ours, before a pipeline starts and while
// it runs. It is not ready and says which, and goes on by itself when they are
// renewed. (TLS ends in front of an embedded broker here; TestKafkaAccess has
// Kafka's own.)
func TestCertificatesExpire(t *testing.T) {
	inside := nobodyAt(t)
	a := newAuthority(t)
	gate := a.gate(t, inside)
	way, err := servers.StartProxy(gate.Addr().String()) // whose connections can be ended, as by a broker that starts again
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	kafka, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: inside, Advertise: way.Addr(), Partitions: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()

	gate.expired.Store(true)
	a.renewOurs(t, time.Hour)
	addr, data := nobodyAt(t), t.TempDir()
	s := &server{Cmd: tallybookCommand(t, "pipeline", "--data", data, "--http", addr, "--no-auth", "--brokers", way.Addr(), "--kafka-tls",
		"--kafka-ca", a.file("ca.pem"), "--kafka-cert", a.file("client.crt"), "--kafka-key", a.file("client.key")),
		url: "http://" + addr, output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	ready := func() bool { _, status := s.get("/readyz"); return status == http.StatusOK }
	const theirs, ours = "the broker's certificate is not valid now", "the broker refuses our certificate"
	s.until(t, "it waits for a certificate", func() bool {
		body, status := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "waiting for Kafka: "+theirs)
	})
	gate.expired.Store(false)
	s.until(t, "it is ready", ready)

	for why, turn := range map[string]struct{ expire, renew func() }{
		ours:   {func() { a.renewOurs(t, -time.Hour) }, func() { a.renewOurs(t, time.Hour) }},
		theirs: {func() { gate.expired.Store(true) }, func() { gate.expired.Store(false) }},
	} {
		logged := strings.Count(s.output.String(), why)
		turn.expire()
		way.Turn(gate.Addr().String())
		s.until(t, "it is not ready, and the log says: "+why, func() bool { // readiness may name the partitions' broker instead
			return !ready() && strings.Count(s.output.String(), why) > logged
		})
		turn.renew()
		s.until(t, "it is ready again", ready)
	}
	event := `{"specversion":"1.0","id":"1","source":"s","type":"api.request","subject":"acct","data":{"api":"a","endpoint":"/","method":"GET","status":200}}`
	if body, status := s.ask(http.MethodPost, "/v1/events", strings.NewReader(event)); status != http.StatusAccepted {
		t.Errorf("an event: got %d %s", status, body)
	}
	s.until(t, "it is counted", func() bool { return strings.Contains(tallybook(t, "balance", "--data", data).out, "counted 1 ") })
	if code := s.stop(t); code != 0 {
		t.Errorf("got exit code %d", code)
	}
}

// authority signs certificates for 127.0.0.1, all of one key, which stand in dir.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	self *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{dir: t.TempDir(), key: key, self: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	a.write(t, "ca.pem", "CERTIFICATE", a.sign(t, a.self))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "client.key", "PRIVATE KEY", der)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) sign(t *testing.T, cert *x509.Certificate) (der []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, a.self, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// leaf is valid for so long from now; below 0 it has expired.
func (a *authority) leaf(t *testing.T, valid time.Duration) (der []byte) {
	t.Helper()
	return a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: time.Now().Add(valid), KeyUsage: x509.KeyUsageDigitalSignature})
}

func (a *authority) renewOurs(t *testing.T, valid time.Duration) {
	t.Helper()
	a.write(t, "client.crt", "CERTIFICATE", a.leaf(t, valid))
}

// write replaces a file in one step.
func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file("new"), text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(a.file("new"), a.file(name)); err != nil {
		t.Fatal(err)
	}
}

// gate takes TLS off in front of an address, from clients with a certificate.
type gate struct {
	net.Listener
	expired atomic.Bool // its own certificate
}

func (a *authority) gate(t *testing.T, to string) *gate {
	t.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(a.file("ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatalf("authority: %v", err)
	}
	good := &tls.Certificate{Certificate: [][]byte{a.leaf(t, time.Hour)}, PrivateKey: a.key}
	old := &tls.Certificate{Certificate: [][]byte{a.leaf(t, -time.Hour)}, PrivateKey: a.key}
	g := &gate{}
	g.Listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if g.expired.Load() {
				return old, nil
			}
			return good, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	go func() {
		for {
			client, err := g.Accept()
			if err != nil {
				return
			}
			go pass(client, to)
		}
	}()
	return g
}

// pass joins a connection to one to an address, until one of them ends.
func pass(client net.Conn, to string) {
	defer client.Close()
	inside, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer inside.Close()
	go func() {
		_, _ = io.Copy(client, inside) // its end is that of the other way
		client.Close()
	}()
	_, _ = io.Copy(inside, client)
}
