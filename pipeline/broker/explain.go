package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Explain puts what an operator can do about an error of Kafka in front of it.
// Errors that it does not know stay as they are.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if why := reason(err); why != "" {
		return fmt.Errorf("%s (%w)", why, err)
	}
	return err
}

func reason(err error) string {
	if why := certificateReason(err); why != "" {
		return why
	}
	for _, known := range []struct {
		is  error
		why string
	}{
		{kafka.SASLAuthenticationFailed, "Kafka refuses the user or the password: look at --kafka-user and TALLYBOOK_KAFKA_PASSWORD"},
		{kafka.UnsupportedSASLMechanism, "Kafka does not offer this SASL mechanism at this address: look at --kafka-sasl"},
		{kafka.IllegalSASLState, "Kafka asks for SASL at this address: look at --kafka-sasl"},
		{kafka.TopicAuthorizationFailed, "the user may not use the topic: Kafka's ACLs must allow Describe, Read, Write and, to make topics, Create"},
		{kafka.GroupAuthorizationFailed, "the user may not use the consumer group: Kafka's ACLs must allow Read on group tallybook"},
		{kafka.ClusterAuthorizationFailed, "the user may not do this in the cluster: look at Kafka's ACLs"},
		{kafka.LeaderNotAvailable, "a partition has no leader: its brokers are down, or an election is under way"},
		{protocol.ErrNoLeader, "a partition has no leader: its brokers are down, or an election is under way"}, // the client's own word
		{kafka.NotLeaderForPartition, "the partition's leader has moved"},
		{kafka.BrokerNotAvailable, "a partition's broker is down"},
		{kafka.NotEnoughReplicas, "fewer replicas are in sync than min.insync.replicas asks for: brokers are down"},
		{kafka.NotEnoughReplicasAfterAppend, "fewer replicas are in sync than min.insync.replicas asks for: brokers are down"},
		{kafka.InvalidReplicationFactor, "there are fewer brokers than replicas are asked for (--replication): start the others"},
		{kafka.KafkaStorageError, "the broker cannot use its disk: it is full, broken or read-only"},
		{kafka.GroupCoordinatorNotAvailable, "the consumer group has no coordinator: Kafka starts, or the partitions of __consumer_offsets have no leader"},
		{syscall.ECONNREFUSED, "no broker listens at this address: it is down, or --brokers is wrong"},
	} {
		if errors.Is(err, known.is) {
			return known.why
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return "the broker hung up: it is going down, or expects TLS or no TLS at this address (--kafka-tls), or SASL (--kafka-sasl)"
	}
	return ""
}

// certificateReason tells the broker's certificate, which we check, from ours.
func certificateReason(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		return fmt.Sprintf("the broker's certificate is not valid now, only from %s to %s: renew it, or look at this machine's clock",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		return "the broker's certificate is signed by an authority that is not known here: name its file with --kafka-ca"
	}
	var host x509.HostnameError
	if errors.As(err, &host) {
		return "the broker's certificate is for other names than the one in --brokers or in advertised.listeners"
	}
	var alert tls.AlertError
	if errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls:") {
		return "the broker refuses our certificate, or that there is none: look at --kafka-cert, --kafka-key and whether it has expired"
	}
	return ""
}
