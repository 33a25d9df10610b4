#!/usr/bin/env python3
"""Sends one mail through tallybook and says what became of it.

usage: send_mail.py TO [--from ADDRESS] [--subject TEXT] [--body HTML | < HTML]

TALLYBOOK_URL (default http://127.0.0.1:8080) and TALLYBOOK_KEY name the server
and the key. Python's standard library only. Exit code 0: sent or kept; 1: refused.
"""
import argparse
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

p = argparse.ArgumentParser(description="Sends one mail through tallybook.")
p.add_argument("to", help="the recipient's address")
p.add_argument("--to-name", default=None, help="default: the address")
p.add_argument("--from", dest="sender", default="noreply@mg.example.com", help="the sender's address")
p.add_argument("--from-name", default="Tallybook")
p.add_argument("--subject", default="A message from Tallybook")
p.add_argument("--body", default=None, help="HTML; default: what is on standard input")
p.add_argument("--key", default=None, help="Idempotency-Key; with the same one a repeat is not sent again")
a = p.parse_args()

payload = {
    "to": a.to,
    "to_name": a.to_name or a.to,
    "from": a.sender,
    "from_name": a.from_name,
    "subject": a.subject,
    "body": sys.stdin.read() if a.body is None else a.body,
}
request = urllib.request.Request(
    os.environ.get("TALLYBOOK_URL", "http://127.0.0.1:8080").rstrip("/") + "/email",
    data=json.dumps(payload).encode(),
    headers={"Content-Type": "application/json", "Idempotency-Key": a.key or str(uuid.uuid4())},
)
if os.environ.get("TALLYBOOK_KEY"):
    request.add_header("Authorization", "Bearer " + os.environ["TALLYBOOK_KEY"])
try:
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
except urllib.error.HTTPError as e:
    sys.exit(f"{e.code}: {json.load(e).get('error', e.reason)}")
except urllib.error.URLError as e:
    sys.exit(f"no answer: {e.reason}")
print(answer["status"], "by " + answer["provider"] if answer["provider"] else answer.get("error", ""), answer["id"])
