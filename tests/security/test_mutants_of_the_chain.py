"""Each check of a chain that is taken away is missed by an attack: the attacks can fail.

The mutants are in ``chain_mutants.txt``, in the layout of ``tests/simulation/mutants.txt``; ``!`` is the attack, or the
test of attacks, that catches one.
"""

from __future__ import annotations

import importlib
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.security import test_attacks_on_the_chain as attacks
from tests.security.test_attacks_on_the_chain import ATTACKS, Store, made  # noqa: F401 - a fixture
from tests.simulation.mutants import read_mutants

PACKAGE = "airflow_provider_secoda"
#: In the order of their imports, so that each gets the mutated names of those before it.
MODULES = (
    "verify._checks.signature",
    "verify._reports.reading",
    "verify._reports.covered",
    "verify._reports.changes",
    "verify._reports.write",
    "verify._reports.chain",
)
MUTANTS = {mutant.name: mutant for mutant in read_mutants((Path(__file__).parent / "chain_mutants.txt").read_text())}


@contextmanager
def mutated(mutant):
    """Execute a module with a changed source, and those that import it; undo it at the end."""
    ((file, old, new),) = mutant.changes
    name = file.removesuffix(".py").replace("/", ".")
    modules = [importlib.import_module(f"{PACKAGE}.{each}") for each in MODULES[MODULES.index(name) :]]
    sources = [Path(module.__file__).read_text() for module in modules]
    assert sources[0].count(old) == 1, "the source changed; change this list, too"

    def execute(changed):
        for module, source in zip(modules, changed, strict=True):
            exec(compile(source, module.__file__, "exec"), module.__dict__)

    try:
        execute([sources[0].replace(old, new), *sources[1:]])
        yield
    finally:
        execute(sources)


def is_found(attack, store):
    """Return whether an attack, or a test of attacks, ends as it must."""
    try:
        if attack in ATTACKS:
            ATTACKS[attack][0](store)
            return " ".join(store.kinds()) == ATTACKS[attack][1]
        getattr(attacks, attack)(store)
    except Exception:  # noqa: BLE001 - a mutant may fail in any way
        return False
    return True


@pytest.mark.parametrize("name", MUTANTS)
def test_a_check_that_is_missing_is_noticed(made, tmp_path, monkeypatch, name):  # noqa: F811
    """The attack is found, and with the mutant it is not, or not by its name."""
    attack = " ".join(MUTANTS[name].caught_by)
    for folder in ("found", "missed"):
        shutil.copytree(made, tmp_path / folder)
    monkeypatch.chdir(tmp_path / "found")
    assert is_found(attack, Store())
    monkeypatch.chdir(tmp_path / "missed")
    with mutated(MUTANTS[name]):
        assert not is_found(attack, Store())
