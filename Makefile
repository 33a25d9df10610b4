# Needs Go, git and make. No cgo: the binary is static.
export CGO_ENABLED = 0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.1
FUZZTIME ?= 30s

.PHONY: help run cluster build test test-postgres lint bench bench-query bench-validate bench-peers bench-cluster chaos chaos-cluster outages facts fuzz clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/tallybook
	go build -o bin/tallybook .

run: build ## everything on loopback, with a sample imported and shown; until Ctrl-C
	bin/tallybook demo

cluster: ## Kafka, PostgreSQL, S3, two pipelines, query and jobs as processes, with a sample; until Ctrl-C
	scripts/cluster.sh

test: ## all tests
	go test ./...

test-postgres: ## the tests of whatever uses a store, on a PostgreSQL of their own (Debian's package), archives in S3
	scripts/postgres.sh with go test $(TESTFLAGS) -tags postgres -timeout 30m ./store/... ./api/... ./jobs ./query/... ./pipeline/...

lint: ## gofmt, go vet, staticcheck, the direction of imports
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 -run TestImports .

bench: build ## how fast the whole way is; PYTHON=… with duckdb compares (minutes)
	bin/tallybook bench $(if $(PYTHON),--python $(PYTHON))

bench-query: build ## how long answers take over millions of rollup rows; PYTHON=… with duckdb compares (minutes)
	bin/tallybook bench --only query $(if $(PYTHON),--python $(PYTHON))

bench-validate: build ## access checks: how many, how quick beside 50,000 events/s, how soon they know of a usage
	bin/tallybook bench --only validate

bench-peers: ## the same job on Kafka Streams beside ours, on one Kafka; needs Java 17 and Maven (minutes)
	go run ./bench/peers

bench-cluster: ## 1, 2 and 4 pipelines on Kafka and PostgreSQL: events/s, CPU by part, freshness, a long history; needs Java 17, Maven, PostgreSQL (10 minutes at most)
	go run ./bench/cluster

chaos: ## kills the process 50 times under load and compares what was counted with what was sent
	go run ./bench/chaos

chaos-cluster: ## Kafka, PostgreSQL, S3, three pipelines and jobs, all of them killed and cut off under load; PYTHON=… with duckdb (half an hour)
	go run ./bench/chaoscluster $(if $(PYTHON),-python $(PYTHON))

outages: ## PostgreSQL down and hanging, S3 answering 503 and hanging, 5 minutes each, at 5,000 events/s (35 minutes)
	go run ./bench/chaoscluster -outage 5m

facts: ## real logs, read back by DuckDB, pyarrow and kcat (installs a Python environment)
	bench/readers/run.sh

# Until Go 1.27 a run can end with "context deadline exceeded" instead of success
# when its time is up (go.dev/issue/75804). A find of the fuzzer always names its input.
fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for p in $$(go list ./...); do \
	  targets=$$(go test -list '^Fuzz' $$p); \
	  for f in $$(echo "$$targets" | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; \
	    out=$$(go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p 2>&1) && { echo "$$out" | tail -n 1; continue; }; \
	    echo "$$out"; \
	    case "$$out" in *'Failing input'*|*panic*) exit 1;; *'    context deadline exceeded'*) ;; *) exit 1;; esac; \
	  done; \
	done

clean: ## what was built; the data folder stays
	rm -rf bin
