"""Results of one backfill, compared with the expected ones; see ``backfill.py``."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import common
from fleet import CELERY, LOCAL, WORKERS

START = datetime(2026, 1, 1, tzinfo=timezone.utc)  # as the example's
DAY = timedelta(days=1)
SLOTS, CONCURRENCY = 4, 4


@dataclass(frozen=True)
class Scale:
    """How much is read, and how many requests a second are answered; the others get 429."""

    days: int
    logs: int
    rate: int

    @property
    def end(self) -> datetime:
        """Return the end of the last window."""
        return START + self.days * DAY


@dataclass(frozen=True)
class Day:
    """One window: its logs by the workspace itself, and whether the file holds exactly these."""

    logs: int
    exact: bool


@dataclass(frozen=True)
class Outcome:
    """What one executor made of the backfill.

    :param wall: seconds from the creation of the backfill to the end of its last run.
    :param tries: of all tasks, the killed ones included.
    :param counted: the requests that the tasks themselves counted, in the tries that succeeded.
    :param stats: what the sandbox counted.
    :param verified: what ``airflow_provider_secoda.verify --json`` printed.
    """

    executor: str
    succeeded: int
    wall: float
    tries: list[dict[str, Any]]
    counted: int
    stats: dict[str, Any]
    days: list[Day]
    verified: dict[str, Any]

    @property
    def answers(self) -> dict[str, int]:
        """Return the number of answers by status."""
        found: dict[str, int] = {}
        for counts in self.stats["by_path"].values():
            for status, count in counts.items():
                found[status] = found.get(status, 0) + count
        return found

    @property
    def pages(self) -> int:
        """Return how many pages the windows are on, each window counted for itself."""
        found = newer = 0
        for day in reversed(self.days):
            found += -(-(newer + day.logs) // common.PAGE_SIZE) - newer // common.PAGE_SIZE if day.logs else 0
            newer += day.logs
        return found

    @property
    def at_once(self) -> int:
        """Return how many tries ran at the same time, at most."""
        moments = [(one["start"], 1) for one in self.tries] + [(one["end"], -1) for one in self.tries]
        running = most = 0
        for _, change in sorted(moments):
            running += change
            most = max(most, running)
        return most

    def aims(self, scale: Scale) -> dict[str, bool]:
        """Return what was to be shown, and whether it was."""
        totals = self.verified["totals"]
        return {
            "each window has its logs, each once, byte for byte": (
                self.succeeded == len(self.days) == scale.days
                and all(day.exact for day in self.days)
                and sum(day.logs for day in self.days) == self.stats["logs"] == scale.logs == totals["records"]
            ),
            "`verify` finds no gap, overlap or incomplete window": self.verified["status"] == "ok"
            and totals["series"] == 1,
            "throttled, and never more requests in flight than configured": (
                self.answers.get("429", 0) > 0 and self.stats["peak_in_flight"] <= SLOTS * CONCURRENCY
            ),
        }


def report(found: list[Outcome], scale: Scale) -> str:
    """Return the outcomes next to each other, as Markdown."""
    names = {LOCAL: "LocalExecutor", CELERY: f"CeleryExecutor, {WORKERS} workers"}
    rows = {
        "runs that succeeded, of windows": lambda one: f"{one.succeeded} of {scale.days}",
        "files with exactly the workspace's own logs": lambda one: f"{sum(day.exact for day in one.days)}",
        "logs in them, of the workspace's": lambda one: (
            f"{one.verified['totals']['records']:,} of {one.stats['logs']:,}"
        ),
        "`verify`: verdict, findings, series": lambda one: "{verdict}, {findings}, {series}".format(
            verdict=one.verified["status"], **one.verified["totals"]
        ),
        "requests that the sandbox counted": lambda one: f"{one.stats['requests']:,}",
        "… of these throttled (429)": lambda one: f"{one.answers.get('429', 0):,}",
        "… other answers than 200 and 429": lambda one: (
            f"{sum(count for status, count in one.answers.items() if status not in ('200', '429')):,}"
        ),
        "requests that the tasks returned": lambda one: f"{one.counted:,}",
        "pages that hold the windows": lambda one: f"{one.pages:,}",
        f"requests in flight, most (at most {SLOTS} · {CONCURRENCY} = {SLOTS * CONCURRENCY})": lambda one: one.stats[
            "peak_in_flight"
        ],
        f"tasks at once, most (pool of {SLOTS})": lambda one: one.at_once,
        "tries, of these failed or killed": lambda one: (
            f"{len(one.tries)}, {sum(each['state'] != 'success' for each in one.tries)}"
        ),
        "wall time": lambda one: f"{one.wall:.0f} s",
        "a try that succeeded, median (least-most)": lambda one: _spread(one.tries),
    }
    table = common.table(
        ["", *(names[one.executor] for one in found)], [[what, *map(tell, found)] for what, tell in rows.items()]
    )
    aims = [
        f"- {names[one.executor]}: {aim}: {'yes' if held else '**no**'}."
        for one in found
        for aim, held in one.aims(scale).items()
    ]
    return "\n".join([table, "", *aims])


def _spread(tries: list[dict[str, Any]]) -> str:
    seconds = [one["duration"] for one in tries if one["state"] == "success"]
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f}-{max(seconds):.1f})" if seconds else "-"
