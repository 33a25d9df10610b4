"""Count an archive with DuckDB: python3 count.py ARCHIVE SOURCE glob|manifests

The files are those that a glob finds, or those that the dates' manifests name.

Prints JSON for bench/known: of each topic the events that are left when
corrections are taken off, and the distinct identities of events and
corrections; how many have the given source, the bytes of the others, and how
many records the error rows stand for.
"""

import glob
import json
import os
import sys

import duckdb


def listed(archive, topic):
    for manifest in glob.glob(f"{archive}/{topic}/date=*/manifest.json"):
        with open(manifest) as f:
            for file in json.load(f)["files"]:
                yield os.path.join(os.path.dirname(manifest), file["name"])


def main(archive, source, by):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    out = {"Rows": {}, "Distinct": {}, "Own": 0, "Bytes": 0, "Refused": 0}
    for topic in ("usage", "errors", "emails"):
        files = sorted(listed(archive, topic) if by == "manifests" else glob.glob(f"{archive}/{topic}/date=*/*.parquet"))
        if not files:
            continue
        rows, distinct = db.execute(
            "SELECT coalesce(sum(sign), 0), count(DISTINCT (account, source, id))"
            " FROM read_parquet($files, hive_partitioning = true)"
            " WHERE type <> 'internal.error'",
            {"files": files},
        ).fetchone()
        out["Rows"][topic], out["Distinct"][topic] = int(rows), distinct
        if topic == "usage":
            out["Own"], out["Bytes"] = map(int, db.execute(
                "SELECT count(*) FILTER (source = $source), coalesce(sum(sign * bytes) FILTER (source <> $source), 0)"
                " FROM read_parquet($files)",
                {"files": files, "source": source},
            ).fetchone())
        if topic == "errors":
            out["Refused"] = int(db.execute(
                "SELECT coalesce(sum(records), 0) FROM read_parquet($files) WHERE type = 'internal.error'",
                {"files": files},
            ).fetchone()[0])
    print(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
