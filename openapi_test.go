package main

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/pipeline/broker"
	"tallybook/pipeline/collector"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// The document describes each endpoint that is mounted, and is valid.
func TestEverythingIsDocumented(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir()+"/store.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	partitions := map[schemas.Topic]int{schemas.Usage: 1, schemas.Errors: 1, schemas.Emails: 1}
	collect, err := collector.New(collector.Config{Kafka: broker.NewKafka("127.0.0.1:1"), Partitions: partitions, Store: st})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := query.New(query.Config{Store: st, Archive: archive.New(archive.NewMem()), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	endpoints := slices.Concat(collect.Endpoints(), answers.Endpoints(), query.Docs(nil))
	doc, undescribed, err := api.Document(endpoints, collector.OpenAPI, query.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range undescribed {
		t.Errorf("%s is mounted and not described", endpoint)
	}
	if doc.Paths.Len() < 10 {
		t.Errorf("got %d paths", doc.Paths.Len())
	}
}
