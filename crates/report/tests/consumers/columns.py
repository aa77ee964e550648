"""Reads a Parquet file and compares it with the NDJSON of the same run, key for key."""

import json
import sys
from datetime import datetime

import pyarrow.parquet

SERVER = {"pid", "uptime_s", "pointer_size", "threads", "curr_items", "bytes",
          "limit_maxbytes", "curr_connections"}
AMPLIFICATION = {"command", "request_bytes", "reply_bytes", "datagrams", "payload_ratio",
                 "wire_ratio"}
ORDER = ["info", "low", "medium", "high", "critical"]

file = pyarrow.parquet.ParquetFile(sys.argv[1])
rows = file.read().to_pylist()
lines = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
lines = [line for line in lines if line["record"] == "endpoint"]
assert len(rows) == len(lines), (len(rows), len(lines))


def expected(line, name):
    if name == "timestamp":
        return datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00"))
    if name == "findings":
        return [finding["code"] for finding in line["findings"]]
    if name == "worst_severity":
        words = [finding["severity"] for finding in line["findings"]]
        return max(words, key=ORDER.index) if words else None
    if name == "tags":
        return line.get("tags", [])
    if name in SERVER:
        # A number where the server gives one; a text in its place has no column.
        value = line.get("server", {}).get(name)
        return value if isinstance(value, int) else None
    if name == "reply_complete":
        return line.get("amplification", {}).get("complete")
    if name in AMPLIFICATION:
        return line.get("amplification", {}).get(name)
    return line.get(name)


for row, line in zip(rows, lines):
    for name, value in row.items():
        assert value == expected(line, name), (name, value, expected(line, name))
print(json.dumps({
    "rows": len(rows),
    "groups": file.metadata.num_row_groups,
    "types": {field.name: str(field.type) for field in file.schema_arrow},
}))
