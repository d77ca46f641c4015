"""The list of names that outlive a release is what the code writes, and no name changes without its version."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda import _persisted
from airflow_provider_secoda._events.cursors import Cursor, CursorStore
from airflow_provider_secoda._events.version_watcher import version_payload
from airflow_provider_secoda._events.watchers import log_payload
from airflow_provider_secoda._persisted import Names
from airflow_provider_secoda._polling.wait import SensorState
from airflow_provider_secoda.client._versions.page_order import PageOrder
from airflow_provider_secoda.hooks import _connection, _metrics
from airflow_provider_secoda.links import secoda as links
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.sensors._poller import StateStore
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.signing import generate_key
from airflow_provider_secoda.triggers import secoda as triggers
from airflow_provider_secoda.verify._cli import main as verify
from airflow_provider_secoda.windows import Window
from tests.helpers import airflow_runs

PACKAGE = Path(_persisted.__file__).parent
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
#: Objects whose keys are data.
OPAQUE = {
    "record",
    "definition_diff",
    "description_diff",
    "newest_times",
    "delivered",
    "query.filter",
    "read.reread_reasons",
    "series[].filter",
}
OPAQUE |= {
    "counts",
    "reports[].counts",
    "reports[].findings",
    "series[].counts",
    "files[].counts",
    "untyped_values",
    "file.untyped_values",
}
#: The digest of each version of each group. A version that was released keeps its line; a new version gets a new one.
DIGESTS = {
    ("AUDIT_LOG_PAYLOAD", 1): "1d8a1be6f5ab5a79",
    ("CONNECTION_EXTRAS", 1): "9a3a51da8ef442f1",
    ("CHAIN", 1): "585a2403b1881f28",
    ("CURSOR", 1): "93dcbf489ae3a17d",
    ("DEFERRALS", 1): "3433a9e2c550d12f",
    ("ENTRY", 1): "0fe41f7bdcd2be6b",
    ("FINDING_KINDS", 1): "5ea9a663bd79b8b9",
    ("LINKS", 1): "ced7f25379e5f550",
    ("MANIFEST", 1): "5882006aced049ed",
    ("METRICS", 1): "33dcbe07f0a615f8",
    ("PAGE_ORDER", 1): "c1bcbbe85ffd43ae",
    ("SUMMARY_OF_RETURNED_LOGS", 1): "bd0d43e64bd2fd46",
    ("REPORT", 1): "16c702cc3cec8277",
    ("REPORT_FILE", 1): "2c28b5c30db9b826",
    ("SENSOR_STATE", 1): "bb67cdc91dd5f004",
    ("SUMMARY_OF_WINDOW_FILES", 1): "f9aa90a13983906d",
    ("SUPPLEMENT", 1): "4ac643fb6beaa2a0",
    ("SUMMARY", 1): "eecae47611db1533",
    ("SUMMARY_OF_VERIFICATION", 1): "40f30aa93ad8ee1b",
    ("airflow_provider_secoda.triggers.secoda.SecodaAuditLogEventTrigger", 1): "26cacbc9c9bca685",
    ("airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryEventTrigger", 1): "e990ec2fd32ae788",
    ("airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger", 1): "a4ae072dbc82d22a",
}
DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("persisted", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator(
        task_id="fetch", start="2026-03-01", end="2026-03-02", output_path="{path}/logs.parquet", retries=0,
        signing_conn_id="{{ 'my' }}_key"
    )
"""


def groups():
    """Return each group of names by its name in the module, or by the class path of its trigger."""
    found = {name: value for name, value in vars(_persisted).items() if isinstance(value, Names)}
    return found | _persisted.TRIGGERS


def names_of(value, prefix=""):
    """Return the names in a JSON value, sorted: those of its leaves, with the objects and lists around them."""
    if isinstance(value, dict) and value and prefix not in OPAQUE:
        inner = {name for key, each in value.items() for name in names_of(each, f"{prefix}.{key}".lstrip("."))}
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        inner = {name for each in value for name in names_of(each, f"{prefix}[]")}
    else:
        inner = {prefix}
    return tuple(sorted(inner))


@pytest.mark.parametrize("name", sorted(groups()))
def test_no_name_changes_without_its_version(name):
    """The names of a version are those recorded above. After a change raise the version and add the line shown here."""
    group = groups()[name]
    digest = hashlib.sha256("\n".join(group.names).encode()).hexdigest()[:16]
    assert DIGESTS.get((name, group.version)) == digest, f'("{name}", {group.version}): "{digest}",'


def test_names_are_sorted_and_unique():
    """Two people who add a name to a group add it in the same place."""
    for group in groups().values():
        assert list(group.names) == sorted(set(group.names))


def test_triggers():
    """Class paths and arguments are what the triggers give to Airflow, and what their constructors accept."""
    made = [
        triggers.SecodaAuditLogEventTrigger(),
        triggers.SecodaVersionHistoryEventTrigger("r"),
        triggers.SecodaVersionHistoryTrigger(secoda_conn_id="c", resource_id="r", since=START.isoformat()),
    ]
    written = {}
    for trigger in made:
        path, arguments = trigger.serialize()
        written[path] = tuple(sorted(arguments))
        assert type(trigger)(**arguments).serialize() == (path, arguments)
    assert written == {path: group.names for path, group in _persisted.TRIGGERS.items()}
    assert {path.rpartition(".")[2] for path in written} == set(triggers.__all__)


def test_deferrals():
    """Deferred tasks continue by these methods with these arguments, and the trigger's events have these keys."""
    window = Window(START, START + DAY, "start_end").as_dict()
    events = _dictionaries(PACKAGE / "triggers" / "secoda.py", "TriggerEvent")
    names = {f"{SecodaAuditLogsOperator.__name__}.execute_settled.window.{key}" for key in window}
    names.add(f"{SecodaAuditLogsOperator.__name__}.execute_settled.deadline")
    names |= {f"{SecodaVersionHistorySensor.__name__}.execute_complete.event.{key}" for key in events}
    assert _persisted.DEFERRALS.names == tuple(sorted(names))
    assert {"execute_settled", "deadline"} <= _literals(PACKAGE / "operators" / "_settling.py")
    assert "execute_complete" in _literals(PACKAGE / "sensors" / "secoda.py")
    assert hasattr(SecodaAuditLogsOperator, "execute_settled")
    assert hasattr(SecodaVersionHistorySensor, "execute_complete")


def test_sensor_state():
    """A waiting task's state has this key and these names."""
    store = {}
    order = PageOrder(1, 1, {"created": 1})
    StateStore(SimpleNamespace(set=store.__setitem__, get=store.get), ["r"], 1).save(SensorState(order))
    assert list(store) == [_persisted.SENSOR_STATE_KEY]
    state = store[_persisted.SENSOR_STATE_KEY]
    assert names_of(state | {"page_order": None}) == _persisted.SENSOR_STATE.names
    assert names_of(state["page_order"]) == _persisted.PAGE_ORDER.names


def test_cursor():
    """A watcher's cursor has this key and these names; the same arguments have the same key in every release."""
    written = {}
    trigger = triggers.SecodaVersionHistoryEventTrigger("r")
    store = CursorStore(SimpleNamespace(set=written.__setitem__), trigger._watch_arguments())
    asyncio.run(store.save(Cursor(0, {"a": 0})))
    ((key, value),) = written.items()
    assert key.startswith(_persisted.CURSOR_KEY_PREFIX)
    assert names_of(value) == _persisted.CURSOR.names


def test_links():
    """Links are stored under these keys."""
    assert _persisted.LINKS.names == tuple(sorted(getattr(links, name)().xcom_key for name in links.__all__))


def test_payloads():
    """Entries and payloads have these keys."""
    performer = {"id": "u", "name": "n"}
    log = {"id": "a", "performer_id": "u", "performer_type": "USER", "performer_metadata": performer}
    assert names_of(log_payload(json.dumps(log).encode())) == _persisted.AUDIT_LOG_PAYLOAD.names
    assert version_payload({"id": "a"}) == {"kind": "version", "id": "a"}


def test_entry(secoda_sandbox_factory):
    """The entries that the sensor returns have these keys."""
    sandbox = secoda_sandbox_factory(Workspace.generate(seed=1, logs=5, days=1))
    activity = {"performer_type": "USER", "performer_metadata": {"id": "u1", "name": "Ada"}}
    sandbox.workspace.add_version("r", activity_logs=[activity])
    sensor = SecodaVersionHistorySensor(task_id="wait", resource_id="r", since=START)
    (entry,) = sensor.poke({}).xcom_value
    assert names_of(entry) == _persisted.ENTRY.names


def test_connection_extras():
    """A connection has these extras."""
    assert tuple(sorted(_connection.KNOWN_EXTRAS)) == _persisted.CONNECTION_EXTRAS.names


def test_metrics():
    """Airflow's metrics have these names."""
    counters = {f"secoda.{name}" for name in _metrics._COUNTERS.values()}
    assert tuple(sorted(counters | {"secoda.findings", "secoda.lag", "secoda.logs"})) == _persisted.METRICS.names


@pytest.fixture(scope="module")
def written(airflow, tmp_path_factory):
    """Run the operator, and return the folder, the summary and the manifest."""
    folder = tmp_path_factory.mktemp("persisted")
    with pytest.MonkeyPatch.context() as patch:
        from airflow_provider_secoda.sandbox import Sandbox

        with Sandbox(Workspace.generate(seed=1, logs=50, days=10, until=START + 2 * DAY)) as sandbox:
            patch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", sandbox.connection_json)
            patch.setenv(
                "AIRFLOW_CONN_MY_KEY", json.dumps({"conn_type": "generic", "password": generate_key().decode()})
            )
            ran = airflow_runs.run_dag(DAG.replace("{path}", str(folder)))
    assert ran.state == "success", ran.log
    return folder, ran.xcoms["fetch"], json.loads((folder / "_manifests" / "_logs.parquet.manifest").read_text())


def test_summary(written):
    """The summary has these keys."""
    assert names_of(written[1]) == _persisted.SUMMARY.names


def test_manifest(written):
    """The manifest has these names and this version, and its records are pairs."""
    manifest = written[2]
    records = manifest.pop("records")
    assert all(len(record) == 2 for record in records)
    assert manifest["manifest_version"] == _persisted.MANIFEST.version
    assert names_of(manifest) == _persisted.MANIFEST.names


def test_supplements(secoda_sandbox_factory, tmp_path):
    """The summary of a task that adds supplements has these keys, too, and the supplement's manifest these names."""
    known = secoda_sandbox_factory(Workspace()).workspace
    for name in "ab":
        known.add_log(id=name, logged_at=START)
        task = SecodaAuditLogsOperator(
            task_id="fetch", start=START, end=START + DAY, output_path=f"{tmp_path}/a.jsonl", on_change="supplement"
        )
        summary = task.execute({})
    names = names_of(summary)
    assert set(names) == {*_persisted.SUMMARY.names, *_persisted.SUMMARY_OF_WINDOW_FILES.names}
    manifest = json.loads((tmp_path / "_manifests" / "_a.late-1.jsonl.manifest").read_text())
    assert names_of(manifest["supplement"]) == _persisted.SUPPLEMENT.names


def test_report(written, capsys):
    """The JSON report of verify has these names."""
    with (written[0] / "logs.parquet").open("ab") as file:
        file.write(b"x")
    assert verify([str(written[0]), "--json", "--quiet", "--end", "2026-03-03"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert names_of(report) == _persisted.REPORT.names


def test_report_file(written, tmp_path, capsys):
    """The JSON file of a report has these names besides those of the output, and so has the output of a chain."""
    path = str(tmp_path / "{sequence}.html")
    for _ in range(2):
        verify([str(written[0]), "--report", path])
    report = json.loads((tmp_path / "000002.json").read_text())
    capsys.readouterr()
    shared = {"against_source", "checked_at", "end", "errors", "exit_code", "files", "paths", "provider_version"}
    shared |= {"changes", "public_keys", "series", "start", "status", "totals"}
    assert shared == {name.split(".")[0].removesuffix("[]") for name in _persisted.REPORT.names}
    more = {key: value for key, value in report.items() if key == "changes" or key not in shared}
    assert names_of(more) == _persisted.REPORT_FILE.names
    (written[0] / "_manifests" / "_logs.parquet.manifest").rename(tmp_path / "aside")
    assert verify(["--chain", str(tmp_path / "000002.json"), "--json"]) == 1
    assert names_of(json.loads(capsys.readouterr().out)) == _persisted.CHAIN.names


def test_finding_kinds():
    """Findings are of these kinds, and the documentation of the report lists them."""
    import airflow_provider_secoda.verify as documented

    kinds = set()
    for path in (PACKAGE / "verify").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "add" and len(node.args) > 1:
                kinds |= {each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)}
    assert tuple(sorted(kinds)) == _persisted.FINDING_KINDS.names
    assert all(kind in documented.__doc__ for kind in kinds)


def _dictionaries(path, function):
    """Return the keys of the dictionaries that a module passes to a function."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    found = [node.args[0] for node in calls if ast.unparse(node.func) == function]
    return {key.value for each in found for key in each.keys}


def _literals(path):
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
