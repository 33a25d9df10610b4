"""Sends usage events with kafka-python, with each compression, keyed and
unkeyed: produce.py BROKER FIRST_ID EVENTS. Prints how many altogether."""
import json
import sys

from kafka import KafkaProducer

broker, next_id, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sent = 0
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=codec, linger_ms=20, acks="all")
    for key in (b"acct-1", None):
        for _ in range(each):
            event = {"specversion": "1.0", "id": str(next_id), "source": "s", "type": "api.request", "subject": "acct-1",
                     "time": "2026-01-12T00:00:00Z", "data": {"api": "a", "endpoint": "/", "method": "GET", "status": 200}}
            producer.send("usage", key=key, value=json.dumps(event).encode())
            next_id += 1
            sent += 1
    producer.flush()
    producer.close()
print(sent)
