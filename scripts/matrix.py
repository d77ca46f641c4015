"""Set up each supported Airflow on each Python, run the tests there, and print a table.

A cell is a pair of an Airflow (or ``none``) and a Python. Each has a virtual environment of its own, made by
``scripts/setup`` from the committed pins, so that a cell of next year is the cell of today.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from matrix_report import Result, page, read_result, table

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".venv-matrix"
PAGE = ROOT / "docs" / "matrix.md"
NEWEST, NONE = "3.3.2", "none"
LOWEST = "lowest that are allowed"
#: Which Python each Airflow is made for, and what it is installed with; see ``scripts/constraints``.
SUPPORTED = {
    "2.11.0": ("3.10 3.11 3.12", f"{LOWEST}, universal-pathlib<0.3"),
    "2.11.2": ("3.10 3.11 3.12", LOWEST),
    "3.0.6": ("3.10 3.11 3.12", "newest, but fastapi<0.132, universal-pathlib<0.3"),
    "3.1.8": ("3.10 3.11 3.12 3.13", "newest"),
    "3.2.2": ("3.10 3.11 3.12 3.13", "newest, but fastapi<0.137, svcs<26"),
    NEWEST: ("3.10 3.11 3.12 3.13", "newest"),
    NONE: ("3.10 3.11 3.12 3.13", "newest, of the client only"),
}
#: Each Airflow once, each Python at least once, the newest and none at both ends.
USUAL = [
    *("2.11.0/3.10", "2.11.2/3.12", "3.0.6/3.11", "3.1.8/3.12", "3.2.2/3.13", "3.3.2/3.10", "3.3.2/3.13"),
    *("none/3.10", "none/3.13"),
]
SPREAD = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", "-p", "no:cacheprovider"]
#: What needs no Airflow, and what in these folders does is skipped there.
WITHOUT_AIRFLOW = ["tests/client", "tests/simulation", "tests/sandbox", "tests/fuzz", "tests/links"]


@dataclass(frozen=True)
class Cell:
    """An Airflow on a Python, for example ``3.0.6/3.11``."""

    airflow: str
    python: str

    @property
    def name(self) -> str:
        """Return what it is called on the command line."""
        return f"{self.airflow}/{self.python}"

    @property
    def venv(self) -> Path:
        """Return its virtual environment."""
        return PLACE / self.name.replace("/", "-py")

    def file(self, suffix: str) -> Path:
        """Return where something about this cell is kept."""
        return PLACE / f"{self.venv.name}.{suffix}"

    @property
    def dependencies(self) -> str:
        """Return what is installed beside the Airflow."""
        return SUPPORTED[self.airflow][1]

    @property
    def tests(self) -> list[str]:
        """Return what pytest is asked for; the simulation, which has nothing of Airflow, not on every one."""
        if self.airflow == NONE:
            return WITHOUT_AIRFLOW
        return ["tests"] if self.airflow == NEWEST else ["tests", "--ignore=tests/simulation"]


EVERY = [Cell(airflow, python) for airflow, (pythons, _) in SUPPORTED.items() for python in pythons.split()]


def find_python(minor: str) -> str | None:
    """Return a Python such as ``3.12`` that runs and can make virtual environments; a pyenv shim may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    hosted = Path(os.environ.get("RUNNER_TOOL_CACHE") or "/opt/hostedtoolcache")  # of GitHub's machines
    uv = [sys.executable, "-m", "uv", "python", "find", "--no-project", minor]
    here_only = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    by_uv = subprocess.run(uv, capture_output=True, text=True, check=False, env=here_only)
    candidates = [
        shutil.which(f"python{minor}"),
        *sorted(map(str, hosted.glob(f"Python/{minor}.*/*/bin/python{minor}")), reverse=True),
        *sorted(map(str, pyenv.glob(f"versions/{minor}.*/bin/python{minor}")), reverse=True),
        by_uv.stdout.strip(),
        shutil.which("python3"),
    ]
    code = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{minor}')"
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def run(cell: Cell, arguments: list[str]) -> Result:
    """Set a cell up and run its tests; what they print goes to its log, what came of it is kept beside that."""
    result = Result(cell.airflow, cell.python, cell.dependencies, date.today().isoformat())  # noqa: DTZ011  local is meant
    python = find_python(cell.python)
    if python is None:
        return replace(result, problem=f"no Python {cell.python} here")
    PLACE.mkdir(exist_ok=True)
    cell.file("xml").unlink(missing_ok=True)
    group = "client" if cell.airflow == NONE else "test"
    setup = ["sh", "scripts/setup", "--group", group, cell.airflow, str(cell.venv)]
    pytest = [cell.venv / "bin" / "python", "-m", "pytest", f"--junitxml={cell.file('xml')}", *SPREAD, *cell.tests]
    with cell.file("log").open("wb") as log:

        def logged(command: list[str], **more: str) -> int:
            return subprocess.run(
                command, cwd=ROOT, env=os.environ | more, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            ).returncode

        if logged(setup, PYTHON=python):
            return replace(result, problem="could not be set up")
        status = logged([*map(str, pytest), *arguments])
    result = read_result(result, cell.file("xml"), status)
    cell.file("json").write_text(json.dumps(asdict(result)))
    return result


def chosen(names: list[str], *, every: bool) -> list[Cell]:
    """Return the cells that are asked for; an Airflow stands for its usual cells, or for all of its cells."""
    usual = [cell for cell in EVERY if every or cell.name in USUAL]
    cells = []
    for name in names:
        found = [cell for cell in EVERY if cell.name == name] or [cell for cell in usual if cell.airflow == name]
        if not found:
            raise SystemExit(f"matrix: there is no cell {name}; there are: {' '.join(cell.name for cell in EVERY)}")
        cells += found
    return cells or usual


def kept() -> list[Result]:
    """Return the last result of each cell that was run."""
    files = [cell.file("json") for cell in EVERY]
    return [Result(**json.loads(file.read_text())) for file in files if file.exists()]


def main(own: list[str], to_pytest: list[str]) -> int:
    """Run the cells one after the other; return 1 if one failed or could not be run."""
    parser = argparse.ArgumentParser(prog="scripts/matrix", description="Run the tests on all that is supported.")
    parser.add_argument("cells", nargs="*", metavar="airflow[/python]", help="only these")
    parser.add_argument("--every", action="store_true", help="each Airflow on each Python that it supports")
    parser.add_argument("--list", action="store_true", help="only say which cells there are, and on which Python")
    parser.add_argument("--write", action="store_true", help="write the last result of each cell to docs/matrix.md")
    asked = parser.parse_args(own)
    cells = chosen(asked.cells, every=asked.every)
    if asked.list:
        for cell in cells:
            print(f"{cell.name:12} {find_python(cell.python) or 'NO SUCH PYTHON':40} {cell.dependencies}")
        return 0
    results = []
    for number, cell in enumerate(cells, 1):
        print(f"matrix: {cell.name} ({number} of {len(cells)}) …", file=sys.stderr, flush=True)
        results.append(run(cell, to_pytest))
        if results[-1].failed_how:
            print(
                f"matrix: {cell.name}: {results[-1].failed_how}; see {cell.file('log').relative_to(ROOT)}",
                file=sys.stderr,
            )
    print(table(results))
    if asked.write:
        PAGE.write_text(page(kept(), f"{os.cpu_count()} processors"))
    return int(any(result.failed_how for result in results))


if __name__ == "__main__":
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    sys.exit(main(words[:end], words[end + 1 :]))
