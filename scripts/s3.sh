#!/usr/bin/env bash
# An S3 server on this machine (versitygw over a folder), for tests and `make cluster`.
#
#   scripts/s3.sh start [FOLDER] [PORT]   builds it at the first time, starts it in the background,
#                                         makes the bucket tallybook; PORT 0 or none: a free one
#   scripts/s3.sh env   [FOLDER]          prints what to set: eval "$(scripts/s3.sh env)"
#   scripts/s3.sh stop  [FOLDER]          stops it; what it holds stays in FOLDER/buckets
#   scripts/s3.sh kill  [FOLDER]          as kill -9 does
#   scripts/s3.sh with  COMMAND…          runs a command with what env prints set, on a server that is
#                                         gone afterwards
#
# FOLDER is ./bin/s3 unless named. A server that was started there before keeps
# its port, so that it comes back where its clients look for it.
set -euo pipefail
version=v1.8.0
repo=$(cd "$(dirname "$0")/.." && pwd)
folder=${2:-$repo/bin/s3}
server=$repo/bin/versitygw

running() { [ -f "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2>/dev/null; }

answers() { curl -s -o /dev/null --max-time 2 "http://127.0.0.1:$(cat "$folder/port")/"; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start() {
	mkdir -p "$folder/buckets/tallybook" # a folder there is a bucket
	running && { echo "runs already, process $(cat "$folder/pid")" >&2; return; }
	if [ ! -x "$server" ]; then
		echo "building the S3 server, once: some minutes" >&2
		GOBIN="$repo/bin" go install "github.com/versity/versitygw/cmd/versitygw@$version"
	fi
	if [ "${1:-0}" != 0 ]; then
		echo "$1" >"$folder/port"
	elif [ ! -f "$folder/port" ]; then
		free_port >"$folder/port"
	fi
	ROOT_ACCESS_KEY=tallybook ROOT_SECRET_KEY=tallybook-secret setsid nohup "$server" --quiet --keep-alive \
		--port "127.0.0.1:$(cat "$folder/port")" posix "$folder/buckets" >"$folder/log" 2>&1 </dev/null &
	echo $! >"$folder/pid"
	disown
	for _ in $(seq 100); do
		answers && return
		running || break
		sleep 0.1
	done
	echo "the S3 server does not come up:" >&2
	cat "$folder/log" >&2
	return 1
}

stop() { # SIGNAL
	running || return 0
	local pid
	pid=$(cat "$folder/pid")
	kill "-$1" "$pid"
	for _ in $(seq 100); do
		kill -0 "$pid" 2>/dev/null || { rm -f "$folder/pid"; return 0; }
		sleep 0.1
	done
	echo "process $pid does not end" >&2
	return 1
}

env_of() {
	local url="http://127.0.0.1:$(cat "$folder/port")"
	echo "export AWS_ACCESS_KEY_ID=tallybook AWS_SECRET_ACCESS_KEY=tallybook-secret AWS_REGION=us-east-1"
	echo "export S3_TEST_ENDPOINT=$url"
	echo "export S3_ARCHIVE='s3://tallybook/archive?endpoint=$url&pathstyle=true'"
}

with() {
	folder=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-s3-XXXXXX")
	trap 'stop KILL; rm -rf "$folder"' EXIT
	start
	eval "$(env_of)"
	"$@"
}

case ${1:-} in
with) shift && with "$@" ;;
start) start "${3:-}" && env_of ;;
env) env_of ;;
stop) stop TERM ;;
kill) stop KILL ;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
