"""Values that JSON has and Airflow's database has not: the same rule for the operator, the sensor and the watchers.

They are stored by real runs, on SQLite, and on PostgreSQL where its server is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("airflow")
pytest.importorskip("starlette", reason="the sandbox needs it")

from airflow_provider_secoda._events.version_watcher import version_payload
from airflow_provider_secoda._events.watchers import log_payload
from airflow_provider_secoda._persisted import REPLACED_KEY
from airflow_provider_secoda._storable import storable, storable_record
from airflow_provider_secoda.client._versions.history import Baseline, VersionEntry
from airflow_provider_secoda.client.errors import SecodaResponseError
from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import stored_values
from tests.helpers.postgres import postgres_url

ROOT = Path(__file__).parent.parent
#: By name: a value as JSON text, and what is stored instead. None: the value is stored as it is.
VALUES = {
    "nul": (r'"a\u0000b"', "a\ufffdb"),
    "half": (r'"\ud83d"', "\ufffd"),
    "pair": (r'"\ud83d\ude00"', None),
    "largest": ("18446744073709551615", None),
    "smallest": ("-9223372036854775808", None),
    "beyond_64_bits": ("18446744073709551616", "18446744073709551616"),
    "below_64_bits": ("-9223372036854775809", "-9223372036854775809"),
    "beyond_4300_digits": ("9" * 5000, "9" * 5000),
    "beyond_floats": ("1e999", "1e999"),
    "below_floats": ("-1e999", "-1e999"),
    "plain": ('[1, -1.5, true, null, "é", {"a": {}}]', None),
    "deep": ("[" * 70 + "]" * 70, None),
    "serialized": ('{"__classname__": "builtins.set", "__version__": 1, "__data__": [1]}', None),
    "old_serialized": ('[{"__type": "datetime", "__var": 5}]', None),
    "id": ('{"__id__": 1}', None),
    "marked": (f'{{"{REPLACED_KEY}": 1}}', None),
    "same_name_twice": (r'{"a\u0000": 1, "a\ufffd": 2}', None),
}
INSIDE = {
    "serialized": {"\ufffd__classname__": "builtins.set", "__version__": 1, "__data__": [1]},
    "old_serialized": [{"\ufffd__type": "datetime", "\ufffd__var": 5}],
    "id": {"\ufffd__id__": 1},
    "marked": {"\ufffd_replaced": 1},
    "same_name_twice": {"a\ufffd": 1, "a\ufffd\ufffd": 2},
}
METADATA = "{" + ", ".join(f'"{name}": {text}' for name, (text, _) in VALUES.items()) + "}"
#: The JSON paths of what is replaced in METADATA, sorted, below the object that has it.
REPLACED = sorted([
    *(f".{name}" for name, (_, new) in VALUES.items() if new is not None),
    ".deep",
    ".serialized.\ufffd__classname__",
    ".old_serialized[0].\ufffd__type",
    ".old_serialized[0].\ufffd__var",
    ".id.\ufffd__id__",
    ".marked.\ufffd_replaced",
    ".same_name_twice.a\ufffd",
    ".same_name_twice.a\ufffd\ufffd",
])  # fmt: skip
LOG = f"""{{
    "id": "odd", "logged_at": "2026-03-01T12:00:00Z", "created_at": "2026-03-01T12:00:01Z",
    "resource_id": "R", "version_history_id": "v", "metadata": {METADATA}
}}""".encode()


def check(metadata):
    """Check that an object contains METADATA, in the way that is documented."""
    assert set(metadata) == set(VALUES)
    for name, (text, new) in VALUES.items():
        if name == "deep":
            assert json.dumps(metadata[name]).count("[") == 70
        elif name in INSIDE:
            assert metadata[name] == INSIDE[name]
        else:
            assert metadata[name] == (json.loads(text) if new is None else new)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(metadata)) == metadata
    json.dumps(metadata, allow_nan=False).encode()


def below(prefix, paths):
    """Return the paths below one, sorted and without it; that of the deep value without its indexes."""
    found = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
    return sorted(".deep" if path.startswith(".deep") else path for path in found)


def check_log(log):
    check(log["metadata"])
    assert log["id"] == "odd"
    assert below("$.metadata", log[REPLACED_KEY]) == REPLACED
    assert len(log[REPLACED_KEY]) == len(REPLACED)


def check_entry(entry):
    (log,) = (log for log in entry["record"]["activity_logs"] if log["id"] == "odd")
    check(log["metadata"])
    assert [path for path in entry[REPLACED_KEY] if ".nul" in path] == ["$.record.activity_logs[0].metadata.nul"]


def payloads():
    """Return the payloads of events: of a log, and of a version whose id is odd, too."""
    raw = rb'{"id": "v\u0000", "created_at": "2026-03-01T12:00:00Z", "activity_logs": [' + LOG + b"]}"
    return [log_payload(LOG), version_payload(VersionEntry("v\0", 0, 0, (raw,)).summary())]


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    """Serve an odd log and two resources with it; the second appears when the sensor that waits for it is deferred."""
    workspace = Workspace()
    workspace.add_version("R", id="v", activity_logs=[{"raw": LOG}])
    workspace.add_version("S", id="old", latest_activity_logged_at="2025-01-01T00:00:00Z")
    server = secoda_sandbox_factory(workspace)

    def add():
        while not any("S" in one.params.values() for one in server.requests):
            if stop.wait(0.02):
                return
        workspace.add_version("S", id="w", activity_logs=[{"raw": LOG.replace(b'"odd"', b'"odd2"')}])

    stop = threading.Event()
    thread = threading.Thread(target=add)
    thread.start()
    yield server
    stop.set()
    thread.join()


def check_stored(found):
    (log,) = found["xcoms"]["fetch"]
    check_log(log)
    for task_id in ("poke", "deferred"):
        (entry,) = found["xcoms"][task_id]
        check_entry(json.loads(json.dumps(entry).replace("odd2", "odd")))
    summary, of_log, of_version = found["extras"]
    assert (summary["count"], summary["changed_logs"]) == (1, 1)
    check(of_log["payload"]["record"]["metadata"])
    assert below("$.record.metadata", of_log["payload"][REPLACED_KEY]) == REPLACED
    check_entry(of_version["payload"])
    assert of_version["payload"]["id"] == "v\ufffd"
    assert "$.id" in of_version["payload"][REPLACED_KEY]


def test_values_are_stored_on_sqlite(airflow, sandbox):
    """XComs, trigger events and asset events with values that Airflow cannot store say which values were replaced."""
    check_stored(stored_values.store(payloads()))


def test_values_are_stored_on_postgresql(sandbox):
    """The same on PostgreSQL, which is stricter."""
    with postgres_url() as url:
        done = subprocess.run(
            [sys.executable, "-m", "tests.helpers.stored_values", url],
            input=json.dumps({"payloads": payloads(), "connection": sandbox.connection_json}),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == 0, done.stderr[-5000:]
    check_stored(json.loads(done.stdout.splitlines()[-1]))


def test_each_replacement():
    """Each value is replaced by the same rule wherever it is, in names, too; the rest of the log is as it was sent."""
    check_log(storable_record(LOG))
    assert storable("v\0@1") == "v\ufffd@1"
    for raw in (b'{"id": "a", "n": 1.5, "l": [{"\xc3\xa9": null}]}', b"{}"):
        assert storable_record(raw) == json.loads(raw)


@pytest.mark.parametrize("count", [2**53 + 1, 2**64, 10**30])
def test_counts_that_cannot_be_stored_are_refused(secoda_sandbox_factory, count):
    """A page order, which is stored while a sensor waits, contains counts: none of them is larger than is possible."""
    from airflow_provider_secoda.hooks.secoda import SecodaHook

    body = {"version_histories": [], "non_versioned_logs": [], "count": count, "total_pages": 1, "meta": {}}
    server = secoda_sandbox_factory(Workspace())
    server.faults.script = [f"json:{json.dumps(body)}"] * 20
    with pytest.raises(SecodaResponseError, match=r"\$\.count"):
        SecodaHook().poll_versions("R", Baseline(0))
