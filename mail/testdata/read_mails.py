"""Reads mails with Python's email package and compares them with what they say.

usage: read_mails.py FOLDER    of NAME.eml and NAME.json
"""
import email
import email.header
import email.policy
import email.utils
import glob
import json
import sys



def name(raw, header):
    # Python before 3.13 keeps the space between two encoded words of a name,
    # against RFC 2047 6.2, with policy.default; its older interface does not.
    quoted, _ = email.utils.parseaddr(email.message_from_bytes(raw)[header])
    return str(email.header.make_header(email.header.decode_header(quoted)))


found = 0
for path in sorted(glob.glob(sys.argv[1] + "/*.eml")):
    with open(path, "rb") as f:
        raw = f.read()
    with open(path[:-4] + ".json") as f:
        want = json.load(f)
    m = email.message_from_bytes(raw, policy=email.policy.default)
    lines = lambda s: s.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    got = {
        "to_name": name(raw, "to"),
        "from_name": name(raw, "from"),
        "subject": m["subject"],
        "html": lines(m.get_body(("html",)).get_content()),
        "text": lines(m.get_body(("plain",)).get_content()),
        "message_id": m["message-id"],
    }
    want["html"], want["text"] = lines(want["html"]), lines(want["text"])
    for field, value in want.items():
        if got[field] != value:
            sys.exit(f"{path}: {field} is {got[field]!r}, should be {value!r}")
    if sorted(k.lower() for k in m.keys()) != sorted(
        ["date", "mime-version", "message-id", "x-outbox-id", "x-tags", "subject", "from", "to", "content-type"]
    ):
        sys.exit(f"{path}: headers {m.keys()}")
    if len(m["to"].addresses) != 1 or m["to"].addresses[0].addr_spec != "ann@example.net":
        sys.exit(f"{path}: to {m['to']}")
    if m.get_content_type() != "multipart/alternative" or len(list(m.iter_parts())) != 2:
        sys.exit(f"{path}: {m.get_content_type()}")
    defects = list(m.defects) + [d for p in m.walk() for d in p.defects] + [d for h in m.values() for d in h.defects]
    if defects:
        sys.exit(f"{path}: {defects}")
    if max(len(line) for line in raw.split(b"\r\n")) > 998:
        sys.exit(f"{path}: a line is too long")
    found += 1
if not found:
    sys.exit("no mails there")
print(f"{found} mails read by Python's email package say what they should")
