package mail

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/store"
)

type metrics struct {
	attempts *prometheus.CounterVec
	mails    *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, s *Sender) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tallybook_mail_attempts_total",
			Help: "Calls of mail providers by class of their outcome."}, []string{"provider", "class"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tallybook_mail_rounds_total",
			Help: "Rounds of mails by where they left the mail."}, []string{"status"}),
	}
	if registry == nil {
		return m, nil
	}
	list := []prometheus.Collector{m.attempts, m.mails}
	for _, g := range s.gates {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tallybook_mail_provider_available",
			Help:        "1 where the provider may be asked, 0 while its breaker is open or it is held.",
			ConstLabels: prometheus.Labels{"provider": g.Name}}, func() float64 {
			now := s.opts.Now()
			if g.availableAt(now).After(now) {
				return 0
			}
			return 1
		}))
	}
	for _, c := range list {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register mail metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) attempt(provider string, c Class) {
	m.attempts.WithLabelValues(provider, string(c)).Inc()
}

func (m *metrics) settled(status store.MailStatus) {
	m.mails.WithLabelValues(string(status)).Inc()
}
