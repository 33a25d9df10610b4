#!/usr/bin/env bash
# The dashboard in a browser (Debian's chromium, driven by playwright-core) against
# 'tallybook demo'. PICTURES=folder keeps pictures of every page. Arguments: the
# test files to run, default all. Needs node, npm, kcat and chromium.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
unset "${!TALLYBOOK_@}"
cd "$here"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

# The chart library in the binary is the one that was published.
for pair in uPlot.iife.min.js:uPlot.min.js uPlot.min.css:uPlot.min.css; do
	cmp "node_modules/uplot/dist/${pair%:*}" "$repo/query/dashboard/vendor/${pair#*:}"
done
cmp node_modules/uplot/LICENSE "$repo/query/dashboard/vendor/uPlot.LICENSE"
(cd "$repo/query/dashboard/vendor" && sha256sum uPlot.min.js uPlot.min.css)

[ -x "$repo/bin/tallybook" ] || make -C "$repo" -s build
work=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-browser-XXXXXX")
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; } 2>/dev/null; rm -rf "$work"' EXIT
"$repo/bin/tallybook" demo --data "$work/data" --http 127.0.0.1:0 --kafka-listen 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 600); do
	grep -q 'Serving until Ctrl-C' "$work/out" && break
	kill -0 "$server" || { cat "$work/out" "$work/err"; exit 1; }
	sleep 0.1
done
export TALLYBOOK_URL TALLYBOOK_KEY TALLYBOOK_KAFKA
TALLYBOOK_URL=$(grep -o 'http://127[^/ ]*' "$work/out" | head -1)
TALLYBOOK_KEY=$(sed -n 's/^  export KEY=//p' "$work/out")
TALLYBOOK_KAFKA=$(sed -n 's/.*kcat -P -b \([^ ]*\).*/\1/p' "$work/out")
tests=("$@")
[ $# -gt 0 ] || tests=(*.test.js)
node --test --test-concurrency=1 --test-reporter=spec "${tests[@]}"
