package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composed is what we look at in a service of docker-compose.yml. Whether the
// file as a whole is one is looked at by bench/deploy.
type composed struct {
	Image       string
	Command     []string
	Environment map[string]string
	Ports       []string
	Healthcheck struct{ Test []string }
}

// Each of our services is started with flags and settings that there are, and
// nobody but this machine reaches what asks for no credentials.
func TestComposeFiles(t *testing.T) {
	for file, want := range map[string][]string{
		"docker-compose.yml": {"jobs", "pipeline-1", "pipeline-2", "query", "sample"},
		"compose.single.yml": {"tallybook"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Services map[string]composed }
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var ours []string
		for name, s := range doc.Services {
			for _, port := range s.Ports {
				if !strings.HasPrefix(port, "127.0.0.1:") {
					t.Errorf("%s: %s publishes %s beyond loopback, without TLS", file, name, port)
				}
			}
			if s.Image != "tallybook" {
				continue
			}
			ours = append(ours, name)
			t.Run(file+" "+name, func(t *testing.T) {
				parsesAsOurs(t, s.Command, s.Environment)
				if len(s.Healthcheck.Test) > 2 {
					parsesAsOurs(t, s.Healthcheck.Test[2:], s.Environment)
				}
			})
		}
		slices.Sort(ours)
		if !slices.Equal(ours, want) {
			t.Errorf("%s: got services %v, want %v", file, ours, want)
		}
	}
}

func parsesAsOurs(t *testing.T, args []string, environment map[string]string) {
	t.Helper()
	for name, value := range environment {
		t.Setenv(name, value)
	}
	root := rootCommand()
	cmd, rest, err := root.Find(args)
	if err != nil || cmd == root {
		t.Fatalf("%v: %v", args, err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	c, err := loadConfig(root.PersistentFlags())
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	if least := 3; len(c.Brokers) > 0 && c.Partitions < least {
		t.Errorf("%v: got %d partitions, want %d or more", args, c.Partitions, least)
	}
}
