"""Run the suite on mutants, in one process for all of them.

``python tests/simulation/hunting.py [--search SECONDS] [--all] [NAME…]`` prints one JSON object per mutant: its name,
what caught it (a test, a seed, or null), and how long that took.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from inspect import signature
from typing import TYPE_CHECKING

from tests.helpers.mutation import importing, mutated

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = "tests.simulation."
_EXAMPLES = ("test_found_by_simulation", "test_rules_of_reading", "test_ties", "test_unordered")


def load(mutant=None) -> tuple[Callable, dict[str, Callable]]:
    """Import the package and the simulation afresh, mutated; return ``play`` and the tests by name."""
    with importing(mutated(mutant, "client/") if mutant else {}, OWN):
        tests: dict[str, Callable] = {}
        for module in (importlib.import_module(OWN + name) for name in _EXAMPLES):
            tests |= {
                name: thing
                for name, thing in vars(module).items()
                if name.startswith("test_") and not signature(thing).parameters
            }
        return importlib.import_module(OWN + "play").play, tests


def catches(mutant, search: float = 0.0, *, everything: bool = False):
    """Yield the tests and seeds that catch a mutant, the known ones first."""
    play, tests = load(mutant)

    def sound(seed: int) -> None:
        assert not play(seed).wrong

    for known in mutant.caught_by:
        if fails(sound, int(known)) if known.isdigit() else fails(tests[known]):
            yield known
    if everything or search:
        yield from (name for name, test in tests.items() if fails(test))
    until, seed = time.monotonic() + search, 0
    while time.monotonic() < until:
        if fails(sound, seed):
            yield str(seed)
        seed += 1


def fails(check: Callable, *arguments) -> bool:
    """Return whether a check fails, in any way."""
    try:
        check(*arguments)
    except Exception:  # noqa: BLE001 - a mutant may fail as it likes
        return True
    return False


def main() -> None:
    from tests.simulation.mutants import MUTANTS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=float, default=0.0, help="seconds for a mutant that nothing known catches")
    parser.add_argument("--all", action="store_true", help="all tests that catch it, with their seconds")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    for mutant in MUTANTS:
        if options.names and mutant.name not in options.names:
            continue
        began = time.monotonic()
        line: dict[str, object] = {"mutant": mutant.name}
        try:
            found = catches(mutant, options.search, everything=options.all)
            line["by"] = list(found) if options.all else next(found, None)
        except LookupError as error:
            line |= {"by": None, "error": str(error)}
        sys.stdout.write(json.dumps(line | {"seconds": round(time.monotonic() - began, 2)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
