"""The control API: its requests and what they do, for the server's own description and for the command's help."""

from __future__ import annotations

#: Needs no API key, because the server listens on loopback only.
CONTROL = {
    "POST /sandbox/logs": "add a log (an object with its fields; {} invents one), or a list of logs",
    "POST /sandbox/versions": "add a version (an object with resource_id)",
    "GET /sandbox/versions": "the versions of a resource; parameter: resource_id",
    "PUT /sandbox/faults": "replace all faults; {} turns them off",
    "GET /sandbox/window": "the logs of a window as JSON lines, in ascending (timestamp, id); "
    "parameters: start, end (excluded), timestamp_field",
    "GET /sandbox/stats": "requests by path and status, peak of concurrent requests, number of logs",
    "POST /sandbox/reset-stats": "clear the requests",
}
