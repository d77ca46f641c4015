"""Each manipulation of a signed store is found by the verifier, and an untouched store has no findings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.signing import key_id, load_public_keys
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._reports.chain import check_chain
from tests.helpers.figures import record
from tests.helpers.mutation import mutated
from tests.security import verifier_mutants
from tests.security.attacks import (
    ATTACKS,
    CHAIN_ATTACKS,
    DAY,
    DAYS,
    FORMATS,
    PUBLIC_KEYS,
    UNTIL,
    Store,
    build,
    build_chain,
    build_small,
    report,
    roll_back,
)

#: Which mutants a normal run applies: those of signatures and of the layout of manifests.
EVERY_MUTANT = os.environ.get("VERIFIER_MUTANTS") == "all"
QUICK = ("verify/_checks/signature.py", "_storage/manifest.py")


def check(root, days):
    """Verify a store as an auditor does, who knows keys and span; return the result, and kinds and list of findings."""
    result = verify([str(root)], start=UNTIL - days * DAY, end=UNTIL, public_keys=PUBLIC_KEYS)
    found = [each for one in (*result.files, *result.series) for each in one.findings.listed]
    return result, {each.kind for each in found}, found


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the folder of the store that is attacked in copies."""
    root = tmp_path_factory.mktemp("small") / "store"
    build_small(root)
    return root


def test_an_untouched_store_has_no_findings(tmp_path, monkeypatch):
    """A store of 90 days in three formats, with all signatures, has no finding and no note."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(os, "fsync", lambda _: None)  # it takes most of the time, and the store does not have to last
    days = 90
    build(tmp_path, Workspace.generate(seed=3, logs=300, days=days, until=UNTIL), days)
    result, kinds, _ = check(tmp_path, days)
    assert (result.exit_code, kinds, result.note_count, result.other_files) == (0, set(), 0, 0)
    assert len(result.files) == days * len(FORMATS)
    assert {file.signing_key for file in result.files} == {key_id(PUBLIC_KEYS[0])}
    assert result.records > 3 * 250


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found(small, tmp_path, name):
    """The manipulation leads to a finding of its kind, whose text has no character that a terminal obeys."""
    pytest.importorskip("pyarrow")
    result, kinds, found = check(ATTACKS[name].on_copy(small, tmp_path / "store"), DAYS)
    assert ATTACKS[name].found in kinds, kinds
    assert result.exit_code == 1
    assert all(each.text.isprintable() for each in found)


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
    """Return the folder of a store with three reports."""
    root = tmp_path_factory.mktemp("chained") / "store"
    build_chain(root)
    return root


def check_reports(root):
    """Check the last report and all before it as an auditor does; return the kinds of findings."""
    keys = load_public_keys(PUBLIC_KEYS)
    result = check_chain(str(report(root)), [str(root / "jsonl")], public_keys=keys)
    findings = [result.findings, *(each.findings for each in result.reports)]
    return result, {each.kind for one in findings for each in one.listed}


@pytest.mark.parametrize("name", CHAIN_ATTACKS)
def test_an_attack_is_found_by_the_reports(chained, tmp_path, name):
    """What leaves a consistent store behind, or is done to the reports, leads to a finding of the chain."""
    root = tmp_path / "store"
    for folder in ("jsonl", "reports", "old"):
        shutil.copytree(chained / folder, root / folder)
    CHAIN_ATTACKS[name].do(Store(root))
    result, kinds = check_reports(root)
    assert CHAIN_ATTACKS[name].found in kinds, kinds
    assert result.exit_code == 1


def test_a_state_that_an_earlier_report_covers_is_found(tmp_path):
    """A day that was written again between two reports is a finding; put back as it was before, another one."""
    build_chain(tmp_path, written_again_after=1)
    assert check_reports(tmp_path)[1] == {"replaced"}
    roll_back(Store(tmp_path))
    assert "rolled_back" in check_reports(tmp_path)[1]


def test_an_untouched_chain_has_no_findings(chained):
    """The reports, and the store that they cover, have no finding: the attacks begin with it."""
    result, kinds = check_reports(chained)
    assert (result.exit_code, kinds, len(result.reports)) == (0, set(), 3)


def test_the_attacks_are_many(small):
    """There are as many attacks as the documents say, and the store that they begin with has no findings."""
    pytest.importorskip("pyarrow")
    assert len(ATTACKS) >= 90
    assert check(small, DAYS)[1] == set()
    record("attacks", attacks=len(ATTACKS) + len(CHAIN_ATTACKS))


def test_every_mutant_is_caught():
    """Each way to break the verifier lets its attack pass; with VERIFIER_MUTANTS=all, all of them are run."""
    pytest.importorskip("pyarrow")
    mutants = verifier_mutants.read()
    assert len(mutants) > 30
    assert {mutant.caught_by[0] for mutant in mutants} <= set(ATTACKS)
    names = [each.name for each in mutants if EVERY_MUTANT or any(file in QUICK for file, *_ in each.changes)]
    command = [sys.executable, "-m", "tests.security.verifier_mutants", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["mutant"] for line in lines] == names
    assert [line for line in lines if not line["caught"]] == []


def test_the_text_of_every_mutant_is_in_the_source():
    """What a mutant replaces is in the source; after a change of the source, change verifier_mutants.txt, too."""
    for mutant in verifier_mutants.read():
        mutated(mutant)
