"""Windows for runs that have none: those whose file is missing, without a gap or an overlap."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, missing_windows
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import airflow_runs, run_makers

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST = UNTIL - 6 * DAY
NAME = "{start:%Y-%m-%d}.jsonl"


@pytest.fixture
def workspace(secoda_sandbox_factory):
    known = Workspace.generate(seed=3, logs=400, days=8, until=UNTIL)
    secoda_sandbox_factory(known)
    return known


def fetch(path, window):
    return SecodaAuditLogsOperator(task_id="fetch", output_path=path, **window).execute({})


def days(*numbers):
    return [
        {"start": f"2026-02-{n:02}T00:00:00Z", "end": f"{FIRST + (n - 22) * DAY:%Y-%m-%dT%H:%M:%SZ}"} for n in numbers
    ]


def test_only_complete_windows_are_returned(tmp_path):
    """A window is returned once it is over; all windows have the same length and follow one another."""
    path = str(tmp_path / NAME)
    assert missing_windows(path, FIRST, FIRST + DAY - HOUR) == []
    assert missing_windows(path, FIRST, FIRST - DAY) == []
    assert missing_windows(path, "2026-02-23", "2026-02-26T23:59:59Z") == days(23, 24, 25)
    short = missing_windows(str(tmp_path / "{start}.jsonl"), FIRST + HOUR / 2, FIRST + 3 * HOUR, every=HOUR)
    assert [window["start"] for window in short] == ["2026-02-23T00:30:00Z", "2026-02-23T01:30:00Z"]
    assert (
        missing_windows(path, datetime.now(timezone.utc) - 3 * DAY)[-1]["end"] <= f"{datetime.now(timezone.utc):%FT%T}Z"
    )


def test_too_many_windows_are_an_error(tmp_path, monkeypatch):
    """More windows than Airflow maps are an error: the oldest ones only could be the same ones in every run."""
    path = str(tmp_path / NAME)
    assert len(missing_windows(path, FIRST, UNTIL, at_most=6)) == 6
    with pytest.raises(ValueError, match=r"From 2026-02-23T00:00:00Z on, more than 5 windows of 1 day, 0:00:00"):
        missing_windows(path, FIRST, UNTIL, at_most=5)
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    assert missing_windows(path, FIRST, FIRST + 2 * DAY) == days(23, 24)
    with pytest.raises(ValueError, match="more than 2 windows"):
        missing_windows(path, FIRST, UNTIL)


def test_a_window_with_a_file_is_not_missing(workspace, tmp_path):
    """A window is missing until its manifest is written, also if the process was killed after it wrote the file."""
    path = str(tmp_path / NAME)
    summary = fetch(path, days(24)[0])
    assert missing_windows(path, FIRST, UNTIL) == days(23, 25, 26, 27, 28)
    Path(summary["manifest"]).unlink()
    assert missing_windows(path, FIRST, UNTIL) == days(23, 24, 25, 26, 27, 28)
    fetch(path, days(24)[0])
    assert missing_windows(path, FIRST, UNTIL) == days(23, 25, 26, 27, 28)


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_any_kind_leave_no_gap_and_no_overlap(workspace, tmp_path, seed):
    """Runs at any time, at the same time, that fail midway or are cleared: in the end each log is in one file."""
    chance, path = random.Random(seed), str(tmp_path / "{start:%Y-%m-%dT%H}.jsonl.gz")
    runs = []
    for _ in range(6):  # all at the same time: each has its list of windows before another writes one
        runs.append(missing_windows(path, FIRST, FIRST + chance.random() * 6 * DAY, every=9 * HOUR))
        for window in chance.choice(runs)[: chance.randrange(5)]:
            fetch(path, window)
    for window in missing_windows(path, FIRST, UNTIL, every=9 * HOUR):
        fetch(path, window)
    assert missing_windows(path, FIRST, UNTIL, every=9 * HOUR) == []
    result = verify([str(tmp_path)], start=FIRST, end=UNTIL)
    assert (result.exit_code, len(result.files)) == (0, 16)
    assert sum(file.records for file in result.files) == len(workspace.window(FIRST, UNTIL)) > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("logs.jsonl", FIRST, UNTIL), r"the windows \[2026-02-23.* have the same path, 'logs.jsonl'. Add \{start\}"),
        ((NAME, FIRST, UNTIL, HOUR), "have the same path, '2026-02-23.jsonl'"),
        (("{date}.jsonl", FIRST, UNTIL), "'{date}' in '{date}.jsonl' is not a placeholder"),
        ((NAME, FIRST, UNTIL, timedelta(0)), "`every` must be a number of seconds or a timedelta above 0"),
        ((NAME, "yesterday", UNTIL), "start='yesterday'"),
        ((NAME, FIRST, UNTIL.replace(tzinfo=None)), "`end` has no time zone: 2026-03-01T00:00:00"),
    ],
)
def test_a_wrong_argument_is_named(monkeypatch, tmp_path, arguments, said):
    """A path that windows would share, and other wrong arguments, are errors."""
    monkeypatch.chdir(tmp_path)
    path, start, end, *every = arguments
    with pytest.raises(ValueError, match=said):
        missing_windows(path, start, end, **({"every": every[0]} if every else {}))


def test_a_file_of_another_window_is_an_error(workspace, tmp_path):
    """A file whose manifest has another window, or cannot be read, is not taken for the missing one."""
    path = str(tmp_path / NAME)
    fetch(path, days(24)[0])
    with pytest.raises(
        ValueError, match=r"2026-02-24.jsonl has the window \[2026-02-24T00:00:00Z, 2026-02-25T00:00:00Z\)"
    ):
        missing_windows(path, FIRST + HOUR, UNTIL)
    Path(manifest_path(str(tmp_path / "2026-02-23.jsonl"))).write_text("{}")
    with pytest.raises(ValueError, match=r"Cannot read manifest .*2026-02-23"):
        missing_windows(path, FIRST, UNTIL)


ENTERED = """
    from datetime import datetime, timezone

    from airflow.providers.common.compat.sdk import DAG, Param
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

    how = {"type": ["null", "string"], "format": "date-time"}
    with DAG(
        "entered", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        params={"start": Param(None, **how), "end": Param(None, **how)},
    ):
        SecodaAuditLogsOperator(
            task_id="fetch", start="{{ params.start }}", end="{{ params.end }}", output_path=FOLDER + "/{start}.jsonl"
        )
"""


def test_a_window_that_is_entered(airflow, workspace, tmp_path):
    """A run that is triggered with a window in its ``conf``, by the command or the REST API, has this window."""
    (dag,) = airflow.load(ENTERED.replace("FOLDER", repr(str(tmp_path)))).values()
    failed = airflow.run_dag(dag)
    assert failed.state == "failed"
    assert "`start` must be a non-empty string" in " ".join(failed.log.split())
    given = {"start": "2026-02-24T01:00:00+01:00", "end": "2026-02-25T00:00:00Z"}
    run_ids = [run_makers.trigger("entered", conf=given)]
    if airflow_runs.version() >= (3,):
        run_ids.append(run_makers.post("entered", logical_date=None, conf=given))
    for run_id in run_ids:
        ran = airflow.execute(dag, run_id)
        assert ran.state == "success", ran.log
        summary = ran.xcoms["fetch"]
        assert (summary["start"], summary["end"]) == ("2026-02-24T00:00:00Z", given["end"])
        assert summary["count"] == len(workspace.window(FIRST + DAY, FIRST + 2 * DAY)) > 0


def test_local_placeholders_are_refused(tmp_path):
    """The windows are days of UTC, so a path in the time zone of a schedule, which is not known here, is refused."""
    with pytest.raises(ValueError, match=r"'\{start_local:%d\}' needs the time zone of a schedule; use \{start\}"):
        missing_windows(f"{tmp_path}/{{start_local:%d}}.jsonl", start="2026-01-01", end="2026-01-03")
