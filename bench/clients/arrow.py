"""The Arrow answers, read by pyarrow, against the JSON ones and against DuckDB over the archive.

python3 arrow.py URL KEY ARCHIVE
"""
import decimal
import json
import sys
import urllib.request

import duckdb
import pyarrow as pa

url, key, archive = sys.argv[1:]
ARROW = "application/vnd.apache.arrow.stream"


def get(path, accept="application/json"):
    request = urllib.request.Request(url + path, headers={"apiKey": key, "Accept": accept})
    with urllib.request.urlopen(request) as response:
        body = response.read()
        assert response.headers["Content-Type"].startswith(accept), response.headers["Content-Type"]
        return body


def table(path):
    return pa.ipc.open_stream(get(path, ARROW)).read_all()


def same(what, got, want):
    if got != want:
        sys.exit(f"DIFFERENCE in {what}:\n  got  {got}\n  want {want}")
    print(f"{what}: {got}")


number = lambda v: None if v is None else decimal.Decimal(str(v)).normalize()

meter = "/api/v1/meters/requests/query?subject=shell&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z&groupBy=endpoint&groupBy=status"
rows = json.loads(get(meter), parse_float=decimal.Decimal)["data"]
arrow = table(meter)
same("meter query, Arrow = JSON",
     sorted((number(r["value"]), r["endpoint"], r["status"]) for r in arrow.to_pylist()),
     sorted((number(r["value"]), r["groupBy"]["endpoint"], r["groupBy"]["status"]) for r in rows))

summary = "/v2/summary?begin=2019-05&end=2019-06&groupby=type,project_id&response_format=object"
rows = json.loads(get(summary), parse_float=decimal.Decimal)["results"]
same("summary, Arrow = JSON",
     sorted((r["type"], r["project_id"], number(r["qty"]), number(r["rate"])) for r in table(summary).to_pylist()),
     sorted((r["type"], r["project_id"], number(r["qty"]), number(r["rate"])) for r in rows))

scan = duckdb.sql(f"""SELECT endpoint, sum(sign * quantity), sum(sign * bytes) FROM '{archive}/usage/*/*.parquet'
    WHERE account = 'shell' AND time < '2026-03-02' GROUP BY 1""").fetchall()
same("DuckDB over the archive", [(e, number(q), int(b)) for e, q, b in scan], [("/k", number(3), 30)])
