"""Tests that share a running Airflow stay together when the tests are spread over processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = """
import os, time, pathlib
import pytest

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    time.sleep(0.05)  # so that nobody does all
    pathlib.Path({place!r}, {name!r} + str(number)).write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_the_worker_of_each_test(tmp_path):
    """With two workers, one runs all of ``e2e/``, and each file runs on one worker."""
    pytest.importorskip("xdist")
    tests, place = tmp_path / "tests", tmp_path / "done"
    place.mkdir()
    for folder in ("e2e", "client"):
        (tests / folder).mkdir(parents=True)
        for name in "abcd":
            (tests / folder / f"test_{folder}_{name}.py").write_text(
                SOURCE.format(place=str(place), name=folder + name)
            )
    shutil.copy(HERE / "conftest.py", tests)
    shutil.copytree(HERE / "helpers", tests / "helpers")
    (tests / "__init__.py").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "tests"]
    ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    done = {file.name: file.read_text() for file in place.iterdir()}
    assert len(done) == 24
    assert len({worker for name, worker in done.items() if name.startswith("e2e")}) == 1
    for name in "abcd":
        assert len({done[f"client{name}{number}"] for number in range(3)}) == 1
    assert len(set(done.values())) == 2


def test_shared_processes_end_with_their_folder():
    """No fixture of these folders lasts for the session: an idle Airflow would slow down all other tests."""
    from tests.conftest import ONE_WORKER

    files = [file for folder in ONE_WORKER for file in (HERE / folder).glob("*.py")]
    assert len(files) > len(ONE_WORKER)
    assert [file.name for file in files if 'scope="session"' in file.read_text()] == []
    assert [
        folder for folder in ONE_WORKER if 'scope="package"' not in (HERE / folder / "conftest.py").read_text()
    ] == []
