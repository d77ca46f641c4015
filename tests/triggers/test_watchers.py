"""Queues, confirmations and cursors of watchers, without a triggerer or a socket."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._events import catch_up, stream
from airflow_provider_secoda._events.background import MAX_PAUSE, FailureBackoff
from airflow_provider_secoda._events.catch_up import CatchUp
from airflow_provider_secoda._events.cursors import MAX_DELIVERED, Cursor, CursorStore
from airflow_provider_secoda._events.stream import Stream
from airflow_provider_secoda._events.version_watcher import MAX_TRIES, VersionWatcher
from airflow_provider_secoda._events.watchers import LogFields, LogWatcher
from airflow_provider_secoda.client._api.audit_log_page import Log
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.client._following.known_logs import LATE
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaTimeoutError

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND


def log(number: int, at: int = 0) -> Log:
    moment = at or BEGIN + number * SECOND
    return Log(moment, f"log {number}", json.dumps({"id": f"log {number}"}).encode())


def watcher_of(found: Cursor | None = None, newest: int = BEGIN) -> LogWatcher:
    watcher = LogWatcher({})
    watcher.loaded_cursor = found
    watcher.start(newest, newest)
    return watcher


def drain(watcher, tick, count=1000):
    watcher.quota = count
    return [payload["id"] for payload in watcher.drain(tick)]


# --- cursors ---------------------------------------------------------------------------------------------------


def test_cursor_round_trip():
    """A cursor that is stored as JSON is loaded unchanged; other values are not a cursor."""
    cursor = Cursor(BEGIN + 1, {"a": BEGIN + 2, "b": BEGIN + 3})
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor
    for nonsense in (None, 1, "x", [], {}, {"since": "x", "delivered": {}}, {"since": "2026-01-01"}):
        assert Cursor.from_json(nonsense) is None


def test_the_cursor_does_not_pass_unconfirmed_events():
    """The cursor passes no event that is pending, or delivered but not yet stored."""
    watcher = watcher_of()
    head = BEGIN + 10 * HOUR
    for number, at in enumerate((BEGIN + HOUR, BEGIN + 2 * HOUR, BEGIN + 3 * HOUR)):
        watcher.match(log(number, at), LogFields({}))
    assert watcher.cursor(head).since == BEGIN + HOUR
    assert drain(watcher, 1, 2) == ["log 0", "log 1"]
    assert watcher.cursor(head) == Cursor(BEGIN + HOUR)
    watcher.confirm(0)
    assert watcher.cursor(head) == Cursor(BEGIN + HOUR)
    assert drain(watcher, 2) == ["log 2"]
    watcher.confirm(1)
    assert watcher.cursor(head) == Cursor(BEGIN + 3 * HOUR)
    watcher.confirm(2)
    assert watcher.cursor(head) == Cursor(head - LATE)


def test_what_is_listed_in_the_cursor_is_not_delivered_again():
    """After a restart the logs from the cursor on are read again; those that were delivered are skipped."""
    watcher = watcher_of()
    for number in range(1, 6):
        watcher.match(log(number), LogFields({}))
    drain(watcher, 1, 3)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + 5 * SECOND)
    again = watcher_of(cursor, BEGIN + 5 * SECOND)
    assert again.missed_from == cursor.since
    for number in range(1, 7):
        again.match(log(number), LogFields({}))
    assert drain(again, 1) == ["log 4", "log 5", "log 6"]


def test_the_cursor_is_behind_the_last_sweep_while_the_watcher_catches_up():
    """A watcher that reads what it missed stays behind the last sweep too: its cursor must not pass late logs."""
    watcher = watcher_of(Cursor(BEGIN), newest=BEGIN + 10 * HOUR)
    watcher.missed_from = BEGIN + 9 * HOUR
    assert watcher.cursor(BEGIN + 5 * HOUR).since == BEGIN + 5 * HOUR - LATE
    watcher.missed_from = BEGIN + 4 * HOUR
    assert watcher.cursor(BEGIN + 5 * HOUR).since == BEGIN + 5 * HOUR - LATE, "it never goes back"
    watcher.missed_from = BEGIN + 6 * HOUR
    assert watcher.cursor(BEGIN + 7 * HOUR).since == BEGIN + 6 * HOUR - LATE


def test_a_cursor_is_bounded():
    """The number of keys in a cursor is bounded; since its time, all delivered events are listed."""
    watcher = watcher_of()
    for number in range(3 * MAX_DELIVERED):
        watcher.match(log(number, BEGIN + 1 + number), LogFields({}))
    ids = drain(watcher, 1, 10_000)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + 1 + 3 * MAX_DELIVERED)
    assert len(cursor.delivered) == MAX_DELIVERED
    assert set(cursor.delivered) == set(ids[-MAX_DELIVERED:])
    assert cursor.since == min(cursor.delivered.values())


def test_a_cursor_never_goes_back():
    """A late log, or an unknown position, does not move the cursor back to forgotten keys."""
    watcher = watcher_of(Cursor(BEGIN))
    watcher.missed_from = None
    assert watcher.cursor(BEGIN + HOUR).since == BEGIN + HOUR - LATE
    watcher.match(log(1, BEGIN), LogFields({}))
    assert watcher.cursor(BEGIN + HOUR).since == BEGIN + HOUR - LATE
    assert watcher.cursor(0).since == BEGIN + HOUR - LATE


class Store:
    """A state store of Airflow 3.3.0, which blocks."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return self.kept.get(key)

    def set(self, key, value):
        self.kept[key] = value


async def test_a_store_of_several_assets_returns_the_latest_cursor():
    """If several assets share a watcher, the cursor is stored with each, and the latest one is valid."""
    stores = {name: Store() for name in ("a", "b", "new")}
    store = CursorStore(SimpleNamespace(_by_name={"a": stores["a"], "b": stores["b"]}, _by_uri={}), {"x": 1})
    assert await store.load() is None
    await store.save(Cursor(BEGIN))
    stores["b"].set(store.key, Cursor(BEGIN + 5, {"k": BEGIN + 6}).to_json())
    wider = CursorStore(SimpleNamespace(_by_name=stores, _by_uri={}), {"x": 1})
    assert await wider.load() == Cursor(BEGIN + 5, {"k": BEGIN + 6})
    assert CursorStore(stores["a"], {"x": 2}).key != store.key
    assert not CursorStore(None, {})
    single = CursorStore(stores["new"], {"x": 1})
    await single.save(Cursor(BEGIN + 1))
    assert await single.load() == Cursor(BEGIN + 1)


# --- streams ---------------------------------------------------------------------------------------------------


def stream_of(*members):
    made = Stream("secoda_default", None, 60.0)
    made.watchers = dict.fromkeys(members)
    return made


def owing(*numbers):
    watcher = watcher_of()
    for number in numbers:
        watcher.match(log(number), LogFields({}))
    return watcher


async def test_after_a_failure_only_watchers_that_get_later_ticks_are_confirmed():
    """Airflow does not say on which watcher it gave up, but that one gets no more ticks."""
    given_up, healthy = owing(1), owing(1)
    made = stream_of(given_up, healthy)
    made.tick = 1
    assert drain(given_up, 1)
    assert drain(healthy, 1)
    made.tick = 2
    assert drain(given_up, 2) == drain(healthy, 2) == []
    made.confirm(1, failed=True)
    made.confirm(2)
    assert given_up.unconfirmed
    assert healthy.unconfirmed
    assert made._assign_quotas(), "one more tick distinguishes them"
    made.tick = 3
    drain(healthy, 3)
    made.confirm(3)
    assert given_up.unconfirmed
    assert not healthy.unconfirmed
    assert given_up.cursor(BEGIN + HOUR).since <= BEGIN + SECOND


async def test_unconfirmed_events_are_bounded_and_shared_fairly(monkeypatch):
    """The number of events that wait to be stored is bounded, and every watcher gets its share."""
    monkeypatch.setattr(stream, "MAX_UNCONFIRMED", 10)

    greedy, small = owing(*range(100)), [owing(number) for number in range(5)]
    made = stream_of(greedy, *small)
    rounds = 0
    while any(watcher.pending for watcher in made.watchers):
        assert made._assign_quotas()
        made.tick, rounds = made.tick + 1, rounds + 1
        for watcher in made.watchers:
            list(watcher.drain(made.tick))
        assert sum(len(watcher.unconfirmed) for watcher in made.watchers) <= 10
        assert not made._assign_quotas(), "full"
        if rounds == 2:
            assert not any(watcher.pending for watcher in small)
        made.confirm(made.tick)
    assert rounds <= 12


# --- versions --------------------------------------------------------------------------------------------------


class Resource:
    """The logs of one resource, as the API returns them, and a client that requests them."""

    def __init__(self, *versions):
        self.versions = list(versions)
        self.polls = 0

    async def value(self, flow, *, concurrency=1):
        self.polls += 1
        wire = exchange(flow, base_url="https://api.secoda.co", policy=RetryPolicy(), concurrency=concurrency)
        under_way = []
        try:
            step = next(wire)
            while True:
                under_way += step
                attempt = under_way.pop(random.randrange(len(under_way)))
                step = wire.send((attempt, self._answer()))
        except StopIteration as stop:
            return stop.value

    def _answer(self):
        counted = {"count": len(self.versions), "total_pages": 1}
        body = {"version_histories": self.versions, "non_versioned_logs": [], **counted}
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())


def version(name, created, latest=None):
    moment = format_instant(created)
    return {
        "id": name,
        "resource_id": "r1",
        "created_at": moment,
        "updated_at": moment,
        "latest_activity_logged_at": format_instant(latest or created),
        "activity_logs": [],
    }


def naming(name, at, logged=None):
    return log(0, at), LogFields(
        {"resource_id": "r1", "version_history_id": name, "logged_at": format_instant(logged or at)}
    )


def started(match="new_version", found=None):
    watcher = VersionWatcher("r1", match)
    watcher.loaded_cursor = found
    watcher.start(BEGIN, BEGIN)
    return watcher


async def poll(watcher, resource, *, now=BEGIN):
    return await watcher.poll(resource, now)


async def test_a_version_that_is_not_listed_yet_is_polled_again():
    """The two endpoints may disagree for a while: an announced version is polled until it is listed."""
    watcher, resource = started(), Resource()
    assert watcher.match(*naming("v1", BEGIN + SECOND))
    assert await poll(watcher, resource)
    assert watcher.cursor(BEGIN + HOUR).since <= BEGIN + SECOND, "a restart would look for it again"
    resource.versions.append(version("v1", BEGIN + SECOND))
    assert not await poll(watcher, resource)
    assert drain(watcher, 1) == ["v1"]
    watcher.confirm(1)
    assert watcher.cursor(BEGIN + HOUR) == Cursor(BEGIN + HOUR - LATE)
    assert not watcher.match(*naming("v1", BEGIN + 2 * SECOND)), "it is not a new version any more"


async def test_two_polls_of_a_resource_at_the_same_time():
    """A log that arrives during a poll may start another poll; both succeed, and the version is delivered once."""

    class Slow(Resource):
        async def value(self, flow, *, concurrency=1):
            await asyncio.sleep(0)
            return await super().value(flow, concurrency=concurrency)

    watcher, resource = started(), Slow(version("v1", BEGIN + SECOND))
    watcher.match(*naming("v1", BEGIN + SECOND))
    assert await asyncio.gather(poll(watcher, resource), poll(watcher, resource)) == [False, False]
    assert drain(watcher, 1) == ["v1"]


async def test_a_version_that_is_never_listed_is_given_up():
    """The number of polls for a version that is not listed is limited."""
    watcher, resource = started(), Resource()
    watcher.match(*naming("v1", BEGIN + SECOND))
    polls = [await poll(watcher, resource) for _ in range(MAX_TRIES + 1)]
    assert polls == [True] * MAX_TRIES + [False]
    assert not watcher.match(*naming("v1", BEGIN + 2 * SECOND))
    assert watcher.match(*naming("v2", BEGIN + 2 * SECOND))


async def test_activity_that_is_not_listed_yet_is_polled_again():
    """With ``any_activity`` a version is finished when the activity that the log announced is listed."""
    watcher, resource = started("any_activity"), Resource(version("v1", BEGIN - HOUR, BEGIN - HOUR))
    watcher.match(*naming("v1", BEGIN + 30 * SECOND))
    assert await poll(watcher, resource)
    resource.versions[0] = version("v1", BEGIN - HOUR, BEGIN + 30 * SECOND)
    assert not await poll(watcher, resource)
    assert drain(watcher, 1) == ["v1"]


@pytest.mark.parametrize("age", [5 * 60 * SECOND, 30 * 24 * HOUR])
async def test_one_poll_recognizes_an_old_version(age):
    """One poll shows that the announced version is an old one."""
    watcher, resource = started(), Resource(version("old", BEGIN - age, BEGIN + SECOND))
    watcher.match(*naming("old", BEGIN + SECOND))
    assert not await poll(watcher, resource)
    assert not watcher.pending


async def test_a_version_whose_edit_was_stored_late_is_delivered():
    """A version has the time of its edit, which is before the start if the log was stored after it."""
    edited = BEGIN - 20 * 60 * SECOND
    watcher, resource = started(), Resource(version("v1", edited))
    watcher.match(*naming("v1", BEGIN + SECOND, logged=edited))
    assert not await poll(watcher, resource)
    assert drain(watcher, 1) == ["v1"]


@pytest.mark.parametrize("match", ["new_version", "any_activity"])
async def test_a_cursor_that_is_saved_during_a_poll_repeats_no_version(match):
    """While a resource is polled the cursor may move and forget old versions; these do not fire again."""

    class Slow(Resource):
        def during(self):
            pass

        async def value(self, flow, *, concurrency=1):
            self.during()
            return await super().value(flow, concurrency=concurrency)

    watcher, resource = started(match), Slow(version("v1", BEGIN + SECOND))
    watcher.match(*naming("v1", BEGIN + SECOND))
    await poll(watcher, resource)
    assert drain(watcher, 1) == ["v1"]
    watcher.confirm(1)
    resource.versions.append(version("v2", BEGIN + HOUR))
    resource.during = lambda: watcher.cursor(BEGIN + HOUR)
    watcher.match(*naming("v2", BEGIN + HOUR))
    await poll(watcher, resource)
    assert drain(watcher, 2) == ["v2"]
    assert "v1" not in watcher.delivered, "forgotten"


async def test_activity_that_a_second_log_names_later_fires_once():
    """A log may be stored long after the activity that it records; when that fired already it does not fire again."""
    watcher, resource = started("any_activity"), Resource(version("v1", BEGIN + SECOND, BEGIN + 2 * SECOND))
    watcher.match(*naming("v1", BEGIN + SECOND))
    await poll(watcher, resource)
    assert drain(watcher, 1) == ["v1"]
    watcher.confirm(1)
    watcher.cursor(BEGIN + 2 * HOUR)
    watcher.match(*naming("v1", BEGIN + 2 * HOUR, logged=BEGIN + 2 * SECOND))
    await poll(watcher, resource)
    assert drain(watcher, 2) == []


@pytest.mark.parametrize("match", ["new_version", "any_activity"])
async def test_with_an_empty_audit_log_a_watcher_starts_at_the_present(match):
    """An empty audit log shows no time, so the present is the start: old versions do not fire with the first edit."""
    watcher = VersionWatcher("r1", match)
    watcher.start(0, BEGIN)
    resource = Resource(version("v1", BEGIN - 9 * HOUR), version("v2", BEGIN - SECOND), version("v3", BEGIN + SECOND))
    watcher.match(*naming("v3", BEGIN + SECOND))
    await poll(watcher, resource)
    assert drain(watcher, 1) == ["v3"]
    assert watcher.cursor(0).since == BEGIN


async def test_after_a_restart_a_delivered_version_is_skipped():
    """The logs since the cursor announce the version again, but the cursor lists it as delivered."""
    watcher, resource = started(), Resource(version("v1", BEGIN + SECOND))
    watcher.match(*naming("v1", BEGIN + SECOND))
    await poll(watcher, resource)
    drain(watcher, 1)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + SECOND)
    resource.versions.append(version("v2", BEGIN + 2 * SECOND))
    again = started(found=cursor)
    again.match(*naming("v1", BEGIN + SECOND))
    again.match(*naming("v2", BEGIN + 2 * SECOND))
    await poll(again, resource)
    assert drain(again, 1) == ["v2"]


async def test_a_standalone_watcher_starts_with_its_first_poll():
    """Without access to the log the first poll sets the position; later ones deliver new versions, once."""
    resource = Resource(version("v1", BEGIN - 9 * HOUR), version("v2", BEGIN))
    watcher = VersionWatcher("r1", "new_version")
    watcher.start_standalone(BEGIN)
    assert not watcher.started, "no cursor is saved before that"
    await poll(watcher, resource)
    assert watcher.started
    resource.versions += [version("v3", BEGIN + 1), version("v0", BEGIN - HOUR)]
    for _ in range(2):
        await poll(watcher, resource)
    assert drain(watcher, 1) == ["v3"]
    watcher.confirm(1)
    again = VersionWatcher("r1", "new_version")
    again.loaded_cursor = watcher.cursor(0)
    again.start_standalone(BEGIN)
    resource.versions.append(version("v4", BEGIN + 2))
    await poll(again, resource)
    assert drain(again, 1) == ["v4"]


async def test_the_cursor_of_a_standalone_watcher_follows_the_clock():
    """The cursor is an hour behind the clock, so that a restart with access to the log reads an hour."""
    watcher, resource = VersionWatcher("r1", "new_version"), Resource(version("v1", BEGIN))
    watcher.start_standalone(BEGIN)
    for hour in range(100):
        await poll(watcher, resource, now=BEGIN + hour * HOUR)
    assert watcher.cursor(0).since == BEGIN + 98 * HOUR


# --- failures --------------------------------------------------------------------------------------------------


def test_pauses_grow_and_obey_the_server(caplog):
    """Each failure doubles the pause up to 15 minutes; a longer ``Retry-After`` is obeyed."""
    backoff = FailureBackoff("it", 60.0)
    pauses = [backoff.fail(SecodaIncompleteError("no")) for _ in range(12)]
    assert 45 <= pauses[0] <= 75
    assert all(700 <= pause <= 1.2 * MAX_PAUSE for pause in pauses[5:])
    error = SecodaIncompleteError("no")
    error.retry_after = 3600.0
    assert backoff.fail(error) == 3600.0
    assert "it is not retried for 3600.0 s, until " in caplog.records[-1].getMessage()
    backoff.succeed()
    assert backoff.fail(SecodaIncompleteError("no")) <= 75


def test_alternating_failures_are_logged_once_each(caplog):
    """If several kinds of failures alternate, each kind has one line until the operation works again."""
    backoff = FailureBackoff("it", 60.0)
    for _ in range(5):
        backoff.fail(SecodaIncompleteError("no"))
        backoff.fail(SecodaTimeoutError("late"))
    assert len(caplog.records) == 2


async def test_the_time_before_the_first_log_is_skipped():
    """A cursor from before the first log, as one of an empty workspace, costs a few requests only."""
    from tests.client.model import Model, drive
    from tests.client.model import log as make

    model = Model([make(number, BEGIN + number * SECOND) for number in range(50)], page_size=20)

    class Client:
        async def value(self, flow, *, concurrency=1):
            drive(flow, model, concurrency=concurrency)

    past, found, start, end = CatchUp("it", None, 60.0), [], 1, BEGIN + 50 * SECOND
    while start < end:
        logs, start = await past.read(Client(), start, end)
        found += logs
    assert [one.id for one in found] == [f"log-{number:06d}" for number in range(50)]
    assert model.requests < 30


async def test_a_past_that_stays_incomplete_is_given_up_with_an_error(caplog):
    """A piece that stays incomplete is given up after some tries, with an error that names its time."""

    class Broken:
        async def value(self, flow, *, concurrency=1):
            flow.close()
            raise SecodaIncompleteError("it is truncated")

    past = CatchUp("it", None, 60.0)
    for _ in range(catch_up._TRIES - 1):
        with pytest.raises(SecodaIncompleteError):
            await past.read(Broken(), BEGIN, BEGIN + SECOND)
    assert await past.read(Broken(), BEGIN, BEGIN + SECOND) == ([], BEGIN + SECOND)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert format_instant(BEGIN) in line
    assert parse_instant(format_instant(BEGIN)) == BEGIN
