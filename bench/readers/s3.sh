#!/usr/bin/env bash
# Counts the sample with its archive in a real S3 server (scripts/s3.sh), and lets
# pyarrow's own S3 client read the bucket: what it counts must be what was sent.
#
#   bench/readers/s3.sh        PYTHON=… a python3 with pyarrow; TALLYBOOK=… the program
set -euo pipefail
readers=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$readers/../.." && pwd)
python=${PYTHON:-python3}
"$python" -c 'import pyarrow' || exit 2
unset "${!TALLYBOOK_@}"
work=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-s3-XXXXXX")
trap '"$repo/scripts/s3.sh" stop "$work/s3"; rm -rf "$work"' EXIT
program=${TALLYBOOK:-}
[ -n "$program" ] || { program=$work/tallybook; (cd "$repo" && go build -o "$program" .); }

"$repo/scripts/s3.sh" start "$work/s3" >"$work/env"
. "$work/env"
cd "$repo"
"$program" demo --exit --data "$work/data" --archive "$S3_ARCHIVE" --http 127.0.0.1:0 --kafka-listen 127.0.0.1:0 >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
grep -e 'accepted by the broker' -e '^ *verify ' -e '^ *balance ' "$work/out"
"$python" - <<'P'
import os, pyarrow.dataset, pyarrow.fs
store = pyarrow.fs.S3FileSystem(access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
                                endpoint_override=os.environ["S3_TEST_ENDPOINT"].split("//")[1], scheme="http", region=os.environ["AWS_REGION"])
rows = {}
for topic in ("usage", "errors", "emails"):
    data = pyarrow.dataset.dataset("tallybook/archive/" + topic, filesystem=store, format="parquet", partitioning="hive")
    table = data.to_table(columns=["id", "account", "sign"])
    rows[topic] = sum(table["sign"].to_pylist())
    assert table.num_rows == len(set(zip(table["id"].to_pylist(), table["account"].to_pylist()))), topic + ": an id is there twice"
print("pyarrow, from the bucket:", rows)
staged = [f.path for f in store.get_file_info(pyarrow.fs.FileSelector("tallybook/archive/_staging", recursive=True, allow_not_found=True)) if f.is_file]
assert not staged, staged
assert sum(rows.values()) == 660, rows
P
echo "good: what pyarrow reads from the bucket is what was sent"
