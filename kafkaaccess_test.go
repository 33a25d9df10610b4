//go:build kafka

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallybook/pipeline/broker"
)

// Every way in, and what an operator reads where there is none.
func TestKafkaAccess(t *testing.T) {
	k := startKafka(t, "KAFKA_SECURE=1")
	tls := broker.Access{Brokers: []string{k.address(2)}, TLS: true, CA: k.file("ca.pem")}
	mutual := tls
	mutual.Brokers, mutual.Cert, mutual.Key = []string{k.address(3)}, k.file("client.crt"), k.file("client.key")
	sasl := func(mechanism string) broker.Access {
		a := tls
		a.Brokers, a.SASL, a.User, a.Password = []string{k.address(4)}, mechanism, "tally", "tally-secret"
		return a
	}
	for name, a := range map[string]broker.Access{"TLS": tls, "client certificate": mutual,
		"plain": sasl("plain"), "scram 256": sasl("scram-sha-256"), "scram 512": sasl("scram-sha-512")} {
		if err := reach(t, a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	with := func(a broker.Access, change func(*broker.Access)) broker.Access { change(&a); return a }
	expired := expiredCertificate(t, k, "client")
	for name, c := range map[string]struct {
		a    broker.Access
		want string
	}{
		"nobody there":        {broker.Access{Brokers: []string{k.address(9)}}, "no broker listens"},
		"unknown authority":   {with(tls, func(a *broker.Access) { a.CA = "" }), "authority that is not known"},
		"plain text to TLS":   {broker.Access{Brokers: tls.Brokers}, "hung up"},
		"TLS to plain text":   {with(tls, func(a *broker.Access) { a.Brokers = k.brokers }), "hung up"},
		"no certificate":      {with(tls, func(a *broker.Access) { a.Brokers = mutual.Brokers }), "refuses our certificate"},
		"another's authority": {with(mutual, func(a *broker.Access) { a.Cert, a.Key = k.file("stranger.crt"), k.file("stranger.key") }), "refuses our certificate"},
		"expired":             {with(mutual, func(a *broker.Access) { a.Cert = expired }), "refuses our certificate"},
		"password":            {with(sasl("plain"), func(a *broker.Access) { a.Password = "wrong" }), "refuses the user or the password"},
		"scram password":      {with(sasl("scram-sha-512"), func(a *broker.Access) { a.Password = "wrong" }), "refuses the user or the password"},
		"no SASL":             {with(tls, func(a *broker.Access) { a.Brokers = []string{k.address(4)} }), "SASL"},
	} {
		if err := reach(t, c.a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	// Each with its own environment.
	t.Run("Secret", func(t *testing.T) { secretPipeline(t, k) })
	t.Run("MendedPassword", func(t *testing.T) { mendedPassword(t, k) })
}

// reach makes and lists the topics, and joins no group.
func reach(t *testing.T, a broker.Access) error {
	t.Helper()
	k, err := broker.Reach(a)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, err = k.EnsureTopics(soon(t), 1, 0)
	return broker.Explain(err)
}

// expiredCertificate is one for the key of this name.
func expiredCertificate(t *testing.T, k *realKafka, name string) string {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "expired.crt")
	script := fmt.Sprintf(`cd %s && openssl req -new -key %s.key -subj /CN=%s -out %s/e.csr && openssl x509 -req -in %s/e.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
		-extfile <(echo subjectAltName=IP:127.0.0.1) -not_before 20200101000000Z -not_after 20200102000000Z -out %s`,
		filepath.Join(k.dir, "tls"), name, name, dir, dir, out)
	if text, err := exec.Command("bash", "-c", script).CombinedOutput(); err != nil {
		script = strings.Replace(script, "-not_before 20200101000000Z -not_after 20200102000000Z", "-days -1", 1) // before OpenSSL 3.4
		if text, err = exec.Command("bash", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return out
}

// A whole process over SCRAM and TLS: it waits while the password is wrong and
// says so, and counts when it is right; the password is in no output.
func secretPipeline(t *testing.T, k *realKafka) {
	t.Helper()
	c := newCluster(t, k)
	secured := &realKafka{dir: k.dir, brokers: []string{k.address(4)}, port: k.port, kafka: k.kafka}
	c.kafka = secured
	flags := []string{"--kafka-tls", "--kafka-ca", k.file("ca.pem"), "--kafka-sasl", "scram-sha-256", "--kafka-user", "tally"}
	file := writeFile(t, "password", "not-tally-secret\n")
	args := append(append([]string{"pipeline", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--kafka-password-file", file}, c.flags()...), flags...)
	s := &server{Cmd: tallybookCommand(t, args...), output: &output{}, ended: make(chan struct{})}
	launch(t, s)
	s.until(t, "it says what is wrong", func() bool { return strings.Contains(s.output.String(), "refuses the user or the password") })
	s.kill(t)

	t.Setenv("TALLYBOOK_KAFKA_PASSWORD", "tally-secret")
	p := c.pipeline(t, flags...)
	c.command(t, append([]string{"generate", "--events", "300", "--totals", os.DevNull}, flags...)...).want(t, 0, "300 records acknowledged")
	c.drained(t)
	p.until(t, "it is ready", p.ready)
	c.command(t, append([]string{"doctor", "--http", strings.TrimPrefix(p.url, "http://"), "--data", p.data}, flags...)...).want(t, 0, "Kafka answers", "no lag")
	began := time.Now()
	if code := p.stop(t); code != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("stop: exit code %d after %s", code, time.Since(began))
	}
	if strings.Contains(s.output.String()+p.output.String(), "tally-secret") {
		t.Errorf("the password is in the output: %s", p.output)
	}
}
