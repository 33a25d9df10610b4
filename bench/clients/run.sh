#!/usr/bin/env bash
# Clients that others wrote, against the running binary: CloudKitty's command line
# client (Debian: python3-cloudkittyclient), OpenMeter's SDK (npm), Mailgun's Go SDK,
# kcat, and DuckDB and pyarrow over the archive and the Arrow answers. Each compares
# values. Needs node, npm, kcat, cloudkitty, and PYTHON with duckdb and pyarrow.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
unset "${!TALLYBOOK_@}" "${!OS_@}"
work=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-clients-XXXXXX")
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; } 2>/dev/null; rm -rf "$work"' EXIT
port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=127.0.0.1:$(port) kafka=127.0.0.1:$(port)
url=http://$http
tallybook=$repo/bin/tallybook
[ -x "$tallybook" ] || make -C "$repo" -s build
"$tallybook" run --data "$work/data" --http "$http" --kafka-listen "$kafka" --log-level warn >"$work/out" 2>&1 &
server=$!

until_true() { # SECONDS COMMAND…
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		kill -0 "$server" 2>/dev/null || { cat "$work/out" >&2; exit 1; }
		[ "$SECONDS" -lt "$end" ] || { echo "waited in vain for: $*" >&2; "$@" >&2 || true; cat "$work/out" >&2; exit 1; }
		sleep 0.1
	done
}
same() { # WHAT GOT WANT
	[ "$2" = "$3" ] || { printf 'DIFFERENCE in %s:\n  got  %s\n  want %s\n' "$1" "$2" "$3" >&2; exit 1; }
	echo "$1: $2"
}
until_true 30 curl -fsS "$url/readyz"
key=$(grep -o 'tally_[A-Za-z0-9_-]*' "$work/out" | head -1)
ask() { local path=$1; shift; curl -fsS -H "apiKey: $key" "$@" "$url$path"; }

echo "=== python3-cloudkittyclient"
cat >"$work/frames.json" <<'JSON'
{"dataframes": [{"period": {"begin": "20190501T000000Z", "end": "20190501T010000Z"}, "usage": {
  "instance": [{"vol": {"unit": "instance", "qty": 1.5}, "rating": {"price": 2.5}, "groupby": {"project_id": "p1", "user_id": "u1"}, "metadata": {"flavor": "small"}},
               {"vol": {"unit": "instance", "qty": "2"}, "rating": {"price": 0.125}, "groupby": {"project_id": "p2", "user_id": "u2"}, "metadata": {"flavor": "large"}}],
  "volume.size": [{"vol": {"unit": "GiB", "qty": 20}, "rating": {"price": 1.25}, "groupby": {"project_id": "p1", "user_id": "u1"}, "metadata": {}}]}}]}
JSON
cloud() { cloudkitty --os-endpoint "$url" --os-auth-type admin_token --os-token "$key" --os-rating-api-version 2 "$@" 2>"$work/cloud.err" || { cat "$work/cloud.err" >&2; return 1; }; }
cloud dataframes add "$work/frames.json"
summary() { cloud summary get -b 2019-05-01 -e 2019-06-01 -g type -g project_id "$@" -f json |
	"$python" -c 'import json, sys
lower = lambda row: {k.lower().replace(" ", "_"): v for k, v in row.items()}
print(sorted((r["type"], r["project_id"], float(r["qty"]), float(r["rate"])) for r in map(lower, json.load(sys.stdin))))'; }
three() { [ "$(summary | tr '(' '\n' | grep -c "'")" = 3 ]; }
until_true 30 three
same "summary get -g type -g project_id" "$(summary)" "[('instance', 'p1', 1.5, 2.5), ('instance', 'p2', 2.0, 0.125), ('volume.size', 'p1', 20.0, 1.25)]"
same "… --filter user_id:u1" "$(summary --filter user_id:u1)" "[('instance', 'p1', 1.5, 2.5), ('volume.size', 'p1', 20.0, 1.25)]"

echo "=== @openmeter/sdk"
cp -r "$here/openmeter" "$work/openmeter"
(cd "$work/openmeter" && npm ci --silent --no-audit --no-fund >/dev/null && node check.mjs "$url" "$key")

echo "=== mailgun-go v4"
ask /v1/accounts/post/domains/mail.example.com -X PUT >/dev/null
mails=$("$python" - <<'PY'
import json
events = [("accepted", {"direction": "outgoing"})] * 3 + [("delivered", {"transport": "smtp"})] * 2 + [("failed", {"severity": "permanent", "reason": "bounce"})]
print(json.dumps([{"specversion": "1.0", "id": f"m{i}", "source": "mta", "type": "email." + e, "subject": "post", "time": f"2026-03-0{1 + i % 2}T10:00:00Z",
                   "data": {"domain": "mail.example.com", "recipient": "r@example.net", **more}} for i, (e, more) in enumerate(events)]))
PY
)
ask /v1/events -H 'Content-Type: application/json' -d "$mails" >/dev/null
six() { [ "$(ask '/api/v1/meters/emails/query?subject=post&from=2026-03-01T00:00:00Z&to=2026-03-03T00:00:00Z' | grep -o '"value":6,')" ]; }
until_true 30 six
(cd "$here/mailgun" && go run . "$url/v3" "$key" post mail.example.com 2026-03-01T00:00:00Z 2026-03-02T12:00:00Z 3 2 1)

echo "=== kcat"
for i in 1 2 3; do
	printf '{"specversion":"1.0","id":"k%d","source":"kcat","type":"api.request","subject":"shell","time":"2026-03-01T00:00:00Z","data":{"api":"a","endpoint":"/k","method":"GET","status":200,"latency_ms":%d,"bytes":10}}\n' $((i % 3)) "$i"
done | kcat -P -b "$kafka" -t usage -k shell -X topic.partitioner=murmur2_random
printf '{"specversion":"1.0","id":"k0","source":"kcat","type":"api.request","subject":"shell","data":{"endpoint":"/k","status":200}}\n' | kcat -P -b "$kafka" -t usage -k shell -X topic.partitioner=murmur2_random
counted() { ask '/api/v1/meters/bytes/query?subject=shell&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z' | "$python" -c 'import json, sys; print([r["value"] for r in json.load(sys.stdin)["data"]])'; }
thirty() { [ "$(counted)" = '[30]' ]; }
until_true 30 thirty
same "bytes of three events and a repeat" "$(counted)" '[30]'

echo "=== DuckDB and pyarrow"
"$python" "$here/arrow.py" "$url" "$key" "$work/data/archive"
kill "$server"
wait "$server" || { echo "tallybook run ended with $?" >&2; exit 1; }
server=
"$tallybook" verify --data "$work/data"
"$tallybook" balance --data "$work/data"
