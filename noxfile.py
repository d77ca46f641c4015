"""Run the tests on each supported Airflow and Python.

A session is named after both::

    nox                         # each Airflow once, each Python at least once, and the client without Airflow
    nox --list                  # the names of all sessions
    nox -s tests-3.0.6          # Airflow 3.0.6 on each Python that it supports
    nox -s tests-3.0.6-3.11     # Airflow 3.0.6 on Python 3.11
    nox -s tests-none           # the client and the sandbox, without Airflow
    nox -s engines              # object storage of Google, and the warehouses
    nox -s tests-3.1.8 -- -x tests/hooks    # arguments for pytest

Each session has a virtual environment with the versions in ``constraints/``, which ``scripts/constraints`` writes.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

#: Airflow ("none": without it), and the Pythons that it supports.
SUPPORTED = {
    "2.11.0": ["3.10", "3.11", "3.12"],
    "2.11.2": ["3.10", "3.11", "3.12"],
    "3.0.6": ["3.10", "3.11", "3.12"],
    "3.1.8": ["3.10", "3.11", "3.12", "3.13"],
    "3.2.2": ["3.10", "3.11", "3.12", "3.13"],
    "3.3.2": ["3.10", "3.11", "3.12", "3.13"],
    "none": ["3.10", "3.11", "3.12", "3.13"],
}
#: The sessions that run without ``-s``.
DEFAULT = [
    "tests-2.11.0-3.10",
    "tests-2.11.2-3.12",
    "tests-3.0.6-3.11",
    "tests-3.1.8-3.12",
    "tests-3.2.2-3.13",
    "tests-3.3.2-3.10",
    "tests-3.3.2-3.13",
    "tests-none-3.10",
    "tests-none-3.13",
]
NEWEST = "3.3.2"
WITHOUT_AIRFLOW = ["tests/client", "tests/simulation", "tests/sandbox", "tests/fuzz", "tests/links"]
#: These use neither Airflow nor a package whose lowest version matters: they run on the newest Airflow only.
NEEDS_NO_VERSION = [
    "tests/simulation",
    "tests/client/test_follow.py",
    "tests/client/test_order_of_reading.py",
    "tests/client/test_poll.py",
    "tests/client/test_reading_windows.py",
    # These read the files of the project.
    "tests/security/test_document.py",
    "tests/test_architecture.py",
    "tests/test_build.py",
    "tests/test_contributing.py",
    "tests/test_matrix.py",
    "tests/test_spread.py",
    "tests/test_words.py",
]
ENGINES = [
    "tests/storage",
    "tests/test_loading.py",
    "tests/verify/test_verify_storage.py",
]

nox.options.sessions = DEFAULT
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
os.environ.update(UV_SYSTEM_CERTS="1", UV_NATIVE_TLS="1", UV_PYTHON_DOWNLOADS="never")
# Pythons that may be missing in PATH: those of pyenv, and those of GitHub's runners.
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
HOSTED = Path(os.environ.get("RUNNER_TOOL_CACHE") or "/opt/hostedtoolcache")
FOLDERS = [*PYENV.glob("versions/3.1*/bin"), *HOSTED.glob("Python/3.1*/*/bin")]
os.environ["PATH"] = os.pathsep.join([*map(str, sorted(FOLDERS)), os.environ["PATH"]])


def run_tests(session: nox.Session, paths: list[str]) -> None:
    """Run pytest on all processors, with the arguments after ``--`` or else on ``paths``."""
    distribution = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", "-p", "no:cacheprovider"]
    # Without bytecode, each process would compile Airflow again.
    bytecode = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": f"{session.virtualenv.location}/bytecode"}
    session.run("python", "-m", "pytest", *distribution, *(session.posargs or paths), env=bytecode)


def add_session(airflow: str, pythons: list[str]) -> None:
    """Add the sessions of an Airflow."""

    @nox.session(name=f"tests-{airflow}", python=pythons)
    def tests(session: nox.Session) -> None:
        if airflow == "none":
            session.install("--group", "client", "-c", f"constraints/airflow-{NEWEST}.txt")
            session.install("--no-deps", "-e", ".")
            run_tests(session, WITHOUT_AIRFLOW)
            return
        constraints = f"constraints/airflow-{airflow}.txt"
        session.install("-e", ".[parquet,sandbox]", "--group", "test", "-c", constraints)
        run_tests(session, ["tests", *(f"--ignore={path}" for path in NEEDS_NO_VERSION if airflow != NEWEST)])


for name, versions in SUPPORTED.items():
    add_session(name, versions)


@nox.session
def engines(session: nox.Session) -> None:
    """Run the tests of Google's storage and of the warehouses."""
    session.install("-e", ".[parquet,sandbox]", "--group", "engines", "-c", f"constraints/engines-{NEWEST}.txt")
    run_tests(session, ENGINES)
