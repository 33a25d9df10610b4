package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"tallybook/jobs"
	"tallybook/schemas"
)

// config is what every command may be told: by flag, by TALLYBOOK_… in the
// environment, or in the YAML file that --config names, in this order.
type config struct {
	Data        string        `koanf:"data"`
	HTTP        string        `koanf:"http"`
	KafkaListen string        `koanf:"kafka-listen"`
	Advertise   string        `koanf:"kafka-advertise"`
	Brokers     []string      `koanf:"brokers"`
	Store       string        `koanf:"store"`
	Archive     string        `koanf:"archive"`
	Partitions  int           `koanf:"partitions"`
	Replication int           `koanf:"replication"`
	NoAuth      bool          `koanf:"no-auth"`
	Insecure    bool          `koanf:"insecure"`
	LogMaxBytes int64         `koanf:"log-max-bytes"`
	MaxRecord   int           `koanf:"max-record-bytes"`
	Interval    time.Duration `koanf:"checkpoint-interval"`
	DedupeSpan  time.Duration `koanf:"dedupe-window"`
	DedupeIDs   int64         `koanf:"dedupe-max-ids"`
	DedupeDisk  int64         `koanf:"dedupe-disk-ids"`
	OldestEvent string        `koanf:"oldest-event"`
	AlertEmail  string        `koanf:"alert-email"`
	AlertFrom   string        `koanf:"alert-from"`
	AlertHook   string        `koanf:"alert-webhook"`
	AlertSecret string        `koanf:"alert-webhook-secret"`
	LogLevel    string        `koanf:"log-level"`
	CPUProfile  string        `koanf:"cpu-profile"`

	Meters      []schemas.MeterDefinition `koanf:"-"` // declared in the file
	MailSection []byte                    `koanf:"-"` // of the file
	MailConfig  string                    `koanf:"mail-config"`
	RateLimit   float64                   `koanf:"rate-limit"`
	MailgunKey  string                    `koanf:"mailgun-signing-key"`
	MandrillKey string                    `koanf:"mandrill-webhook-key"`
	PublicURL   string                    `koanf:"public-url"`

	InvoiceGrace  time.Duration `koanf:"invoice-grace"`
	InvoiceIssuer string        `koanf:"invoice-issuer"`
	InvoiceNote   string        `koanf:"invoice-note"`

	CompactAfter time.Duration `koanf:"compact-after"`
	RetiredKeep  time.Duration `koanf:"retired-keep"`
	RetainMails  time.Duration `koanf:"retain-mails"`
	RetainErrors time.Duration `koanf:"retain-errors"`

	KafkaTLS          bool   `koanf:"kafka-tls"`
	KafkaCA           string `koanf:"kafka-ca"`
	KafkaCert         string `koanf:"kafka-cert"`
	KafkaKey          string `koanf:"kafka-key"`
	KafkaSASL         string `koanf:"kafka-sasl"`
	KafkaUser         string `koanf:"kafka-user"`
	KafkaPassword     string `koanf:"kafka-password"` // no flag: others see a process's arguments
	KafkaPasswordFile string `koanf:"kafka-password-file"`
	Compression       string `koanf:"compression"`

	now func() time.Time // nil: time.Now; tests move it
}

func addFlags(f *pflag.FlagSet) {
	f.String("config", "", "YAML `file` with any of these flags as keys")
	f.String("data", "./data", "`folder` of everything that is kept")
	f.String("http", "127.0.0.1:8080", "`address` of the HTTP server")
	f.String("kafka-listen", "127.0.0.1:9092", "`address` of the embedded Kafka broker")
	f.String("kafka-advertise", "", "`host:port` that Kafka clients are told to come back to, where --kafka-listen is a wildcard address")
	f.StringSlice("brokers", nil, "`host:port,…` of an external Kafka, instead of the embedded broker")
	f.String("store", "", "store `URL` (default: SQLite in the data folder)")
	f.String("archive", "", "archive `URL` (default: a folder in the data folder)")
	f.Int("partitions", 4, "partitions of each topic, when topics are made")
	f.Int("replication", 0, "replicas of each topic on an external Kafka, when topics are made (default: 3 where there are three brokers, else 1)")
	f.Bool("kafka-tls", false, "speak TLS with the brokers of --brokers")
	f.String("kafka-ca", "", "PEM `file` of the authorities that sign the brokers' certificates (default: the system's)")
	f.String("kafka-cert", "", "PEM `file` of the client's certificate, read again for each connection")
	f.String("kafka-key", "", "PEM `file` of its key")
	f.String("kafka-sasl", "", "SASL `mechanism`: plain, scram-sha-256 or scram-sha-512")
	f.String("kafka-user", "", "`name` for SASL; the password is TALLYBOOK_KAFKA_PASSWORD in the environment or a file")
	f.String("kafka-password-file", "", "`file` whose first line is the password for SASL")
	f.String("compression", "lz4", "`codec` of what is produced to Kafka: none, gzip, snappy, lz4 or zstd")
	f.Bool("no-auth", false, "every caller is an administrator; on loopback addresses only")
	f.Bool("insecure", false, "allow what is refused for safety, such as --no-auth on other addresses")
	f.Int64("log-max-bytes", 1<<30, "size limit of the embedded broker's log; beyond it events are refused with 503")
	f.Int("max-record-bytes", 1<<20, "largest record that is processed; larger ones become error rows")
	f.Duration("checkpoint-interval", time.Second, "longest time between two checkpoints of a partition")
	f.Duration("dedupe-window", 24*time.Hour, "how long a repeat is recognised, in log clock; at most 35 days (840h)")
	f.Int64("dedupe-max-ids", 10_000_000, "ids remembered in memory at most, about 27 bytes each")
	f.Int64("dedupe-disk-ids", 100_000_000, "ids past these remembered in files of the data folder at most, 16 bytes each and 1.5 of memory; 0: none")
	f.String("oldest-event", "2000-01-01T00:00:00Z", "events of an earlier `time` are refused")
	f.String("alert-email", "", "`address` of the operators")
	f.String("alert-from", "", "`address` that alerts are sent from (default: that of --alert-email)")
	f.String("alert-webhook", "", "`URL` that alerts are posted to (default: none)")
	f.String("alert-webhook-secret", "", "`secret` that these posts are signed with (HMAC-SHA256); better in the environment than in a list of processes")
	f.Float64("rate-limit", 0, "requests a second and key, where a key has no rate of its own; 0: no limit")
	f.String("mailgun-signing-key", "", "`key` that Mailgun signs its webhooks with, where an account has none of its own; better in the environment than in a list of processes")
	f.String("mandrill-webhook-key", "", "`key` that Mandrill signs its webhooks with, as above")
	f.String("public-url", "", "`URL` that the outside reaches this server by: Mandrill signs it")
	f.String("invoice-issuer", "", "who issues invoices, in `lines`: name, address, tax number")
	f.String("invoice-note", "", "`text` on every invoice, such as how to pay")
	f.Duration("invoice-grace", jobs.DefaultGrace, "how long after its month an invoice becomes final; late events go into the next one")
	f.Duration("compact-after", jobs.DefaultCompactAfter, "how long after a date has ended (UTC), and after they were written, its small archive files are merged")
	f.Duration("retired-keep", jobs.DefaultRetiredKeep, "how long an archive file stays in its folder after it was merged into another, for who still reads it")
	f.Duration("retain-mails", 0, "how long mails that were sent or given up are kept, with their Idempotency-Keys, and alerts that were delivered; at least 168h (7 days); 0: for ever")
	f.Duration("retain-errors", 0, "how long error rows are kept that are resolved or were sent again; at least 168h (7 days); 0: for ever")
	f.String("mail-config", "", "JSON or YAML `file` of mail providers (default: mails are written to DATA/mail)")
	f.String("log-level", "info", "debug, info, warn or error")
	f.String("cpu-profile", "", "`file` for a profile of where this process spends its CPU, written when it ends; go tool pprof reads it")
}

const envPrefix = "TALLYBOOK_"

// noFlag are keys of environment and file only: others see a process's arguments.
var noFlag = []string{"kafka-password"}

// loadConfig merges defaults, file, environment and flags; a name that nobody
// knows is an error, wherever it stands.
func loadConfig(flags *pflag.FlagSet) (*config, error) {
	var c config
	k := koanf.New("\x00")
	if path, err := flags.GetString("config"); err == nil && path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("configuration file %s: %w", path, err)
		}
		if c.Meters, err = takeMeters(k); err != nil {
			return nil, fmt.Errorf("configuration file %s: %w", path, err)
		}
		if c.MailSection, err = takeMail(k); err != nil {
			return nil, fmt.Errorf("configuration file %s: %w", path, err)
		}
		if err := knownKeys(k.Keys(), flags, "configuration file "+path); err != nil {
			return nil, err
		}
	}
	envs := koanf.New("\x00")
	err := envs.Load(env.Provider("\x00", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-"), value
	}}), nil)
	if err != nil {
		return nil, err
	}
	if err := knownKeys(envs.Keys(), flags, "environment ("+envPrefix+"…)"); err != nil {
		return nil, err
	}
	if v, ok := envs.Get("brokers").(string); ok {
		if err := envs.Set("brokers", strings.Split(v, ",")); err != nil {
			return nil, err
		}
	}
	if err := k.Merge(envs); err != nil {
		return nil, err
	}
	if err := k.Load(posflag.Provider(flags, "\x00", k), nil); err != nil {
		return nil, err
	}
	if err := k.Unmarshal("", &c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return &c, c.check()
}

func knownKeys(keys []string, flags *pflag.FlagSet, where string) error {
	for _, key := range keys {
		if flags.Lookup(key) == nil && !slices.Contains(noFlag, key) || key == "config" {
			var names []string
			flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
			return fmt.Errorf("%s: unknown key %q; known are %s", where, key, strings.Join(names, ", "))
		}
	}
	return nil
}

func (c *config) check() error {
	switch {
	case c.Partitions < 1 || c.Partitions > 1000:
		return fmt.Errorf("--partitions %d: allowed are 1 to 1000", c.Partitions)
	case c.Replication < 0 || c.Replication > 9:
		return fmt.Errorf("--replication %d: allowed are 0 (by the number of brokers) to 9", c.Replication)
	case c.DedupeSpan < time.Minute || c.DedupeSpan > 35*24*time.Hour:
		return fmt.Errorf("--dedupe-window %s: allowed are 1m to 840h (35 days)", c.DedupeSpan)
	case c.DedupeIDs < 1000:
		return fmt.Errorf("--dedupe-max-ids %d: at least 1000", c.DedupeIDs)
	case c.DedupeDisk < 0:
		return fmt.Errorf("--dedupe-disk-ids %d: at least 0 (no files)", c.DedupeDisk)
	case c.Interval < 10*time.Millisecond || c.Interval > time.Minute:
		return fmt.Errorf("--checkpoint-interval %s: allowed are 10ms to 1m", c.Interval)
	case c.LogMaxBytes < 64<<20:
		return fmt.Errorf("--log-max-bytes %d: at least %d (64 MiB)", c.LogMaxBytes, 64<<20)
	case c.MaxRecord < 1024 || c.MaxRecord > 64<<20:
		return fmt.Errorf("--max-record-bytes %d: allowed are 1024 to %d", c.MaxRecord, 64<<20)
	case c.AlertHook != "" && !strings.HasPrefix(c.AlertHook, "https://") && !strings.HasPrefix(c.AlertHook, "http://"):
		return fmt.Errorf("--alert-webhook %q: it must begin with https:// or http://", c.AlertHook)
	case c.AlertHook != "" && len(c.AlertSecret) < 16:
		return errors.New("--alert-webhook needs --alert-webhook-secret of at least 16 characters")
	case !(c.RateLimit >= 0 && c.RateLimit <= 1e6): // NaN is neither
		return fmt.Errorf("--rate-limit %g: allowed are 0 (no limit) to 1000000", c.RateLimit)
	case c.PublicURL != "" && !strings.HasPrefix(c.PublicURL, "https://") && !strings.HasPrefix(c.PublicURL, "http://"):
		return fmt.Errorf("--public-url %q: it must begin with https:// or http://", c.PublicURL)
	case len(c.InvoiceIssuer) > maxInvoiceText || len(c.InvoiceNote) > maxInvoiceText:
		return fmt.Errorf("--invoice-issuer and --invoice-note may have up to %d bytes each", maxInvoiceText)
	case c.InvoiceGrace < 0 || c.InvoiceGrace > 90*24*time.Hour:
		return fmt.Errorf("--invoice-grace %s: allowed are 0 to 2160h (90 days)", c.InvoiceGrace)
	case c.CompactAfter < 0 || c.RetiredKeep < 0:
		return fmt.Errorf("--compact-after %s, --retired-keep %s: at least 0", c.CompactAfter, c.RetiredKeep)
	case c.RetainMails != 0 && c.RetainMails < jobs.RetainAtLeast || c.RetainErrors != 0 && c.RetainErrors < jobs.RetainAtLeast:
		return fmt.Errorf("--retain-mails %s, --retain-errors %s: allowed are 0 (for ever) and at least %s", c.RetainMails, c.RetainErrors, jobs.RetainAtLeast)
	case !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel):
		return fmt.Errorf("--log-level %q: allowed are debug, info, warn, error", c.LogLevel)
	}
	if _, err := c.oldest(); err != nil {
		return fmt.Errorf("--oldest-event %q: not an RFC 3339 time", c.OldestEvent)
	}
	_, err := c.kafka()
	return err
}

func (c *config) oldest() (time.Time, error) { return time.Parse(time.RFC3339, c.OldestEvent) }

func (c *config) storeURL() string {
	if c.Store != "" {
		return c.Store
	}
	return filepath.Join(c.Data, "tallybook.db")
}

func (c *config) archiveURL() string {
	if c.Archive != "" {
		return c.Archive
	}
	return filepath.Join(c.Data, "archive")
}

// loopbackOnly refuses addresses that others can reach, for the reason why.
func (c *config) loopbackOnly(flag, addr, why string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--%s %q: want host:port", flag, addr)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() || c.Insecure {
		return nil
	}
	return fmt.Errorf("--%s %s: %s; use a loopback address such as 127.0.0.1, or --insecure where the network keeps others away", flag, addr, why)
}

func (c *config) logger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // checked
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// usageError is a wrong call or a set-up that cannot work: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode: 0 good, 1 a difference or a failed check, 2 usage or set-up.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}
