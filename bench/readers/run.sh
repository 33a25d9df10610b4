#!/usr/bin/env bash
# Imports the real logs and lets readers that are not ours check the facts:
# DuckDB and pyarrow on the Parquet files, kcat on the log, and the meter query.
#
#   bench/readers/run.sh
#
#   SHARED=…     folder with data/access-combined.log.gz and the others
#                (default: ../shared beside the repository)
#   PYTHON=…     a python3 with duckdb and pyarrow
#   TALLYBOOK=…  the program (default: built from this repository)
#
# Needs kcat. Ends with the first difference: exit code 1, and the folder stays.
set -euo pipefail
readers=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$readers/../.." && pwd)
shared=${SHARED:-$repo/../shared}
python=${PYTHON:-python3}
unset "${!TALLYBOOK_@}" # settings from outside
export PYTHONDONTWRITEBYTECODE=1

need() { "$@" >/dev/null 2>&1 || { echo "this needs: $*" >&2; exit 2; }; }
need test -r "$shared/data/access-combined.log.gz"
need "$python" -c 'import duckdb, pyarrow'
need kcat -V

work=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-readers-XXXXXX")
server=

finish() {
	code=$?
	trap - EXIT INT TERM
	if [ -n "$server" ] && kill -INT "$server" 2>/dev/null; then wait "$server" || true; fi
	if [ "$code" -eq 0 ]; then
		rm -rf "$work"
		echo "good: all readers agree"
	else
		tail -n 20 "$work/run.log" 2>/dev/null | sed 's/^/    /' >&2 || true
		echo "FAILED; data and log are in $work" >&2
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

tallybook=${TALLYBOOK:-$work/tallybook}
[ -n "${TALLYBOOK:-}" ] || (cd "$repo" && go build -o "$tallybook" .)
# Ports below those that connections get, so that none is taken meanwhile.
free='import random, socket
while True:
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError:
        continue
    print("127.0.0.1:%d" % s.getsockname()[1])
    break'
http=$("$python" -c "$free")
kafka=$("$python" -c "$free")
url=http://$http
flags=(--data "$work/data" --http "$http" --kafka-listen "$kafka")
book() { "$tallybook" "$@" "${flags[@]}"; }

fetch() { "$python" -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$url/$1"; }
until_true() { # SECONDS COMMAND…
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		kill -0 "$server" 2>/dev/null || { echo "tallybook run has ended" >&2; exit 1; }
		[ "$SECONDS" -lt "$end" ] || { echo "waited in vain for: $*" >&2; exit 1; }
		sleep 0.05
	done
}
same() { # WHAT GOT WANT
	[ "$2" = "$3" ] || { printf 'DIFFERENCE in %s:\n  got  %s\n  want %s\n' "$1" "$2" "$3" >&2; exit 1; }
	echo "  $1: $2"
}

"$tallybook" run --no-auth "${flags[@]}" --log-level warn >"$work/run.log" 2>&1 &
server=$!
until_true 30 fetch readyz
in_log() { for topic in usage errors emails; do kcat -Q -b "$kafka" $(printf -- "-t $topic:%d:-1 " 0 1 2 3); done | awk '{ n += $NF } END { print n }'; }

echo "import"
import() {
	book import "$shared/data/access-combined.log.gz" --format combined --account web 2>>"$work/import.log" | sed 's/^/  /'
	book import "$shared/data/openstack-nova.log.gz" --format openstack --account-from tenant 2>>"$work/import.log" | sed 's/^/  /'
}
import
"$python" "$readers/answers.py" "$url" --wait
"$python" "$readers/answers.py" "$url"

echo "import again"
import
same "records in the log" "$(in_log)" 10928

echo "kcat"
event() { printf '{"specversion":"1.0","id":"%s","source":"kcat","type":"%s","subject":"kcat","data":%s}\n' "$1" "$2" "$3"; }
produce() { kcat -P -b "$kafka" -t "$1" -K '|' -X topic.partitioner=murmur2_random; }
request=$(event one api.request '{"api":"web","endpoint":"/kcat","method":"GET","status":200,"latency_ms":12.5,"bytes":3}')
produce usage <<<"kcat|$request"
produce usage <<<"kcat|$request"
produce usage <<<'kcat|{"no":"event"'
produce errors <<<"kcat|$(event two api.error '{"api":"web","endpoint":"/kcat","status":500,"error_code":"E1"}')"
produce emails <<<"kcat|$(event three email.delivered '{"domain":"example.com","recipient":"a@example.com"}')"
"$python" "$readers/answers.py" "$url" --wait-for requests kcat 1
"$python" "$readers/answers.py" "$url" --wait-for errors kcat 1
"$python" "$readers/answers.py" "$url" --wait-for emails kcat 1
"$python" "$readers/answers.py" "$url" --wait-for internal_errors _unknown 1
consumed=$(kcat -C -b "$kafka" -t usage -o beginning -e -q -f '%k|%s\n' | grep '^kcat|')
same "consumed back" "$(sort -u <<<"$consumed")" "$(printf 'kcat|%s\n' "$request" '{"no":"event"' | sort)"
same "records consumed of key kcat" "$(wc -l <<<"$consumed" | tr -d ' ')" 3
records() { fetch metrics | awk -v outcome="outcome=\"$1\"" '/^tallybook_records_total/ && index($1, outcome) { n += $2 } END { print n + 0 }'; }
are() { [ "$(records "$1")" = "$2" ]; }
until_true 10 are rejected 1 # the store is a moment ahead of the metrics
same "duplicates" "$(records duplicate)" 1
same "rejected" "$(records rejected)" 1
same "records with another key than their account" "$(records other_key)" 0

"$python" "$readers/facts.py" "$work/data/archive"

echo "verify and balance, beside the running process"
book verify | tail -n 1 | sed 's/^/  /'
book balance | tail -n 1 | sed 's/^/  /'
kill -INT "$server"
wait "$server" || { echo "tallybook run ended with $?" >&2; exit 1; }
server=
echo "verify and balance, on the stopped data folder"
book verify | tail -n 1 | sed 's/^/  /'
book balance | tail -n 1 | sed 's/^/  /'
