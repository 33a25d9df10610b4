"""Check the meter query against the same facts as facts.py does.

    python3 answers.py URL          the facts
    python3 answers.py URL --wait   until both files are counted, 60 s at most
    python3 answers.py URL --wait-for METER ACCOUNT VALUE
"""

import json
import sys
import time
import urllib.parse
import urllib.request
from decimal import Decimal

from facts import BYTES, DAYS, NOVA_LATENCY_MS, NOVA_ROWS, NOVA_STATUSES, STATUSES, TENANTS, WEB, WEB_ROWS, by_tenant, check

NOVA = ("filterGroupBy[api]", "compute")


def ask(url, meter, *params):
    query = urllib.parse.urlencode(params)
    with urllib.request.urlopen(f"{url}/api/v1/meters/{meter}/query?{query}", timeout=10) as answer:
        if not answer.headers.get("X-Data-Through"):
            sys.exit(f"DIFFERENCE: the answer of {meter} has no X-Data-Through")
        return json.load(answer, parse_float=Decimal)["data"]


def total(url, meter, *params):
    rows = ask(url, meter, *params)
    return rows[0]["value"] if rows else 0


def groups(url, meter, name, *params):
    rows = ask(url, meter, ("groupBy", name), *params)
    return {row["subject"] if name == "subject" else int(row["groupBy"][name]): row["value"] for row in rows}


def days(rows):
    return {row["windowStart"][:10]: row["value"] for row in rows}


def hours_by_day(rows):
    out = {}
    for row in rows:
        day = row["windowStart"][:10]
        out[day] = out.get(day, 0) + row["value"]
    return out


def facts(url):
    print("GET /api/v1/meters/{slug}/query")
    web = ("subject", WEB)
    check("web requests", total(url, "requests", web), WEB_ROWS)
    check("web, by status", groups(url, "requests", "status", web), STATUSES)
    check("web, by DAY", days(ask(url, "requests", web, ("windowSize", "DAY"))), DAYS)
    check("web, by HOUR, added up", hours_by_day(ask(url, "requests", web, ("windowSize", "HOUR"))), DAYS)
    check("web, by MONTH", days(ask(url, "requests", web, ("windowSize", "MONTH"))), {"2015-05-01": WEB_ROWS})
    check("web, body bytes", total(url, "bytes", web), BYTES)
    check("compute requests", total(url, "requests", NOVA), NOVA_ROWS)
    check("compute, by tenant", by_tenant(groups(url, "requests", "subject", NOVA)), TENANTS)
    check("compute, by status", groups(url, "requests", "status", NOVA), NOVA_STATUSES)
    latency = ask(url, "latency", NOVA)[0]
    check("compute, durations in ms", (latency["count"], latency["sum"]), (NOVA_ROWS, NOVA_LATENCY_MS))


def wait_for(what, read, want):
    deadline = time.monotonic() + 60
    while (got := read()) != want:
        if time.monotonic() > deadline:
            sys.exit(f"DIFFERENCE: {what} is {got} after 60 s, should be {want}")
        time.sleep(0.05)
    print(f"  {what}: {got}")


def main(url, *args):
    if not args:
        facts(url)
    elif args[0] == "--wait":
        wait_for("requests counted", lambda: total(url, "requests"), WEB_ROWS + NOVA_ROWS)
    elif args[0] == "--wait-for":
        meter, account, value = args[1:]
        wait_for(f"{meter} of {account}", lambda: total(url, meter, ("subject", account)), Decimal(value))
    else:
        sys.exit(f"unknown argument {args[0]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
