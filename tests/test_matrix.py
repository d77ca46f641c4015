"""The matrix of versions covers what is promised, and its table tells what came of each cell."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "scripts"))

import matrix
import matrix_report

BOUND = re.compile(r'"([a-z][a-z0-9-]*)(?:\[\w+\])?>=([0-9.]+)')
JUNIT = """<testsuites><testsuite tests="7" failures="{failures}" errors="1" skipped="2" time="3.6">
<testcase name="a"><skipped message="no browser"/></testcase>
<testcase name="b"><skipped message="no browser"/></testcase>
</testsuite></testsuites>"""
BLANK = matrix_report.Result("3.0.6", "3.11", "newest", "2026-01-01")


def pins(airflow):
    lines = (ROOT / "constraints" / f"airflow-{airflow}.txt").read_text().splitlines()
    return [line.partition(" ;")[0].split("==") for line in lines if "==" in line]


def test_each_airflow_is_pinned():
    """Every Airflow of the matrix has its pins, and they name that Airflow."""
    for airflow in set(matrix.SUPPORTED) - {matrix.NONE}:
        assert ["apache-airflow", airflow] in pins(airflow)


def test_what_is_promised_is_in_the_usual_cells():
    """The usual cells hold each supported Airflow, each Python, the newest and no Airflow on the oldest and newest."""
    cells = matrix.chosen([], every=False)
    assert {cell.airflow for cell in cells} == set(matrix.SUPPORTED)
    assert {cell.python for cell in cells} == {"3.10", "3.11", "3.12", "3.13"}
    assert len(cells) == len(matrix.USUAL)
    for airflow in (matrix.NEWEST, matrix.NONE):
        assert {cell.python for cell in cells if cell.airflow == airflow} == {"3.10", "3.13"}


def test_the_lower_bounds_are_those_that_are_tested():
    """Beside the oldest Airflow, the lowest version that each requirement of the package allows is installed."""
    project = (ROOT / "pyproject.toml").read_text().partition("[dependency-groups]")[0]
    bounds = dict(BOUND.findall(project.partition("dependencies = [")[2]))
    assert len(bounds) >= 10
    installed = pins("2.11.0")
    assert [name for name, version in bounds.items() if [name, version] not in installed] == []


def test_cells_are_chosen_by_name():
    """An Airflow is all its usual cells, with ``--every`` all there are; another name is an error that lists them."""
    assert [cell.name for cell in matrix.chosen(["3.3.2", "2.11.2/3.10"], every=False)] == [
        *("3.3.2/3.10", "3.3.2/3.13", "2.11.2/3.10")
    ]
    assert len(matrix.chosen(["2.11.2"], every=True)) == 3
    assert len(matrix.chosen([], every=True)) == len(matrix.EVERY) > 20
    with pytest.raises(SystemExit, match=r"no cell 2\.10; there are: 2\.11\.0/3\.10 "):
        matrix.chosen(["2.10"], every=False)


def test_a_python_is_the_one_that_was_asked_for():
    """What is found for a version is that version, and what does not exist is not found."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = matrix.find_python(here)
    assert found is not None
    told = subprocess.run(
        [found, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str(sys.version_info[:2])
    assert matrix.find_python("3.99") is None


def test_counts_are_those_of_pytest(tmp_path):
    """Passed, skipped and failed, errors included, are read from pytest's report, with the reasons of skipping."""
    (tmp_path / "x.xml").write_text(JUNIT.format(failures=1))
    result = matrix_report.read_result(BLANK, tmp_path / "x.xml", 1)
    assert (result.passed, result.skipped, result.failed, result.seconds) == (3, 2, 2, 3.6)
    assert result.reasons == {"no browser": 2}
    assert result.failed_how == "2 failed"


@pytest.mark.parametrize(("status", "there"), [(2, True), (3, True), (5, True), (0, False)])
def test_a_cell_that_did_not_come_to_its_end_has_failed(tmp_path, status, there):
    """An interrupted run, one without tests and one that left no report count as failed, whatever they counted."""
    if there:
        (tmp_path / "x.xml").write_text(JUNIT.format(failures=0))
    assert matrix_report.read_result(BLANK, tmp_path / "x.xml", status).failed_how == f"pytest ended with {status}"


def test_the_table_holds_a_row_for_each_cell(tmp_path):
    """Each cell has a row, failures stand out, and the page says what was skipped where."""
    (tmp_path / "x.xml").write_text(JUNIT.format(failures=1))
    failed = matrix_report.read_result(BLANK, tmp_path / "x.xml", 1)
    lacking = matrix_report.replace(BLANK, problem="no Python 3.11 here")
    lines = matrix_report.table([failed, lacking]).splitlines()
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in lines]
    assert len({len(line) for line in lines}) == 1
    assert rows[2] == ["3.0.6", "3.11", "3", "2", "**2**", "4", "newest", "2026-01-01"]
    assert rows[3][2:6] == ["", "", "**no Python 3.11 here**", ""]
    assert "- no browser (3.0.6/3.11: 2)" in matrix_report.page([failed], "2 processors")
