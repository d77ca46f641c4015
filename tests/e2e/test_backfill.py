"""A backfill of many days in parallel, with at most as many requests as a pool and ``concurrency`` allow."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_secoda.sandbox import Sandbox, Workspace
from airflow_provider_secoda.verify import verify
from tests.helpers import airflow_runs
from tests.helpers.airflow_rest import run_path

EXAMPLE = Path(__file__).parent.parent.parent / "example_dags" / "secoda_audit_logs_backfill.py"
DAG_ID, TASK_ID = "secoda_audit_logs_backfill", "fetch_audit_logs"
FIRST, DAYS = datetime(2026, 1, 1, tzinfo=timezone.utc), 6
END = FIRST + timedelta(days=DAYS)
SLOTS, CONCURRENCY = 2, 2
WAITING = """
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("waiting_in_pools", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    for pool in ("waiting_free", "waiting_counted"):
        for number in range(2):
            SecodaAuditLogsOperator(
                task_id=f"{pool}_{number}",
                start="2026-01-01",
                end="2026-01-02",
                settle=timedelta(days=36500),
                pool=pool,
            )
"""


@pytest.fixture(scope="module")
def sandbox():
    """Serve six days of logs, with a latency that makes requests overlap, and with a rate limit."""
    with Sandbox(Workspace.generate(seed=3, logs=1500, days=DAYS, until=END), page_size=10) as found:
        found.faults.latency = 0.05
        found.faults.rate_limit = (25, 1.0)  # one task alone sends more
        yield found


@pytest.fixture(scope="module")
def backfill(standalone, sandbox, tmp_path_factory):
    """Run the example as a backfill of the six days; return its output folder."""
    if airflow_runs.version() < (3,):
        pytest.skip("Airflow 2 backfills in a process of its own, with an executor of its own")
    folder = tmp_path_factory.mktemp("backfill")
    source = EXAMPLE.read_text()
    for old, new in {
        "concurrency=4": f"concurrency={CONCURRENCY}, secoda_conn_id='backfill'",
        "catchup=False": f"catchup=False, end_date=datetime.fromisoformat('{END}')",  # no run for yesterday
        "timedelta(minutes=5)": "timedelta(seconds=1)",
        'os.environ.get("SECODA_OUTPUT", "/tmp/secoda")': repr(str(folder)),
    }.items():
        assert old in source
        source = source.replace(old, new)
    standalone.start()
    standalone.add_connection("backfill", sandbox)
    standalone._request("POST", "pools", json={"name": "secoda", "slots": SLOTS})
    standalone.put_dag(DAG_ID, source)
    span = {"from_date": FIRST.isoformat(), "to_date": (END - timedelta(days=1)).isoformat()}
    body = {"dag_id": DAG_ID, "max_active_runs": DAYS, **span}

    # On SQLite, Airflow cannot create a backfill while it schedules: if another process writes, it responds with 503.
    standalone.stop("scheduler")

    def created():
        answer = standalone._rest.send("POST", "backfills", json=body)
        return None if answer.is_server_error else answer

    standalone.until(created, "the backfill is created", 60).raise_for_status()
    standalone.start_again("scheduler")
    for run in standalone.runs(DAG_ID):
        assert standalone.wait(DAG_ID, run["dag_run_id"]) == "success"
    yield folder / "audit_logs_backfill"
    standalone.remove_dag(DAG_ID)


def test_a_task_that_waits_for_its_window_occupies_no_slot(standalone):
    """Tasks that wait in the triggerer occupy no slot of a pool, unless the pool includes deferred tasks."""
    standalone.put_dag("waiting_in_pools", WAITING)
    standalone.start()
    for name, counted in (("waiting_free", False), ("waiting_counted", True)):
        standalone._request("POST", "pools", json={"name": name, "slots": 1, "include_deferred": counted})
    run_id = standalone.trigger("waiting_in_pools")

    def waiting(pool):
        tasks = [standalone.task("waiting_in_pools", run_id, f"{pool}_{number}") for number in range(2)]
        return [task["state"] for task in tasks].count("deferred")

    standalone.until(lambda: waiting("waiting_free") == 2 and waiting("waiting_counted") == 1, "both tasks wait", 90)
    time.sleep(2)  # with a free slot the next task would start immediately
    assert (waiting("waiting_free"), waiting("waiting_counted")) == (2, 1)
    standalone._request("PATCH", run_path("waiting_in_pools", run_id), json={"state": "failed"})
    standalone.remove_dag("waiting_in_pools")


def test_every_window_is_fetched_once(standalone, sandbox, backfill):
    """Each day has one run and one file, which contains each log of the day once, as it was sent."""
    assert [run["run_type"] for run in standalone.runs(DAG_ID)] == ["backfill"] * DAYS
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    own = {f"{day:%Y-%m-%d}.jsonl": sandbox.workspace.window(day, day + timedelta(days=1)) for day in days}
    assert {path.name for path in backfill.glob("*.jsonl")} == set(own)
    for name, logs in own.items():
        assert (backfill / name).read_bytes() == b"".join(raw + b"\n" for raw in logs), name
    assert sum(map(len, own.values())) == len(sandbox.workspace) == 1500


def test_the_windows_have_no_gap_and_no_overlap(backfill):
    """``verify`` finds one series from the first day to the last, with no gap, no overlap and no id in two files."""
    result = verify([str(backfill)], start=FIRST, end=END)
    assert result.exit_code == 0
    assert len(result.series) == 1


def test_never_more_requests_than_the_pool_allows(standalone, sandbox, backfill):
    """All tasks together have at most slots times concurrency requests in flight, also when they are throttled."""
    stats = sandbox.stats
    assert CONCURRENCY <= stats["peak_in_flight"] <= SLOTS * CONCURRENCY
    statuses = next(iter(stats["by_path"].values()))
    assert statuses.get("429", 0) > 0
    assert set(statuses) == {"200", "429"}
    requests = [standalone.xcom(DAG_ID, run["dag_run_id"], TASK_ID)["requests"] for run in standalone.runs(DAG_ID)]
    assert sum(requests) == stats["requests"]
