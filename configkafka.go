package main

import (
	"fmt"
	"os"
	"strings"

	"tallybook/pipeline/broker"
)

// kafka is the Kafka that clients of this machine connect to: the one that was
// named, else the embedded one, which asks nobody who he is.
func (c *config) kafka() (*broker.Kafka, error) {
	a := broker.Access{Brokers: c.brokerAddrs(), Compression: c.Compression}
	if len(c.Brokers) > 0 {
		password, err := c.kafkaPassword()
		if err != nil {
			return nil, err
		}
		a.TLS, a.CA, a.Cert, a.Key = c.KafkaTLS, c.KafkaCA, c.KafkaCert, c.KafkaKey
		a.SASL, a.User, a.Password = c.KafkaSASL, c.KafkaUser, password
	}
	k, err := broker.Reach(a)
	if err != nil {
		return nil, fmt.Errorf("reach Kafka: %w", err)
	}
	return k, nil
}

// brokerAddrs are where Kafka clients of this machine connect to: the brokers that
// were named, or that of the process which has the data folder.
func (c *config) brokerAddrs() []string {
	if len(c.Brokers) > 0 {
		return c.Brokers
	}
	if _, broker := lockHolder(c.Data); broker != "" {
		return []string{broker}
	}
	return []string{c.KafkaListen}
}

func (c *config) kafkaPassword() (string, error) {
	if c.KafkaPasswordFile == "" {
		return c.KafkaPassword, nil
	}
	if c.KafkaPassword != "" {
		return "", fmt.Errorf("the password for Kafka is given twice: in the environment or the configuration file, and by --kafka-password-file")
	}
	text, err := os.ReadFile(c.KafkaPasswordFile)
	if err != nil {
		return "", fmt.Errorf("--kafka-password-file: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(first, "\r"), nil
}
