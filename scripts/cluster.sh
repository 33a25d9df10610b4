#!/usr/bin/env bash
# The cluster of docker-compose.yml as processes of this machine: Apache Kafka,
# PostgreSQL, an S3 server, two pipelines, query and jobs; a sample is loaded and
# proven. Needs Go, Java 17 and Maven, and Debian's postgresql.
#
#   scripts/cluster.sh [DIR]          until Ctrl-C; DIR (bin/cluster) keeps data and logs
#   scripts/cluster.sh --exit [DIR]   ends behind the proof
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
exit_after=
if [ "${1:-}" = --exit ]; then exit_after=1 && shift; fi
mkdir -p "${1:-$repo/bin/cluster}"
dir=$(cd "${1:-$repo/bin/cluster}" && pwd)
scripts=$repo/scripts tallybook=$repo/bin/tallybook
declare -A pids=()
unset "${!TALLYBOOK_@}"

say() { printf '%s\n' "$*"; }

# In the order in which it was started, backwards; each within its own limit.
stop_all() {
	trap - EXIT INT TERM
	say "stopping"
	for name in jobs query pipeline-2 pipeline-1; do
		[ -z "${pids[$name]:-}" ] || kill -TERM "${pids[$name]}" 2>/dev/null || true
	done
	for name in jobs query pipeline-2 pipeline-1; do
		[ -z "${pids[$name]:-}" ] || wait "${pids[$name]}" || true
	done
	"$scripts/kafka.sh" stop "$dir/kafka" || true
	"$scripts/s3.sh" stop "$dir/s3" || true
	"$scripts/postgres.sh" stop "$dir/postgres" || true
}

start() { # NAME MODE
	# setsid: Ctrl-C is for this script, which stops things in their order.
	setsid "$tallybook" "$2" --data "$dir/$1" --http 127.0.0.1:0 >"$dir/$1.out" 2>"$dir/$1.log" </dev/null &
	pids[$1]=$!
}

url() { sed -n 's|.*http=\(http://[^ ]*\).*|\1|p' "$dir/$1.log" | head -n 1; }

until_true() { # WHAT COMMAND…; 3 minutes at most, for busy machines
	local what=$1 end=$((SECONDS + 180)) name
	shift
	until "$@" >/dev/null 2>&1; do
		for name in "${!pids[@]}"; do
			kill -0 "${pids[$name]}" 2>/dev/null || { say "$name has ended:"; tail -n 5 "$dir/$name.log"; exit 1; }
		done
		[ "$SECONDS" -lt "$end" ] || { say "waited in vain until $what; logs are in $dir"; exit 1; }
		sleep 0.2
	done
}

ready() { [ -n "$(url "$1")" ] && "$tallybook" ready --http "$(url "$1" | sed 's|http://||')"; }

trap stop_all EXIT
trap 'exit 0' INT TERM
(cd "$repo" && go build -o "$tallybook" .)
"$scripts/postgres.sh" install
say "starting Apache Kafka, PostgreSQL and an S3 server in $dir"
"$scripts/kafka.sh" start "$dir/kafka" >"$dir/kafka.address" &
kafka=$!
"$scripts/postgres.sh" start "$dir/postgres" >"$dir/postgres.address"
"$scripts/s3.sh" start "$dir/s3" >/dev/null
wait "$kafka"
eval "$("$scripts/s3.sh" env "$dir/s3")"
export TALLYBOOK_BROKERS=$(cat "$dir/kafka.address") TALLYBOOK_STORE=$(tail -n 1 "$dir/postgres.address")
export TALLYBOOK_ARCHIVE=$S3_ARCHIVE TALLYBOOK_PARTITIONS=6

start pipeline-1 pipeline
until_true "the first pipeline is ready" ready pipeline-1
start pipeline-2 pipeline
start query query
start jobs jobs
for name in pipeline-2 query jobs; do until_true "$name is ready" ready "$name"; done
key=$("$tallybook" keys create --role admin --data "$dir/query" | grep -o 'tally_[A-Za-z0-9_-]*')
for name in pipeline-1 pipeline-2 query jobs; do say "  $name  $(url $name)"; done

"$tallybook" import "$repo/testdata/access.log" --format combined --account shop --data "$dir/query"
total() {
	curl -fsS -H "apiKey: $key" "$(url query)/api/v1/meters/requests/query?subject=shop&from=2000-01-01T00:00:00Z" |
		grep -o '"value":[0-9]*' | awk -F: '{ n += $2 } END { print n }'
}
counted() { [ "$(total)" = 500 ]; }
until_true "the sample is counted" counted
"$tallybook" balance --data "$dir/query" | tail -n 2
"$tallybook" verify --data "$dir/query" | tail -n 1
say "requests of the account shop: $(total), as the file has lines: $(wc -l <"$repo/testdata/access.log")"
say
say "  export KEY=$key"
say "  curl -H \"apiKey: \$KEY\" '$(url query)/api/v1/meters/requests/query?subject=shop&from=2000-01-01T00:00:00Z'"
say "  kcat -P -b $TALLYBOOK_BROKERS -t usage -K: -X partitioner=murmur2_random"
[ -z "$exit_after" ] || exit 0
say
say "Until Ctrl-C; logs are in $dir"
while :; do
	for name in "${!pids[@]}"; do
		kill -0 "${pids[$name]}" 2>/dev/null || { say "$name has ended:"; tail -n 5 "$dir/$name.log"; exit 1; }
	done
	sleep 1
done
