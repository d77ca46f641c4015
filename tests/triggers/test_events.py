"""The event triggers: their arguments, what they match, the payloads, and polling without shared streams."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import msgspec
import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._compat import event_trigger_base
from airflow_provider_secoda._events.version_watcher import version_payload
from airflow_provider_secoda._events.watchers import LogWatcher, log_payload, read_log_fields
from airflow_provider_secoda._storable import storable
from airflow_provider_secoda.client._api.audit_log_page import Log
from airflow_provider_secoda.client._api.timestamps import to_instant
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.hooks import _shared_client as sharing
from airflow_provider_secoda.sandbox import Faults, Workspace
from airflow_provider_secoda.triggers.secoda import (
    SecodaAuditLogEventTrigger,
    SecodaVersionHistoryEventTrigger,
)

BaseEventTrigger = event_trigger_base()
AUDIT = "/api/v1/activity_log/audit_logs/"
FILTER = {"operator": "exact", "field": "performer_type", "value": "USER"}
EVERYTHING = {
    "secoda_conn_id": "other",
    "activity_types": ["DELETE", "EXPORT"],
    "performer_types": ["USER"],
    "performer_ids": ["p1"],
    "resource_types": ["SECODA_ENTITY"],
    "resource_ids": ["r1", "r2"],
    "filter": FILTER,
    "poke_interval": 30,
    "lookback": 60,
}
VERSION = {
    "resource_id": "r1",
    "secoda_conn_id": "other",
    "match": "any_activity",
    "poke_interval": 30.0,
    "lookback": 5.0,
}


# --- arguments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger_class", "arguments"),
    [(SecodaAuditLogEventTrigger, EVERYTHING), (SecodaVersionHistoryEventTrigger, VERSION)],
)
def test_serialize_round_trip(trigger_class, arguments):
    """The serialized arguments are complete and plain JSON, and make an equal trigger again."""
    trigger = trigger_class(**arguments)
    classpath, kwargs = trigger.serialize()
    assert classpath == f"airflow_provider_secoda.triggers.secoda.{trigger_class.__name__}"
    assert kwargs.keys() == arguments.keys()
    again = trigger_class(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (classpath, kwargs)
    given = {name: json.loads(value) if name == "filter" else value for name, value in kwargs.items()}
    assert given == arguments


def test_equal_arguments_make_equal_triggers():
    """Lists in another order, a filter as text, an integer number of seconds: for Airflow it is the same trigger."""
    one = SecodaAuditLogEventTrigger(activity_types=["B", "A"], filter=FILTER, poke_interval=60)
    other = SecodaAuditLogEventTrigger(activity_types=("A", "B", "A"), filter=json.dumps(FILTER), poke_interval=60.0)
    assert one.serialize() == other.serialize()
    if hasattr(BaseEventTrigger, "hash"):
        assert BaseEventTrigger.hash(*one.serialize()) == BaseEventTrigger.hash(*other.serialize())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"activity_types": "DELETE"}, "activity_types"),
        ({"performer_types": []}, "performer_types"),
        ({"performer_ids": [1]}, "performer_ids"),
        ({"resource_types": [""]}, "resource_types"),
        ({"resource_ids": {"a": 1}}, "resource_ids"),
        ({"secoda_conn_id": ""}, "secoda_conn_id"),
        ({"secoda_conn_id": None}, "secoda_conn_id"),
        ({"secoda_conn_id": "None"}, "secoda_conn_id"),
        ({"filter": "no json"}, "filter"),
        ({"filter": {"field": "x"}}, "filter"),
        ({"poke_interval": 0}, "poke_interval"),
        ({"poke_interval": -1.0}, "poke_interval"),
        ({"poke_interval": float("nan")}, "poke_interval"),
        ({"poke_interval": float("inf")}, "poke_interval"),
        ({"poke_interval": True}, "poke_interval"),
        ({"poke_interval": "60"}, "poke_interval"),
        ({"lookback": -1}, "lookback"),
        ({"lookback": None}, "lookback"),
    ],
)
def test_a_wrong_argument_is_named(arguments, name):
    """A wrong argument raises a ValueError that names it when the trigger is created, and never ends a triggerer."""
    with pytest.raises(ValueError, match=f"`{name}`") as caught:
        SecodaAuditLogEventTrigger(**arguments)
    assert isinstance(caught.value, TypeError), "all that a triggerer catches when it makes a trigger"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"resource_id": ""}, "resource_id"),
        ({"resource_id": "  "}, "resource_id"),
        ({"resource_id": None}, "resource_id"),
        ({"resource_id": "None"}, "resource_id"),
        ({"resource_id": 7}, "resource_id"),
        ({"resource_id": "r1", "match": "sometimes"}, "match"),
        ({"resource_id": "r1", "match": None}, "match"),
        ({"resource_id": "r1", "poke_interval": 0}, "poke_interval"),
    ],
)
def test_a_wrong_argument_of_the_version_trigger_is_named(arguments, name):
    """A wrong argument raises a ValueError that names it when the trigger is created."""
    with pytest.raises(ValueError, match=f"`{name}`"):
        SecodaVersionHistoryEventTrigger(**arguments)


@pytest.mark.skipif(not hasattr(BaseEventTrigger, "shared_stream_key"), reason="Airflow 3.3 shares streams")
def test_watchers_of_a_connection_share_a_stream():
    """The key of a stream is the connection, the interval and the server's filter, and nothing else."""
    key = SecodaAuditLogEventTrigger().shared_stream_key()
    assert key is not None
    assert SecodaVersionHistoryEventTrigger("r1").shared_stream_key() == key
    assert SecodaAuditLogEventTrigger(activity_types=["X"], lookback=9).shared_stream_key() == key
    others = [
        SecodaAuditLogEventTrigger(secoda_conn_id="other"),
        SecodaAuditLogEventTrigger(poke_interval=61),
        SecodaAuditLogEventTrigger(filter=FILTER),
    ]
    keys = {key, *(other.shared_stream_key() for other in others)}
    assert len(keys) == 4
    assert SecodaAuditLogEventTrigger(filter=json.dumps(FILTER)).shared_stream_key() in keys


# --- matching and payloads --------------------------------------------------------------------------------------


def fields_of(**fields):
    return read_log_fields(Log(0, "x", json.dumps({"id": "x", **fields}).encode()))


@pytest.mark.parametrize(
    ("predicates", "matches"),
    [
        ({}, True),
        ({"activity_types": ["DELETE"]}, True),
        ({"activity_types": ["EXPORT", "DELETE"], "performer_types": ["USER"]}, True),
        ({"activity_types": ["EXPORT"]}, False),
        ({"activity_types": ["DELETE"], "performer_types": ["API"]}, False),
        ({"performer_ids": ["p1"], "resource_types": ["TAG"], "resource_ids": ["r1"]}, True),
        ({"performer_ids": ["p2"]}, False),
        ({"resource_types": ["TEAM"]}, False),
        ({"resource_ids": ["r"]}, False),
    ],
)
def test_all_lists_must_contain_the_log(predicates, matches):
    """A log matches when each list that is given contains its value."""
    fields = fields_of(
        activity_type="DELETE", performer_type="USER", performer_id="p1", resource_type="TAG", resource_id="r1"
    )
    watcher = SecodaAuditLogEventTrigger(**predicates)._make_watcher()
    watcher.match(Log(0, "x", b"{}"), fields)
    assert bool(watcher.pending) is matches


def test_fields_of_any_log_can_be_read():
    """Half a surrogate pair, other types, missing fields: no content of a log ends a stream."""
    half = read_log_fields(Log(0, "x", rb'{"id": "x", "activity_type": "A\ud83d", "resource_id": "r"}'))
    assert half.resources == {"r"}
    odd = fields_of(activity_type=None, related_resource_ids="r", resource_id=["r"], version_history_id=7, logged_at=0)
    assert odd.resources == set()
    watcher = SecodaVersionHistoryEventTrigger("r")._make_watcher()
    assert watcher.match(Log(7, "x", b"{}"), fields_of(resource_id="r", version_history_id="v", logged_at=0))
    assert watcher.announced["v"].logged == 7, "when the log was stored, as it has no other valid time"
    assert fields_of(related_resource_ids=["a", 1], parent_id="b", resource_id="c").resources == {"a", "b", "c"}


def test_the_payload_of_a_log():
    """An event contains what happened, who did it and to what, and the log as it was sent."""
    log = Workspace(seed=1).add_log(performer_type="USER", resource_id="r1")
    payload = log_payload(json.dumps(log).encode())
    assert payload["record"] == log
    assert payload | {"record": None} == {
        "kind": "audit_log",
        "id": log["id"],
        "logged_at": log["logged_at"],
        "created_at": log["created_at"],
        "activity_type": log["activity_type"],
        "performer": {"id": log["performer_id"], "type": "USER", "name": log["performer_metadata"]["display_name"]},
        "resource": {"id": "r1", "type": log["resource_type"], "name": log["resource_metadata"]["name"]},
        "record": None,
    }


def test_what_cannot_be_stored_does_not_end_the_triggerer():
    """Integers beyond 64 bits, infinities, NUL, half surrogate pairs and deep nesting are replaced, nothing else."""
    deep = "[" * 90 + "1" + "]" * 90
    raw = (
        rb'{"id": "x", "big": 123456789012345678901234567890, "huge": 1e400,'
        rb' "nul\u0000": "a\u0000b", "half": "a\ud83d",'
        rb' "pair": "\ud83d\ude00", "fine": [1, 1.5, true, null, "\u00e9", 18446744073709551615], "digits": '
        + b"9" * 5000
        + b', "deep": '
        + deep.encode()
        + b"}"
    )
    record = log_payload(raw)["record"]
    assert record["big"] == "123456789012345678901234567890"
    assert record["huge"] == "1e400"
    assert record["nul\ufffd"] == "a\ufffdb"
    assert record["half"] == "a\ufffd"
    assert record["pair"] == "\U0001f600"
    assert record["fine"] == [1, 1.5, True, None, "é", 18446744073709551615]
    assert record["digits"] == "9" * 5000
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record)) == record
    json.dumps(record, allow_nan=False)
    assert storable({"a": [float("nan"), -(2**63), 2**64]}) == {"a": ["nan", -(2**63), str(2**64)]}
    assert version_payload({"id": "v", "n": 2**70})["n"] == str(2**70)


# --- polling for itself (Airflow 3.0 to 3.2) -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(sharing, "POLL_POLICY", RetryPolicy(attempts=2, base=0.05))


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    end = datetime.now(timezone.utc) - timedelta(minutes=30)
    return secoda_sandbox_factory(Workspace.generate(seed=5, logs=300, days=1 / 24, until=end))


async def until(condition, *, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to this"
        await asyncio.sleep(0.01)


class Running:
    """A trigger that runs by itself, as before Airflow 3.3."""

    def __init__(self, trigger):
        self.trigger = trigger
        self.payloads = []

    async def __aenter__(self):
        self.task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, *exc):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _collect(self):
        async with aclosing(self.trigger.run()) as events:
            async for event in events:
                self.payloads.append(event.payload)

    @property
    def ids(self):
        return [payload["id"] for payload in self.payloads]


def looked(sandbox, times):
    return lambda: sum(record.path == AUDIT for record in sandbox.requests) >= times


async def test_a_trigger_without_shared_stream_fires_from_its_start_on(sandbox):
    """Without shared streams a trigger polls for itself, from its start on: each event once, one request a poll."""
    async with (
        Running(SecodaAuditLogEventTrigger(activity_types=["DELETE"], poke_interval=0.1)) as logs,
        Running(SecodaVersionHistoryEventTrigger("r1", poke_interval=0.1)) as versions,
    ):
        await until(looked(sandbox, 6))
        deleted = sandbox.workspace.add_log(activity_type="DELETE")
        version = sandbox.workspace.add_version("r1")
        await until(lambda: logs.payloads and versions.payloads)
        before = len(sandbox.requests)
        await asyncio.sleep(0.5)
        assert len(sandbox.requests) - before <= 14
        assert logs.ids == [deleted["id"]]
        assert versions.ids == [version["id"]]
        assert [payload["kind"] for payload in logs.payloads + versions.payloads] == ["audit_log", "version"]


async def test_lookback_delivers_what_happened_before_the_start(sandbox):
    """With ``lookback`` a trigger that is restarted delivers the last seconds again; ids identify repeats."""
    now = datetime.now(timezone.utc)
    sandbox.workspace.add_log(logged_at=now - timedelta(seconds=900))
    recent = sandbox.workspace.add_log(logged_at=now - timedelta(seconds=60))
    version = sandbox.workspace.add_version("r1", activity_logs=[{"logged_at": now - timedelta(seconds=30)}])
    async with (
        Running(SecodaAuditLogEventTrigger(lookback=300, poke_interval=0.1)) as logs,
        Running(SecodaVersionHistoryEventTrigger("r1", lookback=300, poke_interval=0.1)) as versions,
    ):
        await until(lambda: len(logs.payloads) == 2 and versions.payloads)
        await asyncio.sleep(0.3)
        assert logs.ids == [recent["id"], version["activity_logs"][0]["id"]]
        assert versions.ids == [version["id"]]


async def test_a_trigger_without_shared_stream_survives_failures(sandbox):
    """A trigger that polls for itself never ends, as Airflow would restart it at once, without limit."""
    async with Running(SecodaAuditLogEventTrigger(poke_interval=0.1)) as logs:
        await until(looked(sandbox, 3))
        sandbox.faults = Faults(script=[500] * 300)
        log = sandbox.workspace.add_log()
        before = len(sandbox.requests)
        await asyncio.sleep(1.0)
        assert len(sandbox.requests) - before <= 8
        assert not logs.task.done()
        sandbox.faults = Faults()
        await until(lambda: logs.ids == [log["id"]])


def test_old_keys_are_forgotten():
    """A watcher that delivers for months remembers only recent keys."""
    watcher = LogWatcher({})
    start = to_instant(datetime(2026, 1, 1, tzinfo=timezone.utc))
    watcher.start(start, start)
    for hour in range(1000):
        at = start + hour * 3_600_000_000
        watcher.match(Log(at, f"log {hour}", b"{}"), SimpleNamespace())
        watcher.quota = 1
        assert len(list(watcher.drain(hour + 1))) == 1
        watcher.confirm(hour + 1)
        watcher.cursor(at)
    assert len(watcher.delivered) <= 2


def test_all_triggers_are_public_in_one_module():
    """The module exports the trigger of the sensor and both event triggers."""
    from airflow_provider_secoda.triggers import secoda

    assert set(secoda.__all__) == {
        "SecodaAuditLogEventTrigger",
        "SecodaVersionHistoryEventTrigger",
        "SecodaVersionHistoryTrigger",
    }
    assert all(getattr(secoda, name).__module__ == secoda.__name__ for name in secoda.__all__)
