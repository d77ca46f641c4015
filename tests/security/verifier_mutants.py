"""Ways to break the verifier, each of which an attack must catch: the proof that the attack suite can fail.

They are in ``verifier_mutants.txt``, in the layout of ``tests/simulation/mutants.txt``; ``!`` is the name of one attack
that the mutant does not find. ``python -m tests.security.verifier_mutants [NAME…]`` prints one JSON object per mutant:
whether the attack caught it.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path

from tests.helpers.mutation import importing, mutated
from tests.security import attacks
from tests.simulation.mutants import Mutant, read_mutants


def read() -> tuple[Mutant, ...]:
    """Return the mutants; names of attacks contain blanks, so each has one."""
    text = (Path(__file__).parent / "verifier_mutants.txt").read_text()
    return tuple(mutant._replace(caught_by=(" ".join(mutant.caught_by),)) for mutant in read_mutants(text))


def is_caught(mutant: Mutant, name: str, folder: Path) -> bool:
    """Return whether a mutant does not find an attack.

    :param folder: the store, to which the attack was done
    """
    with importing(mutated(mutant)):
        verify = importlib.import_module("airflow_provider_secoda.verify").verify
        try:
            start = attacks.UNTIL - attacks.DAYS * attacks.DAY
            result = verify([str(folder)], start=start, end=attacks.UNTIL, public_keys=attacks.PUBLIC_KEYS)
        except Exception:  # noqa: BLE001 - a mutant may fail as it likes
            return True
    kinds = {kind for one in (*result.files, *result.series) for kind in one.findings.counts}
    return attacks.ATTACKS[name].found not in kinds


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        small = Path(directory, "small")
        attacks.build_small(small)
        for number, mutant in enumerate(mutant for mutant in read() if not names or mutant.name in names):
            (name,) = mutant.caught_by
            store = attacks.ATTACKS[name].on_copy(small, Path(directory, str(number)))
            line: dict[str, object] = {"mutant": mutant.name}
            try:
                line["caught"] = is_caught(mutant, name, store)
            except (LookupError, SyntaxError) as error:
                line |= {"caught": False, "error": str(error)}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
