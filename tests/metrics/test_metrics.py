"""The metrics of tasks and triggers match the requests that the server received."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")
statsd_package = pytest.importorskip("statsd")

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.client.errors import SecodaServerError
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.triggers.secoda import SecodaAuditLogEventTrigger, SecodaVersionHistoryTrigger

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
START, END = UNTIL - timedelta(days=5), UNTIL - timedelta(days=4)
DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "reference" / "metrics.md"


@pytest.fixture(scope="module")
def workspace():
    return Workspace.generate(seed=3, logs=3000, days=20, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace)


@pytest.fixture
def with_versions(secoda_sandbox_factory):
    """Return a sandbox whose resource R has three old versions."""
    workspace = Workspace(seed=5)
    for day in (1, 2, 3):
        workspace.add_version("R", latest_activity_logged_at=UNTIL + timedelta(days=day))
    return secoda_sandbox_factory(workspace, page_size=1)


def fetch(**arguments):
    """Run the operator as a task; one page after the other, because pages read ahead may not be needed."""
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        task = SecodaAuditLogsOperator(task_id="t", **{"start": START, "end": END, "concurrency": 1} | arguments)
    return task.execute({"dag": dag})


def sensor(**arguments):
    """Return a sensor, and the facts of a run of it."""
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        task = SecodaVersionHistorySensor(task_id="t", **{"resource_id": "R"} | arguments)
    now = datetime.now(timezone.utc)
    run = SimpleNamespace(run_after=now, start_date=now)
    return task, {"dag": dag, "dag_run": run, "ti": SimpleNamespace(try_number=1, max_tries=1)}


def served(sandbox):
    """Return the server's requests and responses as metrics."""
    statuses = [request.status for request in sandbox.requests]
    counts = {"requests": len(statuses), "throttles": statuses.count(429), "pages": statuses.count(200)}
    counts["retries"] = counts["requests"] - counts["pages"]
    return {f"secoda.{name}": count for name, count in counts.items() if count}


# --- on a worker -----------------------------------------------------------------------------------------------


def test_a_window(statsd, sandbox, workspace, tmp_path):
    """A task reports its requests, what it read, and the lag of the latest log."""
    summary = fetch(output_path=f"{tmp_path}/logs.jsonl")
    heard = statsd.heard()
    assert heard.pop("secoda.lag") == [pytest.approx(summary["max_lag_seconds"] * 1000)]
    assert heard == {**served(sandbox), "secoda.logs": len(workspace.window(START, END))}
    assert (heard["secoda.requests"], heard["secoda.pages"]) == (summary["requests"], summary["pages"])


def test_a_window_with_errors(statsd, sandbox, workspace, tmp_path):
    """Repeated and throttled requests are counted, each once."""
    sandbox.faults.script = [("status", 429, {"Retry-After": "0"}), 500, "cut", ("status", 429, {"Retry-After": "0"})]
    fetch(output_path=f"{tmp_path}/logs.jsonl")
    heard, expected = statsd.heard(), served(sandbox)
    del heard["secoda.lag"]
    # A truncated response has status 200, and does not count as a page.
    expected |= {"secoda.pages": expected["secoda.pages"] - 1, "secoda.retries": 4}
    assert heard == {**expected, "secoda.logs": len(workspace.window(START, END))}
    assert heard["secoda.throttles"] == 2


def test_a_task_that_fails(statsd, sandbox):
    """A task that fails reports its requests too."""
    sandbox.faults.script = [403] * 5
    with pytest.raises(Exception, match="403"):
        fetch()
    assert statsd.heard() == {"secoda.requests": len(sandbox.requests)}


def test_a_task_that_stops_early(statsd, sandbox):
    """A task that stops reading reports at once what it read."""
    with pytest.raises(Exception, match="XCom"):
        fetch(xcom_limit_bytes=10_000)
    heard = statsd.heard()
    assert heard["secoda.requests"] >= 2
    assert 0 < heard["secoda.logs"] < 200


def test_a_last_429_counts(statsd, with_versions):
    """A 429 that is not followed by a retry is counted."""
    task, facts = sensor()
    with_versions.faults.script = [("status", 429, {"Retry-After": "60"})]
    assert not task.poke(facts).is_done
    assert statsd.heard() == {"secoda.requests": 1, "secoda.throttles": 1}


def test_each_poll_of_a_sensor(statsd, with_versions):
    """A sensor reports after each poll, not at its end, which may be days away."""
    task, facts = sensor()
    for _ in range(3):
        with_versions.requests.clear()
        task.poke(facts)
        assert statsd.heard() == served(with_versions)


def test_the_hook_in_a_users_task(statsd, sandbox, with_versions):
    """Requests of the hook are counted too, each once, also of concurrent reads."""
    hook = SecodaHook()
    hook.list_audit_logs()
    # One page after the other, because pages that are read ahead may not be needed.
    first, second = (hook.iter_audit_logs(START, END, concurrency=1) for _ in range(2))
    count = sum(1 for pair in zip(first, second, strict=True) for _ in pair)
    heard = statsd.heard()
    del heard["secoda.lag"]
    assert heard == {**served(sandbox), "secoda.logs": count}


# --- in the triggerer ------------------------------------------------------------------------------------------


async def wait(number, deadline=1.5):
    """Run this many triggers of one connection until they end."""

    async def one():
        trigger = SecodaVersionHistoryTrigger(
            secoda_conn_id="secoda_default",
            resource_id="R",
            since=datetime.now(timezone.utc).isoformat(),
            since_version_id=None,
            match="new_version",
            poke_interval=0.3,
            deadline=(datetime.now(timezone.utc) + timedelta(seconds=deadline)).isoformat(),
        )
        return [event async for event in trigger.run()]

    return await asyncio.gather(*[one() for _ in range(number)])


async def test_waits_in_the_triggerer(statsd, with_versions):
    """The requests of many triggers with one client are counted once each, also failed ones."""
    with_versions.faults.script = [500, ("status", 429, {"Retry-After": "0"})]
    await wait(5)
    heard, expected = statsd.heard(), served(with_versions)
    # The first request of a poll is not repeated: the next poll does that.
    heard.pop("secoda.retries", None)
    del expected["secoda.retries"]
    assert heard == expected
    assert heard["secoda.throttles"] == 1


async def test_event_triggers(statsd, sandbox, workspace):
    """An event trigger reports each log that it read, and its lag."""
    trigger = SecodaAuditLogEventTrigger(poke_interval=0.2)
    async with aclosing(trigger.run()) as events:
        task = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1.0)  # it begins at the present, once it has polled
        now = datetime.now(timezone.utc)
        workspace.add_log(id="late", logged_at=now - timedelta(seconds=90), created_at=now)
        event = await asyncio.wait_for(task, 10)
    assert event.payload["id"] == "late"
    heard = statsd.heard()
    assert heard.pop("secoda.lag") == [pytest.approx(90_000, abs=1)]
    assert heard == {**served(sandbox), "secoda.logs": 1}


class Slow(statsd_package.StatsClient):
    """A StatsD client that resolves its host slowly."""

    made: list[str] = []

    def __init__(self, *args, **kwargs):
        time.sleep(0.3)
        Slow.made.append(threading.current_thread().name)
        super().__init__(*args, **kwargs)


async def test_metrics_do_not_block_the_event_loop(send_metrics, with_versions):
    """The StatsD client, which may block, is created in a thread before the first metric is reported."""
    Slow.made.clear()
    statsd = send_metrics(statsd_custom_client_path=f"{__name__}.Slow")
    await wait(2, deadline=0.5)
    assert statsd.heard()["secoda.requests"] == len(with_versions.requests)
    assert len(Slow.made) == 1
    assert Slow.made != [threading.main_thread().name]


# --- settings of Airflow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("allowed", "names"), [("secoda", 3), ("secoda.requests,secoda.pages", 2), ("scheduler", 0)])
def test_an_allow_list_selects_them(send_metrics, sandbox, allowed, names):
    """Only metrics that match the allow list are sent."""
    statsd = send_metrics(metrics_allow_list=allowed)
    SecodaHook().list_audit_logs()
    next(SecodaHook().iter_audit_logs(START, END))
    assert len(set(statsd.heard()) - {"secoda.lag"}) == names


def test_the_connection_is_a_tag(send_metrics, sandbox, monkeypatch):
    """If metrics have tags, the connection is one, with characters that every back end accepts."""
    monkeypatch.setenv("AIRFLOW_CONN_WORKSPACE:1", sandbox.connection_json)
    statsd = send_metrics(statsd_influxdb_enabled=True)
    SecodaHook("workspace:1").list_audit_logs()
    assert "secoda.requests,secoda_conn_id=workspace_1:1|c" in statsd.lines()


class Broken(statsd_package.StatsClient):
    """A StatsD client that always fails."""

    def _send_stat(self, stat, value, rate):
        if stat.startswith("secoda"):
            raise RuntimeError("the metrics are broken")


def test_errors_in_metrics_do_not_fail_a_task(send_metrics, sandbox, workspace, caplog):
    """A task continues without metrics, and its own error is not changed."""
    statsd = send_metrics(statsd_custom_client_path=f"{__name__}.Broken")
    assert len(fetch()) == len(workspace.window(START, END))
    assert "the metrics are broken" in caplog.text
    sandbox.faults.script = [503] * 5
    with pytest.raises(SecodaServerError):
        task, facts = sensor(max_consecutive_failures=1)
        task.execute(facts)
    assert statsd.lines() == []


def test_the_readme_lists_them(statsd, sandbox, tmp_path):
    """The documented table lists the metrics of a run with errors, by name and kind, and no others."""
    sandbox.faults.script = [500, 429]
    fetch(output_path=f"{tmp_path}/logs.jsonl")
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        SecodaVerifyOperator(task_id="verify", path=str(tmp_path)).execute({"dag": dag})
    kinds = {"c": "counter", "g": "gauge", "ms": "timer"}
    sent = {line.partition(":")[0]: kinds[line.rpartition("|")[2]] for line in statsd.lines()}
    listed = dict(re.findall(r"^\| `(secoda\.\w+)` \| (\w+) \|", DOCUMENTED.read_text(), re.MULTILINE))
    assert listed == sent
