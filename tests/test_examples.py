"""Each example DAG runs in real Airflow with the sandbox, and writes the expected files."""

from __future__ import annotations

import gzip
import json
import re
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import run_makers, timestamps

EXAMPLES = Path(__file__).parent.parent / "example_dags"
UNTIL = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def workspace(secoda_sandbox_factory, monkeypatch, tmp_path):
    """Serve a workspace of the last ten days, and take the examples' output."""
    monkeypatch.setenv("SECODA_OUTPUT", str(tmp_path))
    found = Workspace.generate(seed=11, logs=1500, days=10, until=UNTIL)
    secoda_sandbox_factory(found)
    return found


def run(airflow, name, **how):
    ran = airflow.run_dag(EXAMPLES / f"{name}.py", name, **how)
    assert ran.state == "success", ran.log
    return ran


def lines(records):
    return b"".join(raw + b"\n" for raw in records)


def test_every_example_is_run():
    """Every example has a test, here or in a running Airflow."""
    here = Path(__file__)
    tests = "".join(path.read_text() for path in [here, *(here.parent / "e2e").glob("test_*.py")])
    assert all(f'"{path.stem}"' in tests for path in EXAMPLES.glob("*.py"))


def test_daily(airflow, workspace, tmp_path):
    """The daily example writes yesterday, midnight to midnight; run again, it writes the same."""
    first = run(airflow, "secoda_audit_logs_daily", logical_date=UNTIL - timedelta(hours=1))
    path = Path(first.xcoms["fetch_audit_logs"]["path"])
    again = run(airflow, "secoda_audit_logs_daily", logical_date=UNTIL - timedelta(hours=1))
    assert first.xcoms["fetch_audit_logs"]["sha256"] == again.xcoms["fetch_audit_logs"]["sha256"]
    start = timestamps.read(first.xcoms["fetch_audit_logs"]["start"])
    assert path == tmp_path / "audit_logs" / f"{start:%Y-%m-%d}.jsonl"
    assert path.read_bytes() == lines(workspace.window(start, start + DAY)) != b""


def test_plain_daily(airflow, workspace, tmp_path):
    """The plain ``@daily`` example writes one complete day, although Airflow 3 gives it no data interval."""
    ran = run(airflow, "secoda_audit_logs_plain_daily", logical_date=UNTIL - timedelta(hours=2))
    summary = ran.xcoms["fetch_audit_logs"]
    start, end = (timestamps.read(summary[edge]) for edge in ("start", "end"))
    assert end - start == DAY
    assert (start.hour, start.minute) == (0, 0)
    assert summary["window_rule"] == ("schedule_period" if airflow.version() >= (3,) else "data_interval")
    assert gzip.decompress(Path(summary["path"]).read_bytes()) == lines(workspace.window(start, end)) != b""


def test_by_people(airflow, workspace):
    """The filtered example writes only what people did."""
    ran = run(airflow, "secoda_audit_logs_by_people", logical_date=UNTIL - DAY)
    summary = ran.xcoms["fetch_audit_logs"]
    edges = [timestamps.read(summary[edge]) for edge in ("start", "end")]
    people = [raw for raw in workspace.window(*edges) if json.loads(raw)["performer_type"] == "USER"]
    assert Path(summary["path"]).read_bytes() == lines(people) != b""


def test_backfill(airflow, workspace, tmp_path):
    """The example for backfills writes a day like the daily one; ``e2e/test_backfill.py`` runs many at once."""
    ran = run(airflow, "secoda_audit_logs_backfill", logical_date=UNTIL - DAY)
    summary = ran.xcoms["fetch_audit_logs"]
    edges = [timestamps.read(summary[edge]) for edge in ("start", "end")]
    assert Path(summary["path"]) == tmp_path / "audit_logs_backfill" / f"{edges[0]:%Y-%m-%d}.jsonl"
    assert Path(summary["path"]).read_bytes() == lines(workspace.window(*edges)) != b""


def test_report(airflow, workspace):
    """The report example counts with DuckDB what the file holds, and prints it."""
    pytest.importorskip("duckdb")
    ran = run(airflow, "secoda_audit_logs_report", logical_date=UNTIL - DAY)
    summary, table = ran.xcoms["fetch_audit_logs"], ran.xcoms["who_did_what"]
    edges = [timestamps.read(summary[edge]) for edge in ("start", "end")]
    logs = [json.loads(raw) for raw in workspace.window(*edges)]
    assert sum(times for _, _, times in table) == len(logs) == summary["count"]
    who = (logs[0].get("performer_metadata") or {}).get("name") or logs[0]["performer_id"]
    assert who in {row[0] for row in table}
    assert f"{len(logs)} logs from" in ran.log


def test_verify_weekly(airflow, workspace, tmp_path):
    """The example fetches each day, and verifies after each Saturday, with a report and the logs that came late."""
    saturday = UNTIL - (UNTIL.isoweekday() % 7) * DAY  # the end of the last one
    run(airflow, "secoda_verify_weekly", logical_date=saturday - DAY)
    late = workspace.add_log(activity_type="DELETE", logged_at=saturday - DAY - timedelta(hours=1))
    ran = run(airflow, "secoda_verify_weekly", logical_date=saturday)
    assert ran.tasks["verify_audit_logs"] == "success"
    summary = ran.xcoms["verify_audit_logs"]
    assert (summary["files"], summary["counts"]) == (2, {"supplemented": 1})
    assert late["id"].encode() in Path(*summary["supplements"]).read_bytes()
    assert Path(summary["report"]) == tmp_path / "verified" / "reports" / "000001.html"


@pytest.mark.parametrize("given", [None, ("2026-03-28T23:30:00+01:00", "2026-03-31T12:00:00+02:00")])
def test_mapped(airflow, secoda_sandbox_factory, monkeypatch, tmp_path, given):
    """The mapped example writes a month (here in weeks), or a given window, in files without gap or overlap."""
    monkeypatch.setenv("SECODA_OUTPUT", str(tmp_path))
    known = Workspace.generate(seed=3, logs=600, days=70, until=datetime(2026, 4, 3, tzinfo=timezone.utc))
    secoda_sandbox_factory(known)
    source = (EXAMPLES / "secoda_audit_logs_mapped.py").read_text()
    run_arguments = {"logical_date": datetime(2026, 3, 1, tzinfo=timezone.utc)}
    if given is None:
        source = source.replace("timedelta(days=1)", "timedelta(days=7)")
    else:
        run_arguments["run_conf"] = dict(zip(("start", "end"), given, strict=True))
    ran = airflow.run_dag(source, "secoda_audit_logs_mapped", **run_arguments)
    assert ran.state == "success", ran.log
    month = ("2026-02-01T00:00+00:00", "2026-03-01T00:00+00:00")
    start, end = (datetime.fromisoformat(edge) for edge in given or month)
    summaries = ran.xcoms["fetch_audit_logs"]
    assert len(summaries) == (3 if given else 4)
    result = verify([str(tmp_path / "audit_logs_mapped")], start=start, end=end)
    assert (result.exit_code, len(result.files), result.errors) == (0, len(summaries), [])
    held = b"".join(gzip.decompress(Path(summary["path"]).read_bytes()) for summary in summaries)
    assert held == lines(known.window(start, end)) != b""


def test_on_asset(airflow, workspace, tmp_path):
    """Runs of an asset's event and by hand write the days that are missing; a run without missing days is skipped."""
    first = UNTIL - 3 * DAY
    source = (EXAMPLES / "secoda_audit_logs_on_asset.py").read_text().replace("2026-11-01", f"{first:%Y-%m-%d}")
    dag = airflow.load(source)["secoda_audit_logs_on_asset"]
    airflow.run_dag(UPDATE)
    by_event = airflow.execute(dag, run_makers.schedule()[dag.dag_id])
    assert by_event.run_type in ("asset_triggered", "dataset_triggered")
    assert (by_event.state, by_event.tasks["fetch_audit_logs"]) == ("success", ["success"] * 3), by_event.log
    again = airflow.run_dag(dag)
    assert again.tasks["fetch_audit_logs"] == "skipped"
    Path(by_event.xcoms["fetch_audit_logs"][1]["manifest"]).unlink()
    by_hand = airflow.run_dag(dag, logical_date=UNTIL - DAY)
    (summary,) = by_hand.xcoms["fetch_audit_logs"]
    assert summary == by_event.xcoms["fetch_audit_logs"][1] | {
        name: summary[name] for name in ("manifest_sha256", "pages", "requests")
    }
    result = verify([str(tmp_path / "audit_logs_on_asset")], start=first, end=UNTIL)
    assert (result.exit_code, len(result.files), result.errors) == (0, 3, [])
    assert sum(file.records for file in result.files) == len(workspace.window(first, UNTIL)) > 0


UPDATE = """
    from airflow.providers.common.compat.sdk import DAG, Asset, task

    with DAG("update_warehouse", schedule=None):

        @task(outlets=[Asset("file:///warehouse_updated")])
        def update():
            pass

        update()
"""


def test_wait_for_new_version(airflow, workspace, secoda_sandbox_factory, monkeypatch):
    """The sensor's example waits for a version that is added in the meantime, and returns who changed what."""
    monkeypatch.setenv("SECODA_RESOURCE_ID", "metric-1")
    sandbox = secoda_sandbox_factory(Workspace.generate(seed=4, logs=20, days=2))
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
    # On Airflow 2 the run is due at the end of the last week of the schedule, up to seven days ago.
    sandbox.workspace.add_version("metric-1", latest_activity_logged_at=UNTIL - 8 * DAY)
    source = (EXAMPLES / "secoda_wait_for_new_version.py").read_text()
    source = source.replace("timedelta(minutes=1)", "timedelta(seconds=0.5)")
    edit = {"performer_type": "USER", "performer_metadata": {"id": "u1", "name": "Ada"}}
    timer = threading.Timer(2, lambda: sandbox.workspace.add_version("metric-1", id="new", activity_logs=[edit]))
    timer.start()
    ran = airflow.run_dag(source, "secoda_wait_for_new_version")
    timer.join()
    assert ran.state == "success", ran.log
    assert [entry["id"] for entry in ran.xcoms["wait_for_an_edit"]] == ["new"]
    (line,) = ran.xcoms["print_changes"]
    assert re.fullmatch(r"\S+: Ada changed description \(version new\)", line)
