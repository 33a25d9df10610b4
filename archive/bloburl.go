package archive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// s3Location is what an archive's URL says:
//
//	s3://BUCKET[/PREFIX][?endpoint=URL][&region=R][&pathstyle=true][&profile=NAME][&timeout=30s]
//
// Credentials come from where AWS's tools look for them: AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, the shared files, the role of the machine or container.
type s3Location struct {
	bucket, prefix            string
	endpoint, region, profile string
	pathStyle                 bool
	timeout                   time.Duration
}

const (
	defaultTimeout = 30 * time.Second
	s3Form         = "want s3://BUCKET/PREFIX?endpoint=URL&region=REGION&pathstyle=true&profile=NAME&timeout=30s, all but the bucket optional"
)

// parseS3 repeats nothing of the URL in errors: it may hold what is secret.
func parseS3(text string) (*s3Location, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("archive: the URL is malformed; " + s3Form)
	}
	if u.User != nil {
		return nil, errors.New("archive: the URL names a user; credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile)")
	}
	l := &s3Location{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), timeout: defaultTimeout}
	if l.bucket == "" || u.Fragment != "" {
		return nil, errors.New("archive: the URL names no bucket; " + s3Form)
	}
	if l.prefix != "" && checkName(l.prefix) != nil {
		return nil, errors.New("archive: the URL's prefix is no clean path; " + s3Form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("archive: the URL's parameters are malformed; " + s3Form)
	}
	for name, values := range query {
		if err := l.set(name, values[len(values)-1]); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	return l, nil
}

func (l *s3Location) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			return errors.New("endpoint: want http://HOST:PORT or https://HOST:PORT")
		}
		l.endpoint = value
	case "region":
		l.region = value
	case "profile":
		l.profile = value
	case "pathstyle":
		if l.pathStyle, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("pathstyle %q: allowed are true and false", value)
		}
	case "timeout":
		if l.timeout, err = time.ParseDuration(value); err != nil || l.timeout < 100*time.Millisecond || l.timeout > 10*time.Minute {
			return fmt.Errorf("timeout %q: allowed are 100ms to 10m", value)
		}
	default:
		return fmt.Errorf("unknown parameter %q; %s", name, s3Form)
	}
	return nil
}

// openS3 makes the client; no request is made yet, so that a process starts, and
// waits, while the object store is away.
func openS3(text string) (*Blob, error) {
	l, err := parseS3(text)
	if err != nil {
		return nil, err
	}
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(l.client()), config.WithRetryer(retryer), config.WithLogger(logging.Nop{})}
	if l.region != "" {
		options = append(options, config.WithRegion(l.region))
	}
	if l.profile != "" {
		options = append(options, config.WithSharedConfigProfile(l.profile))
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("archive s3://%s: %w", l.bucket, err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = l.pathStyle
		if l.endpoint != "" {
			o.BaseEndpoint = aws.String(l.endpoint)
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = "us-east-1" // other servers hardly look at it, but it is part of the signature
		}
	})
	if client.Options().Region == "" {
		return nil, fmt.Errorf("archive s3://%s: the region is not known; name it by ?region=… or AWS_REGION", l.bucket)
	}
	bucket, err := s3blob.OpenBucket(context.Background(), client, l.bucket, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	if err != nil {
		return nil, fmt.Errorf("archive s3://%s: %w", l.bucket, err)
	}
	b := &Blob{bucket: bucket, where: "s3://" + l.bucket, timeout: l.timeout}
	if l.prefix != "" {
		b.folder = l.prefix + "/"
		b.bucket = blob.PrefixedBucket(bucket, b.folder)
		b.where += "/" + l.prefix
	}
	return b, nil
}

// client waits for an answer as long as the location says, and for a connection
// less. A request that hangs does not keep its worker.
func (l *s3Location) client() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = min(5*time.Second, l.timeout) }).
		WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = l.timeout
			t.MaxIdleConnsPerHost = 64 // readers and workers of one process
		})
}

// retryer tries a request three times within about half a second, which bridges a
// lost connection or one overloaded moment; what lasts is the caller's matter.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 3
		o.MaxBackoff = 300 * time.Millisecond
		o.RateLimiter = ratelimit.None
	})
}
