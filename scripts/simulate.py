"""Try interleavings of a moving listing and its reader until time is up; every one follows from a seed.

An interleaving is one read of one window: a world, what happens to it between any two answers, how each request fares,
and the order in which answers arrive. See tests/simulation/ for the world and for what a read must return.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import secrets
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.simulation.play import Played, play
from tests.simulation.world import FAULT_KINDS

_SHOWN = 20


class Sum:
    """What all plays came to."""

    def __init__(self) -> None:
        self.plays = self.interleavings = self.answers = 0
        self.ends: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self.failures: dict[int, list[str]] = {}

    def add(self, played: Played) -> None:
        """Add a play; a fault kind counts for all the reads of the play in which it happened."""
        self.plays += 1
        self.interleavings += played.reads
        self.answers += played.answers
        self.ends += played.ends
        self.excused += played.excused
        for kind in played.happened:
            self.faults[kind] += played.reads
        if played.wrong:
            self.failures[played.seed] = played.wrong

    def merge(self, other: Sum) -> None:
        """Add what another process came to."""
        self.plays += other.plays
        self.interleavings += other.interleavings
        self.answers += other.answers
        self.ends += other.ends
        self.faults += other.faults
        self.excused += other.excused
        self.failures |= other.failures

    def figures(self, seconds: float, first: int) -> dict[str, Any]:
        """Return everything as plain data."""
        whole = sum(count for end, count in self.ends.items() if not end.startswith("Secoda"))
        return {
            "interleavings": self.interleavings,
            "answers": self.answers,
            "seconds": round(seconds, 1),
            "first_seed": first,
            "whole": whole,
            "failed_loudly": self.interleavings - whole,
            "ends": dict(self.ends.most_common()),
            "faults": {kind: self.faults[kind] for kind in FAULT_KINDS},
            "excused": dict(self.excused),
            "failures": {str(seed): wrong for seed, wrong in sorted(self.failures.items())},
        }


def attempt(seed: int) -> Played:
    """Play a seed; a crash is a failure like any other."""
    try:
        return play(seed)
    except Exception:  # noqa: BLE001 - the simulation searches for any error
        return Played(seed, wrong=[traceback.format_exc(limit=-3)])


def work(first: int, step: int, until: float) -> Sum:
    """Play seeds at equal steps until a time.

    :param until: Unix time
    """
    done, seed = Sum(), first
    while time.time() < until:
        done.add(attempt(seed))
        seed += step
    return done


def replay(seed: int) -> int:
    """Play one seed and say what came of it."""
    played = attempt(seed)
    print(f"seed {seed}: {played.reads} reads, {played.answers} answers; ended: {dict(played.ends)}")
    print("happened: " + ", ".join(f"{kind} {count}" for kind, count in sorted(played.happened.items())))
    print("excused: " + (", ".join(played.excused) or "nothing"))
    print("\n".join(f"WRONG  {wrong}" for wrong in played.wrong) or "nothing lost, twice or altered")
    return 1 if played.wrong else 0


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="replay this one and say what happened")
    parser.add_argument("--first", type=int, help="the seed to begin with (default: any)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed)
    first = secrets.randbelow(1 << 40) if options.first is None else options.first
    began = time.time()
    jobs = [(first + job, options.jobs, began + options.seconds) for job in range(options.jobs)]
    total = Sum()
    if options.jobs == 1:
        total = work(*jobs[0])
    else:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            for part in pool.starmap(work, jobs):
                total.merge(part)
    figures = total.figures(time.time() - began, first)
    tell(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    return 1 if total.failures else 0


def tell(figures: dict[str, Any]) -> None:
    """Print what was tried, and how to repeat what failed."""
    print("interleavings  with")
    for kind, count in figures["faults"].items():
        print(f"{count:13,}  {kind}")
    for reason, count in figures["excused"].items():
        print(f"{count:13,}  missed a log that no reader can detect, or that is not guaranteed ({reason})")
    rate = figures["interleavings"] / max(figures["seconds"], 0.001) * 60
    print(
        f"{figures['interleavings']:,} interleavings of {figures['answers']:,} answers in {figures['seconds']} s "
        f"({rate:,.0f} a minute), from seed {figures['first_seed']}: {figures['whole']:,} complete, "
        f"{figures['failed_loudly']:,} raised an error, {len(figures['failures'])} WRONG"
    )
    for seed, wrong in list(figures["failures"].items())[:_SHOWN]:
        print(f"WRONG  {'; '.join(wrong)}\n       repeat it: scripts/simulate --seed {seed}")


if __name__ == "__main__":
    sys.exit(main())
