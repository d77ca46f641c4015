"""One day of 90, at the head, in the middle and at the far end: this operator, its rivals, the floor.

``python benchmarks/window.py > benchmarks/window.md``; ``--quick`` for a smoke run of half a minute.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import common
import msgspec

from airflow_provider_secoda.sandbox import Workspace

if TYPE_CHECKING:
    from datetime import datetime

OURS, FLOOR = "secoda_operator", "floor"
#: Reader, what it is called, what must be installed for it.
RIVALS = (
    ("requests_loop", "`requests` loop", "requests"),
    ("http_operator", "`HttpOperator`, pagination function", "apache-airflow-providers-http"),
    ("dlt_client", "dlt REST client", "dlt"),
)
CONCURRENCY = 4
#: Formats whose processor time is compared with that of the `requests` loop, which writes `.jsonl`.
FORMATS = ("jsonl", "jsonl.gz", "parquet")
#: Readers that do less than any complete one, whose processor time is compared, too.
FLOORS = {
    FLOOR: "floor: the bare pages with `requests`, 4 at once, bodies thrown away",
    "least": "floor: the pages with `requests`, logs as sent, SHA-256 of each and of the file; no check, no order",
}


@dataclass(frozen=True)
class Scale:
    """How much is read how often; ``days`` back from the end of the history begins each window."""

    logs: int
    days: int
    latency: float
    runs: int
    places: dict[str, int]
    week: bool = True


#: How long the history is of which processor time is measured.
DAYS = 30
FULL = Scale(50_000, 90, 0.02, 9, {"head": 1, "middle": 45, "far end": 90})
QUICK = Scale(5_000, 9, 0.005, 1, {"middle": 5}, week=False)


@dataclass(frozen=True)
class Window:
    """A window of the history, and what is true of it by the workspace itself, without any listing."""

    start: datetime
    end: datetime
    workspace: Workspace

    @cached_property
    def ids(self) -> list[str]:
        """Return the ids of its logs, in order."""
        return sorted(msgspec.json.decode(raw)["id"] for raw in self.workspace.window(self.start, self.end))

    @cached_property
    def pages(self) -> list[int]:
        """Return the numbers of the pages that hold it, newest first."""
        newer = len(self.workspace.window(self.end, common.UNTIL + timedelta(days=1)))
        first, last = newer // common.PAGE_SIZE, (newer + len(self.ids) - 1) // common.PAGE_SIZE
        return list(range(first + 1, last + 2))


@dataclass(frozen=True)
class Measured:
    """What one reader did with one window."""

    name: str
    window: Window
    result: dict[str, Any]

    @property
    def wall(self) -> float:
        """Return the median of the wall times, in seconds."""
        return statistics.median(self.result["walls"])

    def row(self, ours: float) -> list[Any]:
        """Return its line of the table, with the wall time as a multiple of ``ours``."""
        walls, ids = self.result["walls"], self.result["ids"]
        verdict = "-" if ids is None else "exact" if sorted(ids) == self.window.ids else "WRONG"
        return [
            self.name,
            self.result["requests"],
            f"{_ms(self.wall)} ({_ms(min(walls))}-{_ms(max(walls))})",
            f"{self.wall / ours:.2f}",
            _ms(statistics.median(self.result["busy"])),
            f"{self.result['peak'] - self.result['start']:.1f}",
            verdict,
        ]


def measure(sandbox: dict[str, Any], window: Window, scale: Scale) -> list[Measured]:
    """Read one window with all readers that are installed, each in a process of its own."""
    plan = [(OURS, f"**this operator**, concurrency {CONCURRENCY}", CONCURRENCY, True)]
    if scale is FULL:
        plan += [(OURS, f"this operator, concurrency {width}", width, True) for width in (1, 8)]
    plan += [(reader, name, 1, common.installed(needs) is not None) for reader, name, needs in RIVALS]
    plan += [(FLOOR, f"floor: its {len(window.pages)} pages, {CONCURRENCY} at once", CONCURRENCY, True)]
    found = []
    for reader, name, concurrency, installed in plan:
        if not installed:
            _say(f"{name}: not installed, left out (see benchmarks/README.md)")
            continue
        _say(f"{window.start:%Y-%m-%d}: {name}")
        slow = reader not in (OURS, FLOOR) and window.pages[0] > 1
        job = {
            "sandbox": sandbox,
            "reader": reader,
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
            "head": common.UNTIL.isoformat(),
            "runs": min(scale.runs, 3) if slow else scale.runs,
            "concurrency": concurrency,
            "pages": window.pages,
            "watch": True,
        }
        found.append(Measured(name, window, common.work(job)))
    return found


def processor_time(logs: int, runs: int) -> list[list[Any]]:
    """Return a table of the processor time a log when a complete history is read and the server answers at once.

    In each round the `requests` loop and then this operator read it, each in a process of its own: so what else the
    machine does concerns both, and the ratio says more than the microseconds.
    """
    found: dict[str, list[float]] = {name: [] for name in (RIVALS[0][0], *FORMATS, *FLOORS)}
    with common.sandbox(logs, DAYS, 0) as sandbox:
        for _ in range(runs):
            for name, values in found.items():
                _say(f"processor time of {logs:,} logs: {name}")
                job = {
                    "sandbox": sandbox,
                    "reader": OURS if name in FORMATS else name,
                    "format": name if name in FORMATS else "jsonl",
                    "start": (common.UNTIL - timedelta(days=DAYS)).isoformat(),
                    "end": common.UNTIL.isoformat(),
                    "head": common.UNTIL.isoformat(),
                    "runs": 1,
                    "concurrency": CONCURRENCY,
                    "pages": list(range(1, -(-logs // common.PAGE_SIZE) + 1)),
                    "keep_ids": False,
                }
                values.append(common.work(job)["busy"][0] / logs * 1e6)
    rows = []
    loop = found.pop(RIVALS[0][0])
    for name, values in found.items():
        ratios = [value / base for value, base in zip(values, loop, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        shown = FLOORS.get(name, f"this operator, `.{name}`")
        rows.append([shown, f"{statistics.median(values):.1f}", ratio])
    return [[RIVALS[0][1] + ", `.jsonl`", f"{statistics.median(loop):.1f}", "1"], *rows]


def breakdown(ours: Measured, floor: Measured, total_pages: int) -> list[Any]:
    """Return where the requests and the time of the median run of this operator went.

    The search is what ``open_listing`` and ``find_first_page`` take, by a clock around them; what comes after the
    last answer's headers is counted as the file; the rest is reading. A page that holds the window counts as
    such even if the search came upon it; a request for a page that was had before is a re-read.
    """
    walls = ours.result["walls"]
    note = ours.result["notes"][walls.index(statistics.median_low(walls))]
    held = set(ours.window.pages)
    window, again, search, ahead = set(), 0, 0, 0
    seen: set[tuple[str, int]] = set()
    for sent, _, order, page in note["requests"]:
        if (order, page) in seen:
            again += 1
        elif order == "desc" and page in held:
            window.add(page)
        elif order == "asc" or sent < note["search_end"]:
            search += 1
        else:
            ahead += 1
        seen.add((order, page))
    above, bound = len(note["requests"]) - len(window), 2 * math.log2(total_pages) + 4
    floor_ms, search_ms, file_ms = (seconds * 1000 for seconds in (floor.wall, note["search"], note["tail"]))
    wall_ms, limit_ms = ours.wall * 1000, 1.3 * floor_ms + search_ms
    return [
        f"{len(window)} of {len(held)}",
        search,
        again,
        ahead,
        f"{above} ≤ {bound:.1f}: {_yes(above <= bound)}",
        f"{search_ms:.0f}",
        f"{wall_ms - search_ms - file_ms:.0f}",
        f"{file_ms:.0f}",
        (f"{wall_ms:.0f} ≤ 1.3 · {floor_ms:.0f} + {search_ms:.0f} = {limit_ms:.0f}: {_yes(wall_ms <= limit_ms)}"),
    ]


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small history, the middle of it, one run")
    parser.add_argument("--processor", action="store_true", help="only the processor time a log")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    if arguments.processor:
        _print_processor_time(scale)
        return
    workspace = Workspace.generate(common.SEED, scale.logs, scale.days, common.UNTIL)
    total_pages = -(-scale.logs // common.PAGE_SIZE)
    print(f"# One window of a history of {scale.logs:,} logs\n\n{common.facts()}\n")
    print(
        f"Listing of {total_pages} pages of {common.PAGE_SIZE} logs, {scale.latency * 1000:g} ms latency. "
        "Times in ms: median (least-most) of the runs after a warm-up; memory in MiB above the start."
    )
    breakdowns, exact = [], True
    with common.sandbox(scale.logs, scale.days, scale.latency) as sandbox:
        windows = {name: (back, 1) for name, back in scale.places.items()}
        if scale.week:
            windows["week in the middle"] = (48, 7)
        for name, (back, days) in windows.items():
            start = common.UNTIL - timedelta(days=back)
            window = Window(start, start + timedelta(days=days), workspace)
            found = measure(sandbox, window, scale)
            pages = f"pages {window.pages[0]}-{window.pages[-1]}"
            print(f"\n## {name.capitalize()}: {len(window.ids)} logs on {pages}\n")
            head = ["", "requests", "wall time", "to ours", "processor", "peak memory", "ids"]
            print(common.table(head, [one.row(found[0].wall) for one in found]), flush=True)
            breakdowns.append([name, *breakdown(found[0], found[-1], total_pages)])
            exact &= all(one.row(1)[-1] != "WRONG" for one in found)
    _print_processor_time(scale)
    print("\n## Where this operator's requests and time go\n")
    head = ["", "window's pages", "search", "re-reads", "ahead, unused", "above the window's pages"]
    head += ["search, ms", "reading, ms", "file, ms", "aim for the wall time"]
    print(common.table(head, breakdowns))
    if not exact:
        sys.exit("a reader's logs are not exactly those of the window")


def _print_processor_time(scale: Scale) -> None:
    logs, runs = (20_000, 5) if scale is FULL else (2_000, 1)
    print(f"\n## Processor time a log: {logs:,} logs, no latency\n")
    head = ["", "µs a log", "of the loop's: median (least-most) of the rounds"]
    print(common.table(head, processor_time(logs, runs)), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _yes(held: bool) -> str:
    return "yes" if held else "**no**"


if __name__ == "__main__":
    main()
