"""Ways to break the reader, each of which the suite must catch: the proof that it can fail.

They are in ``mutants.txt``. Each has a name, what it takes away (``#``), what is known to catch it (``!``: tests by
name, seeds of :mod:`play`), and what it replaces in which file of ``airflow_provider_secoda/client`` (``@@``, ``-``,
``+``). When nothing that is named catches one any more, because the source or the simulation changed, other seeds are
searched for; ``python -m tests.simulation.hunting --search 60`` says what catches it.

Not listed are mutants that behave like the original, and checks that another check repeats: a ``count`` that
contradicts the last page (the two ends have the same length), ``total_pages`` at the end (the other end shows older
logs), a page range that begins with a page of the edge (it steps back), the second read of a range's first page when
``count`` did not change (then logs move towards the last page only, so the last page shows it, too).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """A change of the client's source."""

    name: str
    #: What the change takes away.
    breaks: str
    #: Names of examples, and seeds.
    caught_by: tuple[str, ...]
    #: Pieces of source: file, old text, new text.
    changes: tuple[tuple[str, str, str], ...]


def read_mutants(text: str) -> tuple[Mutant, ...]:
    """Parse the file of mutants."""
    return tuple(_read_mutant(block) for block in f"\n{text}".split("\n== ")[1:])


def _read_mutant(block: str) -> Mutant:
    head, *hunks = block.rstrip("\n").split("\n@@ ")
    name, breaks, caught_by = head.split("\n")
    changes = []
    for hunk in hunks:
        file, *lines = hunk.split("\n")
        old = "\n".join(line[1:] for line in lines if line.startswith("-"))
        new = "\n".join(line[1:] for line in lines if line.startswith("+"))
        # Lines that nothing replaces go with their ends.
        changes.append((file, old, new) if new else (file, old + "\n", ""))
    return Mutant(name, breaks.removeprefix("# "), tuple(caught_by.removeprefix("!").split()), tuple(changes))


MUTANTS = read_mutants((Path(__file__).parent / "mutants.txt").read_text())
