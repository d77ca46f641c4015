"""How much memory a window takes, as its number of logs grows: this operator by format, and a list of logs.

``python benchmarks/memory.py > benchmarks/memory.md``; ``--quick`` for a smoke run of some 20 seconds.
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from typing import Any

import common

DAYS = 30
#: A row group of Parquet has up to 64 MiB of logs, on disk while it is written; a part of that counts as memory.
LIMIT = 160.0
#: Between two sizes, memory that differs by less is the noise of the allocator.
NOISE = 8.0
OURS = "secoda_operator"
_READERS = (
    (OURS, "jsonl", "this operator, `.jsonl`"),
    (OURS, "jsonl.gz", "this operator, `.jsonl.gz`"),
    (OURS, "parquet", "this operator, `.parquet`"),
    ("requests_loop", "jsonl", "`requests` loop into a list"),
)


def measure(sandbox: dict[str, Any], reader: str, kind: str, logs: int) -> dict[str, Any]:
    """Read the complete history once, in a process of its own."""
    print(f"{logs:,} logs: {reader}, {kind}", file=sys.stderr, flush=True)
    job = {
        "sandbox": sandbox,
        "reader": reader,
        "format": kind,
        "start": (common.UNTIL - timedelta(days=DAYS)).isoformat(),
        "end": common.UNTIL.isoformat(),
        "warm_up": False,
        "runs": 1,
        "concurrency": 4,
        "keep_ids": False,
    }
    result = common.work(job)
    if result["records"] not in (None, logs):
        sys.exit(f"{reader}, {kind}: {result['records']} logs instead of {logs}")
    return result


def main() -> None:
    """Print one line for each reader, and whether the aim is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the logs, two readers only")
    quick = parser.parse_args().quick
    sizes = (2_000, 10_000) if quick else (80_000, 240_000)  # more than one row group of Parquet
    readers = [_READERS[0], _READERS[3]] if quick else list(_READERS)
    found: dict[str, list[dict[str, Any]]] = {name: [] for _, _, name in readers}
    for logs in sizes:
        with common.sandbox(logs, DAYS, 0) as sandbox:
            for reader, kind, name in readers:
                found[name].append(measure(sandbox, reader, kind, logs))
    print(f"# Memory of one window\n\n{common.facts()}\n")
    head = ["", "start", *(f"peak above it, {logs:,} logs" for logs in sizes), "growth"]
    head += [f"wall time, {sizes[-1]:,} logs"]
    rows = []
    for name, results in found.items():
        small, large = map(_above, results)
        start, wall = results[0]["start"], results[-1]["walls"][0]
        above = f"{small:.1f}", f"{large:.1f}", f"{large - small:+.1f}"
        rows.append([name, f"{start:.0f}", *above, f"{wall:.1f} s"])
    print(common.table(head, rows))
    ours = [found[name] for reader, _, name in readers if reader == OURS]
    small_enough = all(_above(results[-1]) <= LIMIT for results in ours)
    flat = all(_above(results[-1]) - _above(results[0]) < NOISE for results in ours)
    print(f"\nMiB. At most {LIMIT:g} above the start with {sizes[-1]:,} logs: {_yes(small_enough)}", end="")
    if quick:
        print("; these are too few logs to say whether it grows on.")
    else:
        print(f"; not growing from {sizes[0]:,} (by less than {NOISE:g}): {_yes(flat)}.")
    pyarrow = max(note["pyarrow"] for results in ours for result in results for note in result["notes"])
    if pyarrow > 1:
        print(f"Importing pyarrow takes {pyarrow:.0f}, which is part of the start of `.parquet`.")


def _above(result: dict[str, Any]) -> float:
    return float(result["peak"] - result["start"])


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


if __name__ == "__main__":
    main()
