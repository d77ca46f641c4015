"""What was tried to lose, double or alter a log, and what came of it: the suites of the tests, at length.

``sh scripts/setup --group test && .venv/bin/python benchmarks/trust.py > benchmarks/trust.md``; ``--quick`` for a smoke
run. Exit code 1, and no table, when anything fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import place

ROOT = Path(__file__).parent.parent


def suite(paths: list[str], **environment: str) -> dict[str, Counter[str]]:
    """Run a suite of the tests; return the numbers that it left behind, by name."""
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        figures = Path(folder, "figures.jsonl")
        print(
            "pytest", *paths, *(f"{name}={value}" for name, value in environment.items()), file=sys.stderr, flush=True
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *paths],
            cwd=ROOT,
            env=os.environ | environment | {"TRUST_FIGURES": str(figures)},
            stdout=sys.stderr,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(paths)}: failed")
        found: dict[str, Counter[str]] = {}
        for line in figures.read_text().splitlines():
            numbers = json.loads(line)
            found.setdefault(numbers.pop("what"), Counter()).update(numbers)
        return found


def simulate(seconds: int) -> dict[str, Any]:
    """Run the simulation for so long; return its figures."""
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        figures = Path(folder, "figures.json")
        command = [sys.executable, "scripts/simulate.py", "--seconds", str(seconds), "--json", str(figures)]
        print(*command[1:], file=sys.stderr, flush=True)
        if subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode:
            raise SystemExit("the simulation failed")
        found: dict[str, Any] = json.loads(figures.read_text())
        return found


def main() -> None:
    """Print one table: what was tried, how often, and what was lost, doubled or altered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="what the tests do by default, and ten seconds of simulation"
    )
    quick = parser.parse_args().quick
    began = time.monotonic()
    worlds = simulate(10 if quick else 120)
    figures: dict[str, Counter[str]] = {}
    figures |= suite(["tests/simulation"])
    figures |= suite(["tests/fuzz"], **({} if quick else {"FUZZ_EXAMPLES": "1000"}))
    figures |= suite(["tests/crash"])
    print(report(worlds, figures, time.monotonic() - began))


def report(worlds: dict[str, Any], figures: dict[str, Counter[str]], seconds: float) -> str:
    """Return the figures as Markdown."""
    zero = "0 lost, 0 twice, 0 altered"
    faults = {kind: count for kind, count in worlds["faults"].items() if count}
    fuzz, crash, mutants = figures["fuzz"], figures["crash"], figures["mutants"]
    if mutants["caught"] != mutants["mutants"] or any(crash[what] for what in ("lost", "twice", "altered")):
        raise SystemExit(f"the suites passed, but their figures say otherwise: {figures}")
    rows = [
        [
            "reads of a window of a simulated listing (interleavings)",
            f"{worlds['interleavings'] + figures['simulation']['interleavings']:,}",
            (
                f"{worlds['whole']:,} whole and {worlds['failed_loudly']:,} failed loudly in "
                f"{worlds['seconds']:.0f} s, the others by hypothesis: {zero}"
            ),
        ],
        ["kinds of faults in them", f"{len(faults)}", "see below"],
        ["mutants of the reader", f"{mutants['mutants']:,}", f"{mutants['caught']:,} caught"],
        [
            "inputs made up by the fuzzer",
            f"{fuzz['inputs']:,}",
            "none ended in anything but a result or an error of ours",
        ],
        ["bytes of these", f"{fuzz['bytes']:,}", ""],
        [
            "crash points (killed, disk full, target or server away)",
            f"{crash['points']:,}",
            f"{crash['lost']} lost, {crash['twice']} twice, {crash['altered']} altered",
        ],
    ]
    excused = sum(worlds["excused"].values())
    lines = [
        "# What was tried to lose, double or alter a log",
        "",
        "Made by `python benchmarks/trust.py`; how to set it up stands in [README.md](README.md).",
        place.facts().replace("sandbox and reader share the cores, ", ""),
        f"{seconds / 60:.0f} minutes in all.",
        "",
        place.table(["what", "how many", "what came of it"], rows),
        "",
        "Reads of a window in which each kind of fault happened; a read that fails loudly is one that raises an error:",
        "",
        place.table(["fault", "reads"], [[kind, f"{count:,}"] for kind, count in sorted(faults.items())]),
        "",
        f"In {excused:,} of the {worlds['interleavings']:,} reads something was missed that no reader of the listing "
        "can know of, or that is [not promised](../docs/completeness.md#what-is-not-guaranteed): "
        + ", ".join(f"{reason} {count:,}" for reason, count in sorted(worlds["excused"].items()))
        + ". What each means is said in `tests/simulation/ledger.py`.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
