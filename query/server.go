package query

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/mail"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

// Config of a Server. Store, Archive and Registry are required.
type Config struct {
	Store    *store.Store
	Archive  *archive.Archive
	Registry *prometheus.Registry // what /metrics shows
	Now      func() time.Time     // nil: time.Now
	Log      *slog.Logger         // nil: slog.Default()
	Ready    func() error         // nil: always ready; else why /readyz says 503
	Mail     *mail.Sender         // nil: POST /email is answered 503

	// LogEnds are the ends of the log's partitions; nil: this process has no Kafka.
	LogEnds func(context.Context) (map[schemas.Partition]int64, error)
	// Prove computes a document again from the archive; finding says what differs,
	// "" nothing. nil: POST /v1/invoices/{id}/prove is answered 503.
	Prove func(ctx context.Context, i *store.Invoice, say func(line string)) (finding string, err error)

	MaxRows int // 0: 250,000 groups in one answer, about 100 MB while it is made
}

// Server has the HTTP answers. It has no goroutine of its own.
type Server struct {
	cfg    Config
	engine *engine.Engine
	mails  mailTotals
	proves sync.Mutex // held while a document is proven

	listFiles int // archive files that a list of events may read
}

// New starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Archive == nil || cfg.Registry == nil {
		return nil, errors.New("query: Config needs Store, Archive and Registry")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	if cfg.MaxRows == 0 {
		cfg.MaxRows = 250_000
	}
	return &Server{cfg: cfg, engine: engine.New(engine.Config{Store: cfg.Store, Archive: cfg.Archive, MaxGroups: cfg.MaxRows}), listFiles: maxListFiles}, nil
}

// Endpoints are all answers of this package.
func (q *Server) Endpoints() []api.Endpoint {
	return slices.Concat(q.keyEndpoints(), q.domainEndpoints(), q.totalsEndpoints(), q.dataframeEndpoints(), q.errorEndpoints(), q.usageEndpoints(), q.routeEndpoints(), q.customerEndpoints(), q.auditEndpoints(), q.emailEndpoints(), q.analyticsEndpoints(), q.appEndpoints(), q.meterEndpoints(), q.invoiceEndpoints(), q.proofEndpoints(), q.pipelineEndpoints(), q.dashboardEndpoints(), []api.Endpoint{
		{Method: "GET", Path: "/api/v1/meters/{slug}/query", Access: api.Account, Form: api.ProblemForm, Handle: q.queryMeter},
		{Method: "GET", Path: "/v2/summary", Access: api.Account, Scope: api.Replace, Form: api.MessageForm, Handle: q.summary},
		{Method: "GET", Path: "/schemas/{name:[a-z_]+}.json", Access: api.Public, Form: api.PlainForm, Handle: q.schema},
	}, q.Health())
}

// Health are the probes and the metrics, which every process has.
func (q *Server) Health() []api.Endpoint {
	metrics := promhttp.HandlerFor(q.cfg.Registry, promhttp.HandlerOpts{})
	return []api.Endpoint{
		{Method: "GET", Path: "/healthz", Access: api.Public, Form: api.PlainForm, Handle: q.healthz},
		{Method: "GET", Path: "/readyz", Access: api.Public, Form: api.PlainForm, Handle: q.readyz},
		{Method: "GET", Path: "/metrics", Access: api.Public, Form: api.PlainForm, Handle: func(w http.ResponseWriter, r *http.Request) error {
			metrics.ServeHTTP(w, r)
			return nil
		}},
	}
}
