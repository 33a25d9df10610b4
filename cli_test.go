package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// listen takes a port until the test ends.
func listen(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A wrong call, or a set-up that cannot work, says so and ends with 2.
func TestUsage(t *testing.T) {
	taken, file := listen(t), writeFile(t, "file", "")
	empty := t.TempDir()
	free := []string{"--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"}
	for _, c := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"unknown flag", []string{"run", "--no-such"}, "", "unknown flag: --no-such; see 'tallybook run --help'"},
		{"flag without value", []string{"run", "--data"}, "", "flag needs an argument: --data"},
		{"wrong type", []string{"run", "--partitions", "many"}, "", `invalid argument "many" for "--partitions"`},
		{"out of range", []string{"run", "--partitions", "0"}, "", "--partitions 0: allowed are 1 to 1000"},
		{"dedupe too long", []string{"run", "--dedupe-window", "841h"}, "", "allowed are 1m to 840h"},
		{"unknown command", []string{"rum"}, "", `unknown command "rum"`},
		{"argument", []string{"run", "now"}, "", `tallybook run takes no arguments, got ["now"]`},
		{"unknown key", []string{"run", "--config", writeFile(t, "a.yaml", "data: x\nkafka: y\n")}, "", `unknown key "kafka"`},
		{"broken file", []string{"run", "--config", writeFile(t, "b.yaml", "data: [\n")}, "", "b.yaml"},
		{"no file", []string{"run", "--config", filepath.Join(empty, "c.yaml")}, "", "c.yaml"},
		{"unknown variable", []string{"run"}, "TALLYBOOK_DATTA=x", `environment (TALLYBOOK_…): unknown key "datta"`},
		{"wrong variable", []string{"run"}, "TALLYBOOK_PARTITIONS=many", "'partitions' cannot parse value"},
		{"reachable by others", []string{"run", "--no-auth", "--data", empty, "--http", "0.0.0.0:0"}, "", "every caller is an administrator"},
		{"reachable by others, IPv6", []string{"run", "--no-auth", "--data", empty, "--http", "[::]:0"}, "", "every caller is an administrator"},
		{"reachable by others, no host", []string{"run", "--no-auth", "--data", empty, "--http", ":0"}, "", "every caller is an administrator"},
		{"reachable by others, a name", []string{"run", "--no-auth", "--data", empty, "--http", "localhost.example.com:0"}, "", "every caller is an administrator"},
		{"no number", []string{"run", "--rate-limit", "NaN"}, "", "--rate-limit NaN: allowed are 0 (no limit) to 1000000"},
		{"no number for a key", []string{"keys", "create", "--data", empty, "--role", "admin", "--rate", "NaN"}, "", "rate must be from 0"},
		{"broker reachable by others", []string{"run", "--data", empty, "--kafka-listen", "0.0.0.0:0"}, "", "asks nobody for credentials"},
		{"HTTP port in use", []string{"run", "--data", empty, "--http", taken, "--kafka-listen", "127.0.0.1:0"}, "", "address already in use; choose another address with --http"},
		{"Kafka port in use", []string{"run", "--data", empty, "--http", "127.0.0.1:0", "--kafka-listen", taken}, "", "address already in use"},
		{"data folder is a file", append([]string{"run", "--data", file}, free...), "", "data folder"},
		{"data folder below a file", append([]string{"run", "--data", filepath.Join(file, "data")}, free...), "", "not a directory"},
		{"archive is a file", append([]string{"run", "--data", empty, "--archive", file}, free...), "", "archive"},
		{"unknown store", append([]string{"run", "--data", empty, "--store", "mysql://x/y"}, free...), "", "mysql"},
		{"unknown archive", append([]string{"run", "--data", empty, "--archive", "s3://x/y?pathstyle=maybe"}, free...), "", "allowed are true and false"},
		{"demo, port in use", []string{"demo", "--exit", "--data", empty, "--http", taken}, "", "choose another address with --http"},
		{"run with brokers", []string{"run", "--data", empty, "--brokers", taken}, "", "tallybook pipeline"},
		{"pipeline without brokers", []string{"pipeline", "--data", empty}, "", "tallybook run"},
		{"nothing to verify", []string{"verify", "--data", filepath.Join(empty, "none")}, "", "name the folder with --data"},
		{"nothing to balance", []string{"balance", "--data", filepath.Join(empty, "none")}, "", "name the folder with --data"},
		{"no keys here", []string{"keys", "list", "--data", filepath.Join(empty, "none")}, "", "name the folder with --data"},
		{"no errors here", []string{"errors", "list", "--data", filepath.Join(empty, "none")}, "", "name the folder with --data"},
		{"no invoices here", []string{"invoice", "list", "--data", filepath.Join(empty, "none")}, "", "name the folder with --data"},
		{"no such month", []string{"invoice", "list", "--month", "2026-1"}, "", `--month "2026-1": must be YYYY-MM`},
		{"import nothing", []string{"import"}, "", "import takes one file, got 0"},
		{"import to nobody", []string{"import", file, "--data", empty, "--kafka-listen", "127.0.0.1:1"}, "", "start 'tallybook run' first"},
		{"generate at no time", []string{"generate", "--start", "noon"}, "", "not an RFC 3339 time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := tallybookCommand(t, c.args...)
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			finish(t, cmd).want(t, 2, "tallybook: ", c.want)
		})
	}
}

func TestHelp(t *testing.T) {
	tallybook(t).want(t, 0, "Available Commands", "doctor")
	tallybook(t, "run", "--help").want(t, 0, "--kafka-listen", "127.0.0.1:9092")
	tallybook(t, "--version").want(t, 0, "tallybook version")
}

func TestRetainForLongEnough(t *testing.T) {
	for _, flag := range []string{"retain-mails", "retain-errors"} {
		for keep, allowed := range map[string]bool{"0": true, "168h": true, "167h59m59s": false, "-168h": false} {
			flags := rootCommand().PersistentFlags()
			if err := flags.Parse([]string{"--" + flag, keep}); err != nil {
				t.Fatal(err)
			}
			if _, err := loadConfig(flags); (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "--"+flag+" "+keep) {
				t.Errorf("--%s %s: got %v, allowed %v", flag, keep, err, allowed)
			}
		}
	}
}

// Flags win over the environment, which wins over the file.
func TestConfigOrder(t *testing.T) {
	path := writeFile(t, "c.yaml", "data: file\nhttp: 127.0.0.1:1\npartitions: 3\ncheckpoint-interval: 3s\nbrokers: [a:1, b:2]\n")
	t.Setenv("TALLYBOOK_HTTP", "127.0.0.1:2")
	t.Setenv("TALLYBOOK_PARTITIONS", "5")
	flags := rootCommand().PersistentFlags()
	if err := flags.Parse([]string{"--config", path, "--partitions", "7"}); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "file" || c.HTTP != "127.0.0.1:2" || c.Partitions != 7 || c.Interval.Seconds() != 3 || c.Replication != 0 ||
		strings.Join(c.Brokers, " ") != "a:1 b:2" {
		t.Errorf("got %+v", c)
	}
	t.Setenv("TALLYBOOK_BROKERS", "c:3,d:4")
	if c, err = loadConfig(flags); err != nil || strings.Join(c.Brokers, " ") != "c:3 d:4" {
		t.Errorf("brokers of the environment: got %q, %v", c.Brokers, err)
	}
}
