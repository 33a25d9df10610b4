package mail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
)

// Types of providers.
const (
	TypeMailgun  = "mailgun"
	TypeMandrill = "mandrill"
	TypeSMTP     = "smtp"
	TypeLog      = "log"
)

// Types lists them all.
var Types = []string{TypeMailgun, TypeMandrill, TypeSMTP, TypeLog}

// Config says which providers there are, the first to be asked first, and how
// long to bear with them. ParseConfig makes one; Defaults has all but providers.
type Config struct {
	Providers         []ProviderConfig
	AttemptTimeout    time.Duration
	RoundTimeout      time.Duration
	Breaker           BreakerConfig
	RateLimitHold     time.Duration // where the provider names none
	ConfigurationHold time.Duration
	Retry             []time.Duration // between rounds; the last repeats
	GiveUpAfter       time.Duration   // since the mail was accepted
}

// ProviderConfig is one provider.
type ProviderConfig struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	APIKey string `json:"api_key"`
}

// BreakerConfig is when a breaker opens and for how long.
type BreakerConfig struct {
	Failures      int           // in a row
	OpenFor       time.Duration // the first time; doubled when the probe fails
	OpenForAtMost time.Duration
	Probes        int // at a time, when half-open
}

// Defaults are those of the API document.
func Defaults() Config {
	return Config{
		AttemptTimeout:    5 * time.Second,
		RoundTimeout:      12 * time.Second,
		Breaker:           BreakerConfig{Failures: 5, OpenFor: 30 * time.Second, OpenForAtMost: 5 * time.Minute, Probes: 1},
		RateLimitHold:     10 * time.Second,
		ConfigurationHold: 300 * time.Second,
		Retry: []time.Duration{time.Minute, 5 * time.Minute, 5 * time.Minute, 15 * time.Minute,
			time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour},
		GiveUpAfter: 24 * time.Hour,
	}
}

// configFile is the file, in JSON or YAML; what is absent keeps its default.
type configFile struct {
	Default          string           `json:"default"`
	Providers        []ProviderConfig `json:"providers"`
	AttemptTimeoutMS *int64           `json:"attempt_timeout_ms"`
	RoundTimeoutMS   *int64           `json:"round_timeout_ms"`
	Breaker          struct {
		Failures  *int   `json:"open_after_consecutive_provider_failures"`
		OpenMS    *int64 `json:"open_ms"`
		OpenMaxMS *int64 `json:"open_max_ms"`
		Probes    *int   `json:"half_open_probes"`
	} `json:"breaker"`
	RateLimitHoldS     *int64  `json:"rate_limit_default_hold_s"`
	ConfigurationHoldS *int64  `json:"configuration_hold_s"`
	RetryMS            []int64 `json:"retry_ms"`
	GiveUpAfterMS      *int64  `json:"give_up_after_ms"`
	FollowRedirects    bool    `json:"follow_redirects"`
}

// ParseConfig reads a configuration: JSON, or YAML with the same names.
func ParseConfig(text []byte) (Config, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		tree, err := yaml.Parser().Unmarshal(text)
		if err != nil {
			return Config{}, fmt.Errorf("it is neither JSON nor YAML: %w", err)
		}
		if text, err = json.Marshal(tree); err != nil {
			return Config{}, fmt.Errorf("it has what JSON cannot hold: %w", err)
		}
	}
	var f configFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Config{}, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("it must be one JSON object and nothing behind it")
	}
	return f.config()
}

func (f *configFile) config() (Config, error) {
	c := Defaults()
	if f.FollowRedirects {
		return c, errors.New("follow_redirects: a redirect would turn a POST into a GET; it can only be false")
	}
	for _, n := range []struct {
		name     string
		value    *int64
		unit     time.Duration
		to       *time.Duration
		min, max int64
	}{
		{"attempt_timeout_ms", f.AttemptTimeoutMS, time.Millisecond, &c.AttemptTimeout, 10, 60_000},
		{"round_timeout_ms", f.RoundTimeoutMS, time.Millisecond, &c.RoundTimeout, 10, 120_000},
		{"breaker.open_ms", f.Breaker.OpenMS, time.Millisecond, &c.Breaker.OpenFor, 1, 3_600_000},
		{"breaker.open_max_ms", f.Breaker.OpenMaxMS, time.Millisecond, &c.Breaker.OpenForAtMost, 1, 86_400_000},
		{"rate_limit_default_hold_s", f.RateLimitHoldS, time.Second, &c.RateLimitHold, 1, 86_400},
		{"configuration_hold_s", f.ConfigurationHoldS, time.Second, &c.ConfigurationHold, 1, 86_400},
		{"give_up_after_ms", f.GiveUpAfterMS, time.Millisecond, &c.GiveUpAfter, 1, 30 * 86_400_000},
	} {
		if n.value == nil {
			continue
		}
		if *n.value < n.min || *n.value > n.max {
			return c, fmt.Errorf("%s %d: allowed are %d to %d", n.name, *n.value, n.min, n.max)
		}
		*n.to = time.Duration(*n.value) * n.unit
	}
	for _, n := range []struct {
		name  string
		value *int
		to    *int
	}{{"breaker.open_after_consecutive_provider_failures", f.Breaker.Failures, &c.Breaker.Failures},
		{"breaker.half_open_probes", f.Breaker.Probes, &c.Breaker.Probes}} {
		if n.value == nil {
			continue
		}
		if *n.value < 1 || *n.value > 1000 {
			return c, fmt.Errorf("%s %d: allowed are 1 to 1000", n.name, *n.value)
		}
		*n.to = *n.value
	}
	if err := f.retry(&c); err != nil {
		return c, err
	}
	return c, f.providers(&c)
}

func (f *configFile) retry(c *Config) error {
	if f.RetryMS == nil {
		return nil
	}
	c.Retry = nil
	if len(f.RetryMS) < 1 || len(f.RetryMS) > 100 {
		return fmt.Errorf("retry_ms has %d times: allowed are 1 to 100", len(f.RetryMS))
	}
	for i, ms := range f.RetryMS {
		if ms < 1 || ms > 86_400_000 {
			return fmt.Errorf("retry_ms[%d] %d: allowed are 1 to 86400000", i, ms)
		}
		c.Retry = append(c.Retry, time.Duration(ms)*time.Millisecond)
	}
	return nil
}

// providers checks them, and puts the default in front.
func (f *configFile) providers(c *Config) error {
	if len(f.Providers) == 0 {
		return errors.New("providers: at least one is needed, such as " +
			`{"name": "file", "type": "log", "url": "file:///var/spool/tallybook"}`)
	}
	if len(f.Providers) > 20 {
		return fmt.Errorf("providers: %d of them, allowed are up to 20", len(f.Providers))
	}
	names := map[string]bool{}
	for i := range f.Providers {
		p := &f.Providers[i]
		if p.Name == "" {
			return fmt.Errorf("providers[%d] has no name", i)
		}
		if names[p.Name] {
			return fmt.Errorf("two providers are named %q", p.Name)
		}
		names[p.Name] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("provider %q: %w", p.Name, err)
		}
	}
	c.Providers = slices.Clone(f.Providers)
	if f.Default == "" {
		return nil
	}
	first := slices.IndexFunc(c.Providers, func(p ProviderConfig) bool { return p.Name == f.Default })
	if first < 0 {
		return fmt.Errorf("default %q is not the name of a provider", f.Default)
	}
	p := c.Providers[first]
	c.Providers = slices.Insert(slices.Delete(c.Providers, first, first+1), 0, p)
	return nil
}

// check never shows the url whole: there may be a password in it.
func (p *ProviderConfig) check() error {
	if !slices.Contains(Types, p.Type) {
		return fmt.Errorf("type %q: allowed are %s", p.Type, strings.Join(Types, ", "))
	}
	if p.URL == "" {
		return errors.New("it has no url")
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return errors.New("its url is not a URL")
	}
	schemes := map[string][]string{TypeMailgun: {"https", "http"}, TypeMandrill: {"https", "http"},
		TypeSMTP: {"smtp", "smtps"}, TypeLog: {"file"}}[p.Type]
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("its url begins with %q: allowed is %s://…", u.Scheme, strings.Join(schemes, "://… or "))
	}
	switch p.Type {
	case TypeMailgun, TypeMandrill:
		if u.Host == "" {
			return errors.New("its url has no host")
		}
		if p.APIKey == "" {
			return errors.New("it has no api_key")
		}
	case TypeSMTP:
		if u.Hostname() == "" {
			return errors.New("its url has no host; smtp://user:password@host:587 is expected")
		}
	case TypeLog:
		if u.Path == "" || u.Host != "" && u.Host != "localhost" {
			return errors.New("its url must be file:///absolute/folder")
		}
	}
	return nil
}
