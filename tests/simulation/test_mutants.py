"""Each mutant of the reader is caught by the suite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.figures import record
from tests.simulation.mutants import MUTANTS

HERE = Path(__file__).parent


def test_every_mutant_is_caught():
    """Each listed mutation of the reader, applied to a copy in memory, is caught by what its entry names."""
    done = subprocess.run(
        [sys.executable, str(HERE / "hunting.py"), "--search", "5"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["mutant"] for line in lines] == [mutant.name for mutant in MUTANTS]
    errors = [line["error"] for line in lines if "error" in line]
    assert not errors, "the source changed; change mutants.txt, too"
    survivors = [line["mutant"] for line in lines if line["by"] is None]
    assert not survivors, "find what catches them: python tests/simulation/hunting.py --search 60"
    record("mutants", mutants=len(lines), caught=len(lines) - len(survivors))


def test_the_mutants_are_many_and_named_once():
    """The list has the stated length, and every mutant names what catches it."""
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.caught_by and mutant.breaks and mutant.changes for mutant in MUTANTS)
