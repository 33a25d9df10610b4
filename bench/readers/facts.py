"""Check an archive against the facts of shared/data/README.md, to the digit.

    python3 facts.py ARCHIVE

ARCHIVE was filled by importing access-combined.log.gz (--format combined
--account web) and openstack-nova.log.gz (--format openstack --account-from
tenant). DuckDB counts by SQL, pyarrow reads the files' own types. Ends with 1
at the first difference.
"""

import glob
import sys
from decimal import Decimal

WEB = "web"
NO_TENANT = "_none"  # account of lines without a tenant, where --account names none

STATUSES = {200: 9126, 304: 445, 404: 213, 301: 164, 206: 45, 500: 3, 416: 2, 403: 2}
DAYS = {"2015-05-17": 1632, "2015-05-18": 2893, "2015-05-19": 2896, "2015-05-20": 2579}
BYTES = 2_747_282_740
TENANTS = {"54fadb": 762, "e97469": 47, NO_TENANT: 119}  # by the beginning of the tenant
NOVA_STATUSES = {200: 856, 404: 29, 204: 22, 202: 21}
NOVA_LATENCY_MS = Decimal("238348.9596")
WEB_ROWS, NOVA_ROWS = 10_000, 928


def check(what, got, want):
    if got != want:
        sys.exit(f"DIFFERENCE in {what}:\n  got  {got}\n  want {want}")
    print(f"  {what}: {got}")


def files(archive, topic):
    return sorted(glob.glob(f"{archive}/{topic}/date=*/*.parquet"))


def by_tenant(counts):
    """Shorten the tenants' accounts as the facts do."""
    short = {name if name == NO_TENANT else name[:6]: n for name, n in counts.items()}
    if len(short) != len(counts):
        sys.exit(f"DIFFERENCE: tenants {sorted(counts)}")
    return short


def duckdb_facts(archive):
    import duckdb

    print(f"DuckDB {duckdb.__version__}, SQL on the Parquet files")
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")

    def rows(select, where):
        return db.execute(
            f"SELECT {select} FROM read_parquet($files, hive_partitioning = true) WHERE {where}",
            {"files": files(archive, "usage")},
        ).fetchall()

    web, nova = f"account = '{WEB}'", "api = 'compute'"
    check("web requests", rows("sum(sign), count(DISTINCT (account, source, id))", web), [(WEB_ROWS, WEB_ROWS)])
    check("web, by status", dict(rows("status, sum(sign)", web + " GROUP BY ALL")), STATUSES)
    check("web, by day of time", dict(rows("strftime(time, '%Y-%m-%d'), sum(sign)", web + " GROUP BY ALL")), DAYS)
    check("web, by folder", dict(rows("date::VARCHAR, sum(sign)", web + " GROUP BY ALL")), DAYS)
    check("web, body bytes", int(rows("sum(sign * bytes)", web)[0][0]), BYTES)
    check("web, quantity", rows("sum(sign * quantity)", web)[0][0], Decimal(WEB_ROWS))
    check("compute requests", rows("sum(sign), count(DISTINCT (account, source, id))", nova), [(NOVA_ROWS, NOVA_ROWS)])
    check("compute, by tenant", by_tenant(dict(rows("account, sum(sign)", nova + " GROUP BY ALL"))), TENANTS)
    check("compute, by status", dict(rows("status, sum(sign)", nova + " GROUP BY ALL")), NOVA_STATUSES)
    check("compute, durations in ms", rows("sum(sign * latency_ms::DECIMAL(18, 6))", nova)[0][0], NOVA_LATENCY_MS)


TIME = "timestamp[us, tz=UTC]"
COMMON = {
    "id": "string", "source": "string", "account": "string", "type": "string", "time": TIME,
    "topic_partition": "int32", "topic_offset": "int64", "row": "int32", "log_time": TIME,
    "sign": "int8", "target_id": "string", "data": "string",
}
REQUEST = dict.fromkeys(
    ["api", "version", "endpoint", "method", "client_ip", "key_id", "customer", "subscription"], "string"
) | {"status": "int32", "latency_ms": "double"}
COLUMNS = {  # archive.md
    "usage": COMMON | REQUEST | {
        "meter_version": "int32", "price_version": "int32", "amount": "decimal128(38, 9)",
        "quantity": "decimal128(38, 9)", "bytes": "int64", "currency": "string",
        "session": "string", "category": "string", "name": "string", "dimensions": "string",
    },
    "errors": COMMON | REQUEST | {
        "error_code": "string", "error_description": "string", "reason": "string", "message": "string",
        "input": "string", "origin_topic": "string", "origin_partition": "int32", "origin_offset": "int64",
    },
    "emails": COMMON | dict.fromkeys(
        ["domain", "event", "direction", "transport", "severity", "reason", "recipient", "message_id", "provider"],
        "string",
    ),
}


def pyarrow_facts(archive):
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    print(f"pyarrow {pyarrow.__version__}, rows and types")
    rows = 0
    for topic, columns in COLUMNS.items():
        names = files(archive, topic)
        if not names:
            print(f"  {topic}: no files")
            continue
        more = set()
        for name in names:
            file = pq.ParquetFile(name)
            types = {field.name: str(field.type) for field in file.schema_arrow}
            for column, want in columns.items():
                if types.get(column) != want:
                    sys.exit(f"DIFFERENCE in {name}: column {column} is {types.get(column)}, must be {want}")
            more |= types.keys() - columns.keys()
            table = file.read()
            if table.num_rows != file.metadata.num_rows:
                sys.exit(f"DIFFERENCE in {name}: {table.num_rows} rows, its footer says {file.metadata.num_rows}")
            keys = list(zip(table["account"].to_pylist(), table["time"].cast("int64").to_pylist()))
            if keys != sorted(keys):
                sys.exit(f"DIFFERENCE in {name}: rows are not sorted by account and time")
            days = set(pc.strftime(table["time"], "%Y-%m-%d").to_pylist())
            if len(days) != 1 or f"/date={days.pop()}/" not in name:
                sys.exit(f"DIFFERENCE in {name}: holds events of other dates")
            for group in range(file.metadata.num_row_groups):
                for column in range(file.metadata.num_columns):
                    codec = file.metadata.row_group(group).column(column).compression
                    if codec != "ZSTD":
                        sys.exit(f"DIFFERENCE in {name}: column {column} is compressed by {codec}, not ZSTD")
            if topic == "usage":
                wanted = pc.or_(pc.equal(table["account"], WEB), pc.equal(pc.fill_null(table["api"], ""), "compute"))
                rows += table.filter(wanted).num_rows
        extra = f"; besides archive.md: {', '.join(sorted(more))}" if more else ""
        print(f"  {topic}: {len(names)} files, {len(columns)} columns of the right types{extra}")
    check("imported rows", rows, WEB_ROWS + NOVA_ROWS)


if __name__ == "__main__":
    duckdb_facts(sys.argv[1])
    pyarrow_facts(sys.argv[1])
