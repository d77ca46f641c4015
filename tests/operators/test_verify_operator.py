"""The operator that verifies files: which windows it checks, what it reports, and when it fails."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_secoda import _persisted
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator
from airflow_provider_secoda.sandbox import Sandbox, Workspace
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key

DAY = timedelta(days=1)
UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAYS = [UNTIL - number * DAY for number in range(6, 0, -1)]
KEY = PrivateKeySigner.from_pem(generate_key())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write six days of a workspace; return the folder."""
    folder = tmp_path_factory.mktemp("written")
    workspace = Workspace.generate(seed=3, logs=120, days=6, until=UNTIL)
    with pytest.MonkeyPatch.context() as patch, Sandbox(workspace) as sandbox:
        patch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
        for day in DAYS:
            run(
                SecodaAuditLogsOperator,
                start=day,
                end=day + DAY,
                output_path=str(folder / "{start:%Y-%m-%d}.jsonl"),
            )
    return folder


@pytest.fixture
def store(written, tmp_path):
    """Return a copy of the files."""
    return Path(shutil.copytree(written, tmp_path / "store"))


@pytest.fixture
def workspace(secoda_sandbox_factory):
    """Serve a workspace with the same logs; return it."""
    found = Workspace.generate(seed=3, logs=120, days=6, until=UNTIL)
    secoda_sandbox_factory(found)
    return found


def run(operator_class, context=(), **arguments):
    """Execute an operator by hand, in a DAG with a schedule of days."""
    operator = operator_class(task_id="task", **arguments)
    with DAG("d", schedule=CronDataIntervalTimetable("@daily", timezone="UTC"), start_date=DAYS[0]) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag} | dict(context))


def verify(path, context=(), **arguments):
    return run(SecodaVerifyOperator, context, path=str(path), **arguments)


def interval(day):
    """Return the context of the run of a day."""
    return {"data_interval_start": day, "data_interval_end": day + DAY}


def test_files_without_findings(store):
    """Everything at the path is checked, and the summary has the counts."""
    summary = verify(store)
    assert set(summary) == {name.partition("[]")[0] for name in _persisted.SUMMARY_OF_VERIFICATION.names}
    assert (summary["status"], summary["files"], summary["records"], summary["findings"]) == ("ok", 6, 120, 0)
    assert (summary["counts"], summary["first_findings"], summary["supplements"]) == ({}, [], [])


@pytest.mark.parametrize("path", ["a", ["a", "b"]])
def test_several_paths(store, tmp_path, path):
    """A list of paths is one store: ids are unique in all of them."""
    paths = [path] if isinstance(path, str) else path
    for number, name in enumerate(paths):
        (tmp_path / name / "_manifests").mkdir(parents=True)
        for file in store.rglob(f"*2026-02-2{3 + number}*"):
            shutil.copy(file, tmp_path / name / file.relative_to(store))
    summary = run(SecodaVerifyOperator, path=[str(tmp_path / name) for name in paths])
    assert (summary["status"], summary["files"]) == ("ok", len(paths))


# --- the span -----------------------------------------------------------------------------------------------------


def damage(store, day):
    """Remove the last record of a day."""
    path = store / f"{day:%Y-%m-%d}.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def test_the_last_periods_of_the_schedule(store):
    """``last`` is counted from the run's window back; earlier and later windows are not checked."""
    for day in (DAYS[1], DAYS[5]):
        damage(store, day)
    summary = verify(store, interval(DAYS[4]), last=3)
    assert (summary["start"], summary["end"]) == ("2026-02-25T00:00:00Z", "2026-02-28T00:00:00Z")
    assert (summary["status"], summary["files"], summary["counts"]) == ("ok", 3, {"outside_span": 1})
    with pytest.raises(AirflowFailException, match="removed: 1, checksum: 1"):
        verify(store, interval(DAYS[4]), last=4)
    with pytest.raises(AirflowFailException, match="removed: 1, checksum: 1"):
        verify(store, interval(DAYS[5]), last=1)


def test_the_span_may_begin_before_the_first_window(store):
    """With ``last``, the files of a young DAG have no gap before them; a missing day between them is one."""
    assert verify(store, interval(DAYS[5]), last=30)["status"] == "ok"
    for file in store.rglob(f"*{DAYS[2]:%Y-%m-%d}*"):
        file.unlink()
    for last in (4, 30):  # the span begins with the missing day, or before all files
        with pytest.raises(AirflowFailException, match="gap: 1"):
            verify(store, interval(DAYS[5]), last=last)


def test_start_and_end_must_be_covered(store):
    """The windows must cover all of the time from ``start`` to ``end``."""
    assert verify(store, start=DAYS[1], end=DAYS[4].isoformat())["files"] == 3
    with pytest.raises(AirflowFailException, match="gap: 1"):
        verify(store, start=DAYS[0] - DAY, end=UNTIL)
    with pytest.raises(AirflowFailException, match="gap: 1"):
        verify(store, start=UNTIL, end=UNTIL + DAY)


# --- findings -----------------------------------------------------------------------------------------------------


def test_findings_fail_the_task_and_are_in_an_xcom(store):
    """A retry cannot fix a finding. The summary is stored before the task fails."""
    damage(store, DAYS[2])
    xcoms = {}
    instance = SimpleNamespace(xcom_push=lambda key, value: xcoms.update({key: value}), map_index=-1)
    with pytest.raises(AirflowFailException, match=r"2 findings .* in 6 files .*: .*02-25.jsonl: removed"):
        verify(store, {"ti": instance})
    summary = xcoms[_persisted.SUMMARY_KEY]
    assert (summary["status"], summary["counts"]) == ("failed", {"removed": 1, "checksum": 1})
    assert [found["kind"] for found in summary["first_findings"]] == ["removed", "checksum"]
    json.dumps(summary)


def test_warnings_do_not_fail_the_task(store, caplog, capsys):
    """With ``warn`` the task succeeds, the summary says "failed", and each finding is in the log."""
    damage(store, DAYS[2])
    summary = verify(store, on_finding="warn")
    assert (summary["status"], summary["findings"]) == ("failed", 2)
    logged = caplog.text + capsys.readouterr().out  # one on Airflow 2, the other on Airflow 3
    assert "2026-02-25.jsonl: removed: record" in logged


def test_what_cannot_be_verified_is_retried(store, tmp_path, monkeypatch):
    """A folder without files and a source that does not answer are errors that a retry may fix."""
    with pytest.raises(AirflowException, match="nothing: cannot be read") as caught:
        verify(tmp_path / "nothing")
    assert not isinstance(caught.value, AirflowFailException)
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", '{"conn_type": "secoda"}')
    with pytest.raises(AirflowException, match="were not compared with the API") as caught:
        verify(store, against_source=True)
    assert not isinstance(caught.value, AirflowFailException)


def test_late_logs_are_findings(workspace, tmp_path):
    """With ``against_source``, a log that appeared later is a finding."""
    store = tmp_path / "store"
    run(SecodaAuditLogsOperator, start=DAYS[3], end=UNTIL, output_path=f"{store}/a.jsonl")
    assert verify(store, against_source=True)["status"] == "ok"
    workspace.add_log(activity_type="DELETE", logged_at=DAYS[3] + timedelta(hours=1))
    with pytest.raises(AirflowFailException, match="late: 1"):
        verify(store, against_source=True)


def test_late_logs_are_added(workspace, tmp_path):
    """With ``supplement``, late logs are written next to the file; everything else fails the task."""
    store = tmp_path / "store"
    for day in DAYS[:3]:
        path = f"{store}/{{start:%Y-%m-%d}}.jsonl"
        run(SecodaAuditLogsOperator, start=day, end=day + DAY, output_path=path, on_change="supplement")
    supplement = {"against_source": True, "on_finding": "supplement"}
    assert verify(store, **supplement)["supplements"] == []
    late = workspace.add_log(activity_type="DELETE", logged_at=DAYS[1] + timedelta(hours=1))
    summary = verify(store, **supplement)
    assert (summary["status"], summary["counts"]) == ("ok", {"supplemented": 1})
    assert summary["supplements"] == [f"{store}/{DAYS[1]:%Y-%m-%d}.late-1.jsonl"]
    assert [json.loads(line)["id"] for line in Path(*summary["supplements"]).read_bytes().splitlines()] == [late["id"]]
    assert verify(store, **supplement)["counts"] == {}


def test_a_log_that_was_removed_is_not_late(workspace, tmp_path):
    """Nothing is added to a window whose file was altered: the task fails."""
    store = tmp_path / "store"
    run(SecodaAuditLogsOperator, start=DAYS[2], end=UNTIL, output_path=f"{store}/{DAYS[2]:%Y-%m-%d}.jsonl")
    damage(store, DAYS[2])
    with pytest.raises(AirflowFailException, match="removed: 1, checksum: 1, late: 1"):
        verify(store, against_source=True, on_finding="supplement")
    assert [path.name for path in store.glob("*.jsonl")] == [f"{DAYS[2]:%Y-%m-%d}.jsonl"]


def test_signatures(store):
    """Files that are not signed are findings if public keys are passed, as PEM or as paths."""
    with pytest.raises(AirflowFailException, match="unsigned: 6"):
        verify(store, public_keys=[KEY.public_key.decode()])
    with pytest.raises(AirflowFailException, match="no-such-file"):
        verify(store, public_keys=["no-such-file.pem"])


# --- reports ------------------------------------------------------------------------------------------------------


def test_reports(store, tmp_path, monkeypatch):
    """A report is written before the task fails; the next one names it."""
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", json.dumps({"conn_type": "generic", "password": generate_key().decode()}))
    arguments = {"report_path": f"{tmp_path}/reports/{{sequence}}-{{start:%m-%d}}.html", "signing_conn_id": "my_key"}
    summary = verify(store, interval(DAYS[5]), last=6, **arguments)
    assert summary["report"] == f"{tmp_path}/reports/000001-02-23.html"
    assert hashlib.sha256(Path(summary["report"]).read_bytes()).hexdigest() == summary["report_sha256"]
    assert Path(summary["signature"]).stat().st_size == 64
    damage(store, DAYS[2])
    with pytest.raises(AirflowFailException, match=r"see the report .*/000002-02-28\.html"):
        verify(store, interval(DAYS[5]), **arguments)
    report = json.loads((tmp_path / "reports/000002-02-28.json").read_text())
    assert report["previous"]["sha256"] == summary["report_json_sha256"]
    assert report["signing_key"] == summary["signing_key"]
    assert report["sequence"] == 2


def test_a_file_that_the_last_report_covers_is_gone(store, tmp_path):
    """The first day is removed with its manifest, which leaves no gap: the next report names it, and the task fails."""
    path = f"{tmp_path}/reports/{{sequence}}.html"
    verify(store, report_path=path)
    name = f"{DAYS[0]:%Y-%m-%d}.jsonl"
    (store / name).unlink()
    (store / "_manifests" / f"_{name}.manifest").unlink()
    assert verify(store)["status"] == "ok"
    with pytest.raises(AirflowFailException, match=r"1 findings \(file_removed: 1\).* since report 1: file_removed: "):
        verify(store, report_path=path)


def test_a_report_is_not_overwritten(store, tmp_path):
    """The task fails before it verifies anything."""
    path = tmp_path / "report.html"
    assert verify(store, report_path=str(path))["report"] == str(path)
    before = path.read_bytes()
    with pytest.raises(AirflowFailException, match="A report with this name exists"):
        verify(store, report_path=str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": ""}, "`path`"),
        ({"path": []}, "`path`"),
        ({"last": 0}, "`last` must be an integer of at least 1"),
        ({"last": 2, "start": "2026-01-01", "end": "2026-01-02"}, "not both"),
        ({"start": "2026-01-01"}, "pass both or neither"),
        ({"on_finding": "ignore"}, "`on_finding` must be fail or supplement or warn"),
        ({"on_finding": "supplement"}, "pass against_source=True"),
        ({"report_path": "/tmp/a.pdf"}, "must end in .html"),
        ({"report_path": "/tmp/{ds}.html"}, "`report_path`: '{ds}'"),
        ({"signer": "keys", "signing_conn_id": "a"}, "`signer` must be the dotted path"),
        ({"signer": "my.keys", "signing_conn_id": "a"}, "not both"),
        ({"public_keys": "a.pem"}, "`public_keys` must be a list"),
    ],
)
def test_arguments_are_checked_when_the_dag_is_parsed(arguments, message):
    """A wrong argument fails before a run."""
    with pytest.raises(ValueError, match=message):
        SecodaVerifyOperator(task_id="verify", **{"path": "a"} | arguments)
