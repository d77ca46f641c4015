"""What a watcher owes, what of it is safe, and where its cursor may stand: the rules, without Airflow or a socket."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._events import catch_up as catchup
from airflow_provider_secoda._events import stream
from airflow_provider_secoda._events.catch_up import CatchUp
from airflow_provider_secoda._events.cursors import MAX_DELIVERED, Cursor, CursorStore
from airflow_provider_secoda._events.failure_backoff import LONGEST, FailureBackoff
from airflow_provider_secoda._events.log_fields import LogFields
from airflow_provider_secoda._events.predicates import Predicates
from airflow_provider_secoda._events.stream import Stream
from airflow_provider_secoda._events.version_watcher import MAX_TRIES, VersionWatcher
from airflow_provider_secoda._events.watchers import LogWatcher
from airflow_provider_secoda.client._api.audit_log_page import Log
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant
from airflow_provider_secoda.client._audit_logs.follow import LATE
from airflow_provider_secoda.client._http.exchange import RetryPolicy, exchange
from airflow_provider_secoda.client.errors import SecodaIncompleteError, SecodaTimeoutError

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND


def log(number: int, at: int = 0) -> Log:
    moment = at or BEGIN + number * SECOND
    return Log(moment, f"log {number}", json.dumps({"id": f"log {number}"}).encode())


def watcher_of(found: Cursor | None = None, newest: int = BEGIN) -> LogWatcher:
    watcher = LogWatcher(Predicates())
    watcher.found = found
    watcher.place(newest, newest)
    return watcher


def take(watcher, tick, count=1000):
    watcher.grant = count
    return [payload["id"] for payload in watcher.take(tick)]


# --- cursors ---------------------------------------------------------------------------------------------------


def test_a_cursor_survives_its_store():
    """A cursor is what it was after it was kept as JSON; what is no cursor is none."""
    cursor = Cursor(BEGIN + 1, {"a": BEGIN + 2, "b": BEGIN + 3})
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor
    for nonsense in (None, 1, "x", [], {}, {"since": "x", "delivered": {}}, {"since": "2026-01-01"}):
        assert Cursor.from_json(nonsense) is None


def test_the_cursor_stays_behind_what_is_not_safe():
    """The cursor passes nothing that is pending or delivered but not yet stored, whatever else is."""
    watcher = watcher_of()
    head = BEGIN + 10 * HOUR
    for number, at in enumerate((BEGIN + HOUR, BEGIN + 2 * HOUR, BEGIN + 3 * HOUR)):
        watcher.offer(log(number, at), LogFields())
    assert watcher.cursor(head).since == BEGIN + HOUR
    assert take(watcher, 1, 2) == ["log 0", "log 1"]
    assert watcher.cursor(head) == Cursor(BEGIN + HOUR)
    watcher.confirm(0)
    assert watcher.cursor(head) == Cursor(BEGIN + HOUR)
    assert take(watcher, 2) == ["log 2"]
    watcher.confirm(1)
    assert watcher.cursor(head) == Cursor(BEGIN + 3 * HOUR)
    watcher.confirm(2)
    assert watcher.cursor(head) == Cursor(head - LATE)


def test_what_is_listed_in_the_cursor_is_not_delivered_again():
    """After a restart logs from the cursor on are offered again; those that were delivered are passed over."""
    watcher = watcher_of()
    for number in range(1, 6):
        watcher.offer(log(number), LogFields())
    take(watcher, 1, 3)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + 5 * SECOND)
    again = watcher_of(cursor, BEGIN + 5 * SECOND)
    assert again.behind == cursor.since
    for number in range(1, 7):
        again.offer(log(number), LogFields())
    assert take(again, 1) == ["log 4", "log 5", "log 6"]


def test_a_cursor_is_bounded():
    """However much is delivered within the overlap, the cursor lists a bounded number, and everything since then."""
    watcher = watcher_of()
    for number in range(3 * MAX_DELIVERED):
        watcher.offer(log(number, BEGIN + 1 + number), LogFields())
    ids = take(watcher, 1, 10_000)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + 1 + 3 * MAX_DELIVERED)
    assert len(cursor.delivered) == MAX_DELIVERED
    assert set(cursor.delivered) == set(ids[-MAX_DELIVERED:])
    assert cursor.since == min(cursor.delivered.values())


def test_a_cursor_never_goes_back():
    """A late log, or a position that is not known any more, does not move the cursor back to what is forgotten."""
    watcher = watcher_of(Cursor(BEGIN))
    watcher.behind = None
    assert watcher.cursor(BEGIN + HOUR).since == BEGIN + HOUR - LATE
    watcher.offer(log(1, BEGIN), LogFields())
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


def test_a_shelf_of_several_assets_gives_the_furthest_cursor():
    """Where several assets share a watcher the cursor is kept with each, and the furthest one counts."""

    async def test():
        stores = {name: Store() for name in ("a", "b", "new")}
        shelf = CursorStore(SimpleNamespace(_by_name={"a": stores["a"], "b": stores["b"]}, _by_uri={}), {"x": 1})
        assert await shelf.load() is None
        await shelf.save(Cursor(BEGIN))
        stores["b"].set(shelf.key, Cursor(BEGIN + 5, {"k": BEGIN + 6}).to_json())
        wider = CursorStore(SimpleNamespace(_by_name=stores, _by_uri={}), {"x": 1})
        assert await wider.load() == Cursor(BEGIN + 5, {"k": BEGIN + 6})
        assert CursorStore(stores["a"], {"x": 2}).key != shelf.key
        assert not CursorStore(None, {})
        single = CursorStore(stores["new"], {"x": 1})
        await single.save(Cursor(BEGIN + 1))
        assert await single.load() == Cursor(BEGIN + 1)

    asyncio.run(test())


# --- streams ---------------------------------------------------------------------------------------------------


def stream_of(*members):
    made = Stream("secoda_default", None, 60.0)
    made.watchers = dict.fromkeys(members)
    return made


def owing(*numbers):
    watcher = watcher_of()
    for number in numbers:
        watcher.offer(log(number), LogFields())
    return watcher


def test_after_a_failure_only_those_who_hear_more_are_safe():
    """Airflow does not say on whom it gave up, but that one hears nothing more: who hears of a later tick is safe."""

    async def test():
        given_up, healthy = owing(1), owing(1)
        made = stream_of(given_up, healthy)
        made.tick = 1
        assert take(given_up, 1)
        assert take(healthy, 1)
        made.tick = 2
        assert take(given_up, 2) == take(healthy, 2) == []
        made.acked(1, failed=True)
        made.acked(2)
        assert given_up.unconfirmed
        assert healthy.unconfirmed
        assert made._allot(), "one more tick tells them apart"
        made.tick = 3
        take(healthy, 3)
        made.acked(3)
        assert given_up.unconfirmed
        assert not healthy.unconfirmed
        assert given_up.cursor(BEGIN + HOUR).since <= BEGIN + SECOND

    asyncio.run(test())


def test_only_so_much_is_on_its_way_and_all_have_their_turn(monkeypatch):
    """No more than a bounded number of events waits to be stored, and no watcher keeps the others from theirs."""
    monkeypatch.setattr(stream, "MAX_UNCONFIRMED", 10)

    async def test():
        greedy, small = owing(*range(100)), [owing(number) for number in range(5)]
        made = stream_of(greedy, *small)
        rounds = 0
        while any(watcher.pending for watcher in made.watchers):
            assert made._allot()
            made.tick, rounds = made.tick + 1, rounds + 1
            for watcher in made.watchers:
                list(watcher.take(made.tick))
            assert sum(len(watcher.unconfirmed) for watcher in made.watchers) <= 10
            assert not made._allot(), "full"
            if rounds == 2:
                assert not any(watcher.pending for watcher in small)
            made.acked(made.tick)
        assert rounds <= 12

    asyncio.run(test())


# --- versions --------------------------------------------------------------------------------------------------


class Resource:
    """The logs of one resource, as the API shows them, and a client that asks for them."""

    def __init__(self, *versions):
        self.versions = list(versions)
        self.looks = 0

    async def value(self, flow, *, concurrency=1):
        self.looks += 1
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
    return log(0, at), LogFields(resource_id="r1", version_history_id=name, logged_at=format_instant(logged or at))


def placed(match="new_version", found=None):
    watcher = VersionWatcher("r1", match)
    watcher.found = found
    watcher.place(BEGIN, BEGIN)
    return watcher


def look(watcher, resource, *, alone=False, now=BEGIN):
    return asyncio.run(watcher.look(resource, now, alone=alone))


def test_a_version_that_is_not_shown_yet_is_asked_for_again():
    """The two endpoints need not agree at once: a version that a log named is looked for until it is shown."""
    watcher, resource = placed(), Resource()
    assert watcher.offer(*naming("v1", BEGIN + SECOND))
    assert look(watcher, resource)
    assert watcher.cursor(BEGIN + HOUR).since <= BEGIN + SECOND, "a restart would look for it again"
    resource.versions.append(version("v1", BEGIN + SECOND))
    assert not look(watcher, resource)
    assert take(watcher, 1) == ["v1"]
    watcher.confirm(1)
    assert watcher.cursor(BEGIN + HOUR) == Cursor(BEGIN + HOUR - LATE)
    assert not watcher.offer(*naming("v1", BEGIN + 2 * SECOND)), "it is no new version any more"


def test_a_version_that_never_shows_is_given_up():
    """A version that is not shown after some looks is not looked for for ever."""
    watcher, resource = placed(), Resource()
    watcher.offer(*naming("v1", BEGIN + SECOND))
    looks = [look(watcher, resource) for _ in range(MAX_TRIES + 1)]
    assert looks == [True] * MAX_TRIES + [False]
    assert not watcher.offer(*naming("v1", BEGIN + 2 * SECOND))
    assert watcher.offer(*naming("v2", BEGIN + 2 * SECOND))


def test_growth_that_is_not_shown_yet_is_asked_for_again():
    """With ``any_activity`` a version counts as shown when it has grown as far as the log says."""
    watcher, resource = placed("any_activity"), Resource(version("v1", BEGIN - HOUR, BEGIN - HOUR))
    watcher.offer(*naming("v1", BEGIN + 30 * SECOND))
    assert look(watcher, resource)
    resource.versions[0] = version("v1", BEGIN - HOUR, BEGIN + 30 * SECOND)
    assert not look(watcher, resource)
    assert take(watcher, 1) == ["v1"]


@pytest.mark.parametrize("age", [5 * 60 * SECOND, 30 * 24 * HOUR])
def test_an_old_version_that_grew_is_no_new_version(age):
    """One look tells that the version that was named is an old one."""
    watcher, resource = placed(), Resource(version("old", BEGIN - age, BEGIN + SECOND))
    watcher.offer(*naming("old", BEGIN + SECOND))
    assert not look(watcher, resource)
    assert not watcher.pending


def test_a_version_whose_edit_was_stored_late_counts():
    """A version carries the time of its edit, which lies before the start when its log was stored after it."""
    edited = BEGIN - 20 * 60 * SECOND
    watcher, resource = placed(), Resource(version("v1", edited))
    watcher.offer(*naming("v1", BEGIN + SECOND, logged=edited))
    assert not look(watcher, resource)
    assert take(watcher, 1) == ["v1"]


def test_after_a_restart_a_version_that_was_delivered_is_passed_over():
    """The logs since the cursor wake the watcher again, but what it delivered is in the cursor."""
    watcher, resource = placed(), Resource(version("v1", BEGIN + SECOND))
    watcher.offer(*naming("v1", BEGIN + SECOND))
    look(watcher, resource)
    take(watcher, 1)
    watcher.confirm(1)
    cursor = watcher.cursor(BEGIN + SECOND)
    resource.versions.append(version("v2", BEGIN + 2 * SECOND))
    again = placed(found=cursor)
    again.offer(*naming("v1", BEGIN + SECOND))
    again.offer(*naming("v2", BEGIN + 2 * SECOND))
    look(again, resource)
    assert take(again, 1) == ["v2"]


def test_a_watcher_that_looks_for_itself_begins_with_its_first_look():
    """Without access to the log the first look tells what was there; later ones bring what is new, each once."""
    resource = Resource(version("v1", BEGIN - 9 * HOUR), version("v2", BEGIN))
    watcher = VersionWatcher("r1", "new_version")
    watcher.place_alone(BEGIN)
    assert not watcher.placed, "no cursor is saved before that"
    look(watcher, resource, alone=True)
    assert watcher.placed
    resource.versions += [version("v3", BEGIN + 1), version("v0", BEGIN - HOUR)]
    for _ in range(2):
        look(watcher, resource, alone=True)
    assert take(watcher, 1) == ["v3"]
    watcher.confirm(1)
    again = VersionWatcher("r1", "new_version")
    again.found = watcher.cursor(0)
    again.place_alone(BEGIN)
    resource.versions.append(version("v4", BEGIN + 2))
    look(again, resource, alone=True)
    assert take(again, 1) == ["v4"]


def test_a_watcher_that_looks_for_itself_does_not_fall_behind():
    """Its cursor follows the clock, an hour behind, so that a restart with access to the log reads an hour."""
    watcher, resource = VersionWatcher("r1", "new_version"), Resource(version("v1", BEGIN))
    for hour in range(100):
        look(watcher, resource, alone=True, now=BEGIN + hour * HOUR)
    assert watcher.cursor(0).since == BEGIN + 98 * HOUR


# --- trouble ---------------------------------------------------------------------------------------------------


def test_pauses_grow_and_obey_the_server():
    """Each failure doubles the pause up to a quarter of an hour; a server that asks for more gets it."""
    trouble = FailureBackoff("it", 60.0)
    pauses = [trouble.fail(SecodaIncompleteError("no")) for _ in range(12)]
    assert 45 <= pauses[0] <= 75
    assert all(700 <= pause <= 1.2 * LONGEST for pause in pauses[5:])
    asked = SecodaIncompleteError("no")
    asked.retry_after = 3600.0
    assert trouble.fail(asked) == 3600.0
    trouble.succeed()
    assert trouble.fail(SecodaIncompleteError("no")) <= 75


def test_failures_that_take_turns_are_said_once_each(caplog):
    """However many kinds of failures alternate, each kind has one line until it works again."""
    trouble = FailureBackoff("it", 60.0)
    for _ in range(5):
        trouble.fail(SecodaIncompleteError("no"))
        trouble.fail(SecodaTimeoutError("late"))
    assert len(caplog.records) == 2


def test_the_time_before_the_first_log_is_skipped():
    """A cursor from before the listing begins, as one of an empty workspace, costs a few requests, not an age."""
    from tests.client.model import Model, drive
    from tests.client.model import log as make

    model = Model([make(number, BEGIN + number * SECOND) for number in range(50)], page_size=20)

    class Client:
        async def value(self, flow, *, concurrency=1):
            drive(flow, model, concurrency=concurrency)

    async def test():
        past, found, start, end = CatchUp(None), [], 1, BEGIN + 50 * SECOND
        while start < end:
            logs, start = await past.read(Client(), start, end)
            found += logs
        return found

    assert [one.id for one in asyncio.run(test())] == [f"log-{number:06d}" for number in range(50)]
    assert model.requests < 30


def test_a_past_that_cannot_be_read_completely_is_given_up_loudly(caplog):
    """What stays incomplete after some tries is left, with an error that names the time, rather than tried for ever."""

    class Broken:
        async def value(self, flow, *, concurrency=1):
            flow.close()
            raise SecodaIncompleteError("it is cut")

    async def test():
        past = CatchUp(None)
        for _ in range(catchup._TRIES - 1):
            with pytest.raises(SecodaIncompleteError):
                await past.read(Broken(), BEGIN, BEGIN + SECOND)
        assert await past.read(Broken(), BEGIN, BEGIN + SECOND) == ([], BEGIN + SECOND)

    asyncio.run(test())
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert format_instant(BEGIN) in line
    assert parse_instant(format_instant(BEGIN)) == BEGIN
