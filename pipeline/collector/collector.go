package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// Config of a collector. Kafka and Partitions are required; zero values of the
// rest take the default.
type Config struct {
	Kafka        *broker.Kafka
	Partitions   map[schemas.Topic]int // as Kafka.EnsureTopics answered
	Rules        schemas.Rules         // default schemas.DefaultRules()
	Store        *store.Store          // the catalog; nil: endpoints that need it are left out
	Keys         *api.Keys             // of Store; nil: the collector's own. Run runs it
	DedupeWindow time.Duration         // of the workers; default 24 h
	Webhooks     Webhooks

	// Behind reports that what is in the log cannot be worked off: the embedded
	// broker is full, or the workers are far behind. Requests then get 503.
	Behind func() bool

	MaxInFlight    int64         // bytes of bodies between first byte and acknowledgement, as many again of webhooks; default 64 MiB
	MaxBodyBytes   int           // of a batch, after decompression; default 32 MiB
	MaxEventBytes  int           // of one event; default 1 MiB, at most that
	MaxEvents      int           // of a request; default 10,000
	ProduceTimeout time.Duration // from the whole body to every acknowledgement; default 10 s
	ApplyTimeout   time.Duration // how long a change of an application event waits for the workers; default 10 s

	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // default: none
}

func (c *Config) fill() error {
	if c.Kafka == nil {
		return errors.New("the collector needs a Kafka")
	}
	for _, topic := range schemas.Topics {
		if c.Partitions[topic] < 1 {
			return fmt.Errorf("the collector needs the number of partitions of topic %s", topic)
		}
	}
	if c.Rules == (schemas.Rules{}) {
		c.Rules = schemas.DefaultRules()
	}
	if c.Behind == nil {
		c.Behind = func() bool { return false }
	}
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 64<<20)
	c.MaxBodyBytes = int(min(int64(cmp.Or(c.MaxBodyBytes, 32<<20)), c.MaxInFlight-1))
	c.MaxEventBytes = cmp.Or(c.MaxEventBytes, 1<<20)
	c.MaxEvents = cmp.Or(c.MaxEvents, 10_000)
	c.ProduceTimeout = cmp.Or(c.ProduceTimeout, 10*time.Second)
	c.ApplyTimeout = cmp.Or(c.ApplyTimeout, 10*time.Second)
	if c.MaxEventBytes > 1<<20 {
		return fmt.Errorf("events of up to %d bytes: a record may have up to %d", c.MaxEventBytes, 1<<20)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return nil
}

// Collector takes events over HTTP and puts them into Kafka. Its handlers
// produce only while Run runs.
type Collector struct {
	cfg      Config
	lanes    map[schemas.Topic][]*lane
	numbers  map[schemas.Topic][]int // 0, 1, …: what the partitioner chooses from
	inFlight budget
	unsigned budget        // of webhooks, whose senders are not known yet
	stopped  chan struct{} // closed when Run ends
	metrics  *metrics
	decoders sync.Pool // of *decoder
	catalog  *catalogCache
	unknown  unknownKeys
	checks   *checker

	webhookLocks tokenLocks
}

// New checks the configuration and starts nothing.
func New(cfg Config) (*Collector, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	c := &Collector{cfg: cfg, stopped: make(chan struct{}),
		lanes: map[schemas.Topic][]*lane{}, numbers: map[schemas.Topic][]int{}}
	c.inFlight.max, c.unsigned.max = cfg.MaxInFlight, cfg.MaxInFlight
	c.unknown.collector = c
	c.catalog = newCatalogCache(cfg.Store, cfg.Now)
	c.checks = newChecker(c)
	c.decoders.New = func() any { return new(decoder) }
	var err error
	if c.metrics, err = newMetrics(cfg.Metrics, &c.inFlight); err != nil {
		return nil, err
	}
	for topic, n := range cfg.Partitions {
		for id := range n {
			c.lanes[topic] = append(c.lanes[topic], newLane(schemas.Partition{Topic: topic, ID: int32(id)}))
			c.numbers[topic] = append(c.numbers[topic], id)
		}
	}
	return c, nil
}

// Partitions are the numbers of partitions that it produces to, for ever.
func (c *Collector) Partitions() map[schemas.Topic]int { return c.cfg.Partitions }

// Run produces what the handlers bring until ctx ends. Shut the HTTP server down
// first: a request that is still waiting then is answered 503. It runs once.
func (c *Collector) Run(ctx context.Context) error {
	defer close(c.stopped)
	p := producer{client: c.cfg.Kafka.Client(), codec: c.cfg.Kafka.Compression, log: c.cfg.Log, metrics: c.metrics, now: c.cfg.Now}
	var running sync.WaitGroup
	for _, lanes := range c.lanes {
		for _, l := range lanes {
			running.Go(func() { p.run(ctx, l) })
		}
	}
	if c.cfg.Store != nil {
		running.Go(func() { c.unknown.run(ctx) })
		running.Go(func() { c.catalog.young.Run(ctx) })
		running.Go(func() { c.checks.use.young.Run(ctx) })
		running.Go(func() { c.checks.keys.Run(ctx) })
	}
	running.Wait()
	return nil
}

// refusalHolds is how long a refusal by Kafka says something of now: where no
// events come that would show that it takes them again, who asks must find out.
const refusalHolds = 10 * time.Second

// Ready is nil unless Kafka refused events lately, and took none for that
// partition since; else it says why.
func (c *Collector) Ready() error {
	for _, topic := range schemas.Topics {
		for _, l := range c.lanes[topic] {
			if r := l.refused.Load(); r != nil && c.cfg.Now().Sub(r.at) < refusalHolds {
				return fmt.Errorf("events are not durable in %s/%d: %w", topic, l.tp.ID, r.why)
			}
		}
	}
	return nil
}

// laneOf is the way to the partition that Java's client would choose.
func (c *Collector) laneOf(e *event) *lane {
	return c.lanes[e.topic][broker.Partitioner.Balance(kafka.Message{Key: e.key}, c.numbers[e.topic]...)]
}

// Endpoints are all that write events. They have their own deadlines.
func (c *Collector) Endpoints() []api.Endpoint {
	return slices.Concat(c.usageEndpoints(), c.validateEndpoints(), c.appEndpoints(), c.correctionEndpoints(), c.webhookEndpoints(), c.dataframeEndpoints(), []api.Endpoint{
		{Method: "POST", Path: "/v1/events", Access: api.Ingest, Form: api.PlainForm, Timeout: -1, Handle: c.results},
		{Method: "POST", Path: "/api/v1/events", Access: api.Ingest, Form: api.ProblemForm, Timeout: -1, Handle: c.allOrNothing},
	})
}

// Server is an http.Server with the deadlines and limits that the collector
// counts on: a body that comes too slowly ends in 408, and nobody holds a
// connection or bytes in flight for longer than ReadTimeout.
func Server(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
