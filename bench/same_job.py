"""The same job in DuckDB, two threads, from a plain file: parse the events,
drop repeats of (account, source, id), sum by series and hour, write Parquet.

usage: same_job.py EVENTS.ndjson OUT.parquet
It reads no log, keeps no positions and commits once: a bound, not a peer.
"""
import sys, time
import duckdb

events, out = sys.argv[1], sys.argv[2]
db = duckdb.connect()
db.execute("SET threads = 2")
began = time.monotonic()
db.execute("""
CREATE TABLE e AS
SELECT * FROM read_json(?, format='newline_delimited', columns={
  id: 'VARCHAR', source: 'VARCHAR', type: 'VARCHAR', subject: 'VARCHAR', time: 'TIMESTAMP',
  data: 'STRUCT(api VARCHAR, version VARCHAR, endpoint VARCHAR, method VARCHAR, status INTEGER,
         latency_ms DECIMAL(18,9), bytes BIGINT, client_ip VARCHAR)'})
QUALIFY row_number() OVER (PARTITION BY subject, source, id) = 1""", [events])
db.execute("""
CREATE TABLE r AS
SELECT date_trunc('hour', time) AS hour, subject, data.api, data.version, data.endpoint, data.method, data.status,
       count(*) AS n, sum(data.latency_ms) AS latency, min(data.latency_ms) AS least, max(data.latency_ms) AS most,
       sum(data.bytes) AS bytes
FROM e GROUP BY ALL""")
db.execute(f"COPY (SELECT id, source, type, subject, time, data.* FROM e ORDER BY subject, time) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
took = time.monotonic() - began
counted = db.execute("SELECT count(*) FROM e").fetchone()[0]
rows = db.execute("SELECT count(*) FROM r").fetchone()[0]
print(f"{took:.3f} {counted} {rows}")
