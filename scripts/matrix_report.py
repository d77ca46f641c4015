"""What came of the cells of the matrix, as a table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HEAD = ("Airflow", "Python", "passed", "skipped", "failed", "seconds", "dependencies", "on")
_SUMS = ("tests", "failures", "errors", "skipped")
_INTERRUPTED = 2  # pytest's own status; 0 and 1 are told by the counts


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    :ivar failed: tests that failed, and errors outside of tests.
    :ivar seconds: that the tests took, without setting up.
    :ivar reasons: of skipping, and how often each was given.
    :ivar problem: why there is no count, or why the count is not all.
    """

    airflow: str
    python: str
    dependencies: str
    on: str = ""
    passed: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0
    reasons: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def failed_how(self) -> str:
        """Return why this cell does not count as passed, or nothing."""
        return self.problem or (f"{self.failed} failed" if self.failed else "" if self.passed else "nothing passed")

    @property
    def row(self) -> tuple[str, ...]:
        """Return its row of the table."""
        counts = (str(self.passed), str(self.skipped), str(self.failed), f"{self.seconds:.0f}")
        if self.problem:
            counts = ("", "", f"**{self.problem}**", "")
        elif self.failed:
            counts = (*counts[:2], f"**{self.failed}**", counts[3])
        return (self.airflow, self.python, *counts, self.dependencies, self.on)


def read_result(result: Result, junit: Path, status: int) -> Result:
    """Return a result with what pytest left in its report, a JUnit file.

    :param status: pytest's exit status.
    """
    if not junit.exists():
        return replace(result, problem=f"pytest ended with {status}")
    suites = list(ET.parse(junit).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (sum(int(suite.get(name, 0)) for suite in suites) for name in _SUMS)
    told = (case.get("message", "") for suite in suites for case in suite.iter("skipped"))
    return replace(
        result,
        passed=tests - failures - errors - skipped,
        skipped=skipped,
        failed=failures + errors,
        seconds=sum(float(suite.get("time", 0)) for suite in suites),
        reasons=dict(Counter(told)),
        problem=f"pytest ended with {status}" if status >= _INTERRUPTED else "",
    )


def table(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown, which one can read in a terminal, too."""
    rows = [_HEAD, *(result.row for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def page(results: Sequence[Result], machine: str) -> str:
    """Return a page with the table, and what was skipped where, and why."""
    where: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for reason, times in result.reasons.items():
            where[reason].append(f"{result.airflow}/{result.python}: {times}")
    skipped = [
        f"- {reason.strip() or 'no reason given'} ({', '.join(cells)})" for reason, cells in sorted(where.items())
    ]
    return "\n".join(
        [
            "# The versions that were tested",
            "",
            "Written by `scripts/matrix --write`, which sets each of these up from the pins in",
            f"[constraints](../constraints) and runs the tests there; here on {machine}.",
            "",
            table(results),
            "",
            "The simulation of the reader, which has nothing of Airflow, runs on the newest and without any. Where",
            "Airflow is not installed, the tests of the client, the sandbox, the simulation and made-up input run.",
            "",
            "## What was skipped, and where",
            "",
            *skipped,
            "",
        ]
    )
