"""What it costs to wait: a thousand deferred sensors, a thousand watchers, and a thousand of Airflow's HttpSensor.

``python benchmarks/waiting.py > benchmarks/waiting.md``; ``--quick`` for a smoke run of half a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from typing import Any

import common

#: KiB of memory a sensor, ms of processor time a poll, requests an interval of all watchers together.
MEMORY, PROCESSOR, REQUESTS = 100.0, 2.0, 1.5
_KINDS = (
    ("sensors", "`SecodaVersionHistorySensor`, deferred"),
    ("http", "Airflow's `HttpSensor`, deferred"),
    ("watchers", "`SecodaVersionHistoryEventTrigger`, watchers"),
)


def prepare(sandbox: dict[str, Any], count: int) -> None:
    """Give every resource three versions of long ago."""
    for number in range(count):
        for year in (2023, 2024, 2025):
            body = {"resource_id": f"r{number}", "latest_activity_logged_at": f"{year}-05-05T05:05:05Z"}
            request = urllib.request.Request(f"{sandbox['url']}/sandbox/versions", json.dumps(body).encode())
            urllib.request.urlopen(request).close()


def main() -> None:
    """Print one line for each kind, and whether the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sensors, short intervals")
    parser.add_argument("--only", help="one kind: " + ", ".join(kind for kind, _ in _KINDS))
    arguments = parser.parse_args()
    count, interval, rounds = (100, 4.0, 2) if arguments.quick else (1000, 30.0, 2)
    rows, found = [], dict[str, dict[str, Any]]()
    for kind, name in _KINDS:
        if arguments.only not in (None, kind):
            continue
        if kind == "http" and common.installed("apache-airflow-providers-http") is None:
            print(f"{name}: apache-airflow-providers-http is not installed", file=sys.stderr)
            continue
        print(f"{count:,} times {name}", file=sys.stderr, flush=True)
        with common.sandbox(2000, 30, 0.02) as sandbox:
            prepare(sandbox, count)
            job = {"sandbox": sandbox, "reader": kind, "count": count, "interval": interval, "rounds": rounds}
            one = found[kind] = common.work(job, script="waiting_process.py")
        rows.append([
            name,
            f"{one['requests_a_minute']:.0f}",
            f"{one['requests_an_interval']:.1f}",
            f"{one['processor_ms']:.2f}",
            f"{one['processor_share']:.1%}",
            f"{one['kib']:.0f}",
            f"{one['largest_delay']:.1f} s",
            f"{one['fired']} of {one['added']}",
        ])  # fmt: skip
    print(f"# Waiting\n\n{common.facts()}\n\n{count:,} of each, polling every {interval:g} s, in one process.\n")
    head = ["", "requests a minute", "requests an interval", "processor time a poll, ms", "share of a core"]
    print(common.table([*head, "memory of each, KiB", "largest delay", "fired"], rows))
    verdicts = []
    if "sensors" in found:
        ours = found["sensors"]
        verdicts.append(f"A sensor under {MEMORY:g} KiB: {_yes(ours['kib'] < MEMORY)}")
        verdicts.append(f"under {PROCESSOR:g} ms of processor time a poll: {_yes(ours['processor_ms'] < PROCESSOR)}")
    if "watchers" in found:
        few = found["watchers"]["requests_an_interval"] <= REQUESTS
        verdicts.append(f"all watchers cost one request an interval: {_yes(few)}")
    print(f"\n{'; '.join(verdicts)}.")


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


if __name__ == "__main__":
    main()
