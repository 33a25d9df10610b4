"""Read an archive exactly, also while it is compacted: python3 manifest.py ARCHIVE

Takes the files of each date from its manifest.json, which names the live ones,
and leaves files alone that were replaced and wait to be deleted. Checks rows and
SHA-256 against the manifest; prints JSON: of each topic its dates, files, rows,
and the events that are left when corrections are taken off. Ends with 1 at the
first difference.
"""

import glob
import hashlib
import json
import os
import sys

import duckdb


def main(archive):
    db = duckdb.connect()
    out = {}
    for topic in ("usage", "errors", "emails"):
        files, rows, dates = [], 0, 0
        for path in sorted(glob.glob(f"{archive}/{topic}/date=*/manifest.json")):
            with open(path) as f:
                manifest = json.load(f)
            dates, rows = dates + 1, rows + manifest["rows"]
            for file in manifest["files"]:
                name = os.path.join(os.path.dirname(path), file["name"])
                with open(name, "rb") as f:
                    if hashlib.sha256(f.read()).hexdigest() != file["sha256"]:
                        sys.exit(f"{name} is not what {path} says")
                files.append(name)
        if not files:
            continue
        seen, events = db.execute(
            "SELECT count(*), coalesce(sum(sign), 0) FROM read_parquet($files, hive_partitioning = true)",
            {"files": files},
        ).fetchone()
        if seen != rows:
            sys.exit(f"{topic}: the files have {seen} rows, the manifests say {rows}")
        out[topic] = {"dates": dates, "files": len(files), "rows": seen, "events": int(events)}
    print(json.dumps(out, indent=1))


main(*sys.argv[1:])
