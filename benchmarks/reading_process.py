"""Measure one reader of one window, in this process alone: ``reading_process.py job.json result.json``.

First everything is imported, and (unless the job says no) a window of one minute is read to warm up: the
start of the memory. Then the window is read a number of times; the sandbox counts the requests.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import memory_usage


def main(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what was measured.

    ``walls`` and ``busy``: seconds of each run, on the clock and of processor time. ``start`` and ``peak``: MiB.
    ``requests`` of the last run, ``ids`` in its file and ``records``, how many different ones; ``notes``: what
    the reader said of each run.
    """
    url = job["sandbox"]["url"]
    read = import_module(f"readers.{job['reader']}").make(job)
    start, end = (datetime.fromisoformat(job[edge]) for edge in ("start", "end"))
    output = _new_output(folder, job)
    if job.get("warm_up", True):
        head = datetime.fromisoformat(job["head"])
        read(head - timedelta(minutes=1), head, output)
    _ask(url, "/sandbox/stats")
    began = memory_usage.start()
    walls, busy, notes, requests = [], [], [], 0
    for _ in range(job["runs"]):
        time.sleep(0.2)  # what the last run still had under way is over
        _ask(url, "/sandbox/reset-stats", b"")
        output = _new_output(folder, job)
        clock, processor = time.perf_counter(), time.process_time()
        note = read(start, end, output)
        walls.append(time.perf_counter() - clock)
        busy.append(time.process_time() - processor)
        requests = _ask(url, "/sandbox/stats")["requests"]
        notes.append(note)
    peak = memory_usage.peak()
    ids = _ids(output) if output.name.endswith(".jsonl") and output.exists() else None
    records = None if ids is None else len(set(ids))
    return {
        "walls": walls, "busy": busy, "requests": requests,
        "start": began, "peak": peak, "records": records, "notes": notes,
        "ids": ids if job.get("keep_ids", True) else None,
    }  # fmt: skip


def _new_output(folder: Path, job: dict[str, Any]) -> Path:
    """Return the path of a file in a directory of its own: no run replaces the file of another one."""
    return Path(tempfile.mkdtemp(dir=folder), f"out.{job.get('format', 'jsonl')}")


def _ids(path: Path) -> list[str]:
    with path.open("rb") as lines:
        return [json.loads(line)["id"] for line in lines]


def _ask(url: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url + path, body)) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    task, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(main(json.loads(task.read_text()), result.parent)))
