"""One column of the archive's files summed by DuckDB, two threads; the best of
as many times as standard input says.

usage: same_scan.py FOLDER
"""
import json, sys, time
import duckdb

db = duckdb.connect()
db.execute("SET threads = 2")
best = 1e9
for _ in range(json.load(sys.stdin)):
    began = time.perf_counter()
    rows = db.execute("SELECT sum(sign * bytes) FROM read_parquet($files)", {"files": sys.argv[1] + "/archive/usage/*/*.parquet"}).fetchall()
    best = min(best, time.perf_counter() - began)
print(json.dumps({"Seconds": best, "Sum": int(rows[0][0])}))
