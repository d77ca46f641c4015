"""Following the audit log: each stored log is returned once; a poll is one request while nothing happens."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._audit_logs.output import TooManyLogsError, WindowReport
from airflow_provider_secoda.client._following import follower as following
from airflow_provider_secoda.client._following import known_logs
from airflow_provider_secoda.client._following.follower import AuditLogFollower, PollResult, read_span
from airflow_provider_secoda.client._following.known_logs import LATE, OVERLAP, SWEEP_ANYHOW, SWEEP_EVERY
from airflow_provider_secoda.client.errors import SecodaError, SecodaIncompleteError, SecodaServerError
from airflow_provider_secoda.client.filters import Filter, exact
from tests.client.model import Model, drive, instant, log

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND
#: The time between two polls.
INTERVAL = 60 * SECOND


def spaced(count: int, step: int = SECOND) -> list[dict]:
    """Return this many logs, one step apart."""
    return [log(number, BEGIN + number * step) for number in range(count)]


def run(flow, model, *, seed=0):
    """Run a flow that emits nothing; return its value."""
    values = []

    def keep():
        values.append((yield from flow))

    assert drive(keep(), model, seed=seed) == []
    return values[0]


class Follower:
    """Polls a model once a minute, and remembers the logs that were returned."""

    def __init__(self, model: Model, **options) -> None:
        self.model, self.followed = model, AuditLogFollower(**options)
        self.got: list[str] = []
        self.now = BEGIN
        self.poll()
        assert not self.got, "the first poll returns no logs"

    def poll(self, *, seed: int = 0) -> list[str]:
        before, self.now = self.model.requests, self.now + INTERVAL
        result: PollResult = run(self.followed.poll(self.now), self.model, seed=seed)
        assert result.gap is None
        assert [(log.at, log.id) for log in result.logs] == sorted((log.at, log.id) for log in result.logs)
        self.requests = self.model.requests - before
        self.got += (ids := [log.id for log in result.logs])
        assert len(self.got) == len(set(self.got)), "twice"
        return ids


def add(model: Model, at: int) -> str:
    """Store a log now, with any timestamp."""
    return model._add(at)


def newest(model: Model) -> int:
    return max(instant(item["created_at"]) for item in model.logs)


# --- quiet and busy --------------------------------------------------------------------------------------------


def test_a_quiet_poll_is_one_request():
    """While nothing happens each poll is one request, and so it is when a few logs arrive."""
    follower = Follower(Model(spaced(500), page_size=100))
    for _ in range(SWEEP_ANYHOW // INTERVAL - 2):
        assert follower.poll() == []
        assert follower.requests == 1
    fresh = [add(follower.model, newest(follower.model) + 1) for _ in range(40)]
    assert follower.poll() == fresh
    assert follower.requests == 1


def test_the_first_poll_returns_no_logs():
    """Logs that are there at the beginning are not new; the order is checked from both ends."""
    follower = Follower(Model(spaced(500, 10 * SECOND), page_size=100))
    assert follower.requests == 2
    assert follower.followed.known.newest == BEGIN + 4990 * SECOND


def test_a_log_that_is_late_after_the_first_poll_is_returned():
    """The first poll reads as far back as logs may be late, so a late log is known to be new, on any page."""
    follower = Follower(Model(spaced(2000), page_size=100))
    late = add(follower.model, newest(follower.model) - LATE + SECOND)
    too_late = add(follower.model, newest(follower.model) - LATE - SECOND)
    for _ in range(SWEEP_EVERY // INTERVAL):
        follower.poll()
    assert follower.got == [late]
    assert too_late not in follower.got


@pytest.mark.parametrize("burst", [1, 4, 5, 6, 37, 160])
def test_a_burst_over_several_pages_is_returned_once(burst):
    """Any number of logs between two polls is returned completely, oldest first, and once."""
    follower = Follower(Model(spaced(100), page_size=5))
    for _ in range(3):
        fresh = [add(follower.model, newest(follower.model) + 1) for _ in range(burst)]
        assert follower.poll() == fresh
        assert follower.poll() == []


def test_ties_at_the_cursor_are_returned():
    """A log with the timestamp of the newest known one is new if its id is."""
    follower = Follower(Model(spaced(100), page_size=5))
    fresh = [add(follower.model, newest(follower.model)) for _ in range(3)]
    assert sorted(follower.poll()) == sorted(fresh)


def with_a_tie() -> list[dict]:
    """Return logs of which the newest 23 have one timestamp."""
    return [*spaced(50), *(log(1000 + number, BEGIN + 60 * SECOND) for number in range(23))]


def test_a_tie_longer_than_a_page_at_the_beginning_is_not_new():
    """When all of page 1 has one timestamp, the other logs of this timestamp are not new either."""
    follower = Follower(Model(with_a_tie(), page_size=5, sort="tie_breaker_refused"))
    for _ in range(3):
        assert follower.poll() == []
    fresh = add(follower.model, newest(follower.model) + 1)
    assert follower.poll() == [fresh]


def test_what_stays_unreadable_is_given_up_with_a_reason():
    """A tie that comes in another order each time cannot be read: after five tries the follower says so and goes on."""
    model = Model(with_a_tie(), page_size=5, ties="shuffled", sort="tie_breaker_refused")
    followed = AuditLogFollower()
    for _ in range(following.MAX_INCOMPLETE):
        with pytest.raises(SecodaIncompleteError) as error:
            run(followed.poll(BEGIN), model)
    result = run(followed.poll(BEGIN), model)
    assert (result.logs, result.gap, result.unread) == ((), None, str(error.value))
    fresh = add(model, newest(model) + 1)
    result = run(followed.poll(BEGIN), model)
    assert ([one.id for one in result.logs], result.unread) == ([fresh], "")


def test_a_sweep_that_stays_incomplete_is_given_up_with_a_reason():
    """When only a sweep fails, its logs are left to the catch-up, which reads in pieces, and new logs arrive again."""
    model = Model(spaced(900), page_size=5, sort="tie_breaker_refused")
    followed = AuditLogFollower()
    run(followed.poll(BEGIN), model)
    for _ in range(23):
        add(model, BEGIN + 600 * SECOND)
    model.ties = "shuffled"
    for turn in range(following.MAX_INCOMPLETE):
        with pytest.raises(SecodaIncompleteError):
            run(followed.poll(BEGIN + SWEEP_ANYHOW), model, seed=turn)
    result = run(followed.poll(BEGIN + SWEEP_ANYHOW), model)
    assert (result.logs, result.gap) == ((), BEGIN + 899 * SECOND - LATE)
    assert result.unread
    assert run(followed.poll(BEGIN + SWEEP_ANYHOW), model) == PollResult()
    newer = add(model, newest(model) + 1)
    assert [one.id for one in run(followed.poll(BEGIN + SWEEP_ANYHOW), model).logs] == [newer]


@pytest.mark.parametrize("count", [3, 40])
def test_a_log_that_is_listed_twice_is_returned_once(count):
    """A listing that shows each row twice with the same content does not stop the follower, on one page or on many."""

    class Doubled(Model):
        def _sorted(self, rows, sort):
            return [row for row in super()._sorted(rows, sort) for _ in range(2)]

    follower = Follower(Doubled(spaced(count), page_size=10))
    fresh = [add(follower.model, newest(follower.model) + 1) for _ in range(12)]
    assert follower.poll() == fresh
    assert follower.poll() == []
    assert not follower.followed.unordered


def test_an_empty_workspace_begins_with_its_first_log():
    """In a listing without logs every log is new."""
    model = Model([], page_size=5)
    follower = Follower(model)
    assert follower.poll() == []
    fresh = [add(model, BEGIN + number) for number in range(7)]
    assert follower.poll() == fresh


def test_an_empty_listing_of_several_pages_is_empty():
    """`count` decides whether a listing is empty, not `total_pages`."""

    class Announcing(Model):
        def answer(self, request):
            answer = super().answer(request)
            return Response(200, answer.headers, answer.body.replace(b'"total_pages": 1', b'"total_pages": 2'))

    follower = Follower(Announcing([], page_size=5))
    assert follower.poll() == []


def test_a_listing_that_is_emptied_begins_again():
    """When all logs have expired, new ones are still returned."""
    model = Model(spaced(3), page_size=5)
    follower = Follower(model)
    model.logs.clear()
    assert follower.poll() == []
    fresh = add(model, BEGIN + 10 * SECOND)
    assert follower.poll() == [fresh]


# --- late logs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [0, 1, 29])
def test_a_log_stored_a_little_late_is_returned_by_the_next_poll(depth):
    """A log that is older than the newest one by less than the overlap is found at once, on any page."""
    follower = Follower(Model(spaced(200), page_size=60))
    follower.model.page_size = 5
    late = add(follower.model, newest(follower.model) - depth * SECOND)
    assert follower.poll() == [late]


def test_a_log_stored_late_is_detected_by_the_count():
    """A late log far before the overlap is not on page 1, but changes `count`: it is returned within ten polls."""
    follower = Follower(Model(spaced(1000), page_size=500))
    follower.model.page_size = 50
    late = add(follower.model, newest(follower.model) - 300 * SECOND)
    polls = [(follower.poll(), follower.requests) for _ in range(30)]
    assert [ids for ids, _ in polls if ids] == [[late]]
    assert [ids for ids, _ in polls].index([late]) <= SWEEP_EVERY // INTERVAL
    assert sum(requests > 1 for _, requests in polls) == 1, "one sweep explains the count"


def test_steady_expiry_costs_few_requests():
    """Where logs expire all the time, `count` is never explained; still nine polls of ten are one request."""
    model = Model(spaced(3000), page_size=100)
    follower = Follower(model)
    requests = []
    for _ in range(50):
        model.logs.pop(0)
        follower.poll()
        requests.append(follower.requests)
    assert sum(one == 1 for one in requests) >= 45
    assert max(requests) <= 25


class Moving(Model):
    """A listing that moves between two requests, by seconds."""

    moving = False

    def _move(self):
        if self.rng.random() < self.stale:
            return
        self.past = list(self.logs)
        if self.moving and self.rng.random() < 0.15:
            self._add(newest(self) + self.rng.choice([0, 1, SECOND, 5 * SECOND, 20 * SECOND]))
        if self.moving and self.rng.random() < 0.03:
            self.late.add(self._add(newest(self) - self.rng.randrange(LATE // 2)))
        if self.moving and self.rng.random() < 0.05:
            self.expired.add(self.logs.pop(0)["id"])


@pytest.mark.parametrize("page_size", [25, 60])
@pytest.mark.parametrize("ties", ["stable", "shuffled"])
@pytest.mark.parametrize("seed", range(4))
def test_each_log_is_returned_once_while_the_listing_moves(page_size, ties, seed):
    """Logs arrive, some of them late, expire, and come from outdated replicas: each new one is returned once."""
    model = Moving(spaced(400), page_size=page_size, ties=ties, seed=seed, sort="tie_breaker_refused")
    follower = Follower(model)
    before, known_from = set(model.ever), follower.followed.known.horizon
    model.moving, model.stale = True, 0.05 if seed % 2 else 0.0
    for turn in range(40):
        with suppress(SecodaIncompleteError):  # an honest answer to copies that disagree
            follower.poll(seed=turn)
    model.moving, model.stale = False, 0.0
    model._add(newest(model) + 1)
    for turn in range(SWEEP_ANYHOW // INTERVAL + 1):
        follower.poll(seed=turn)
    ever = {id_: instant(item["created_at"]) for id_, item in model.ever.items() if id_ not in before}
    assert len(ever) > 10
    assert set(follower.got) <= ever.keys(), "old"
    lasting = {id_ for id_, at in ever.items() if at >= known_from and id_ not in model.expired}
    assert lasting <= set(follower.got), "lost"


@given(
    moves=st.lists(
        st.lists(st.sampled_from(["head", "tie", "near", "far", "expire", "poll"]), max_size=8), max_size=12
    ),
    page_size=st.integers(3, 12),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_arrivals_and_polls(moves, page_size):
    """Any number of logs arrives anywhere after the horizon between polls; each is returned once, and no older ones."""
    model = Model(spaced(60), page_size=page_size)
    follower = Follower(model)
    fresh, known_from = set(), follower.followed.known.horizon
    for turn in moves:
        for move in turn:
            head = newest(model)
            at = {"head": head + 1, "tie": head, "near": head - OVERLAP // 3, "far": head - OVERLAP * 2}.get(move)
            if at is not None and at >= known_from:
                fresh.add(add(model, at))
            elif move == "expire" and len(model.logs) > 20:
                model.expired.add(model.logs.pop(0)["id"])
            elif move == "poll":
                follower.poll()
    for _ in range(SWEEP_ANYHOW // INTERVAL + 1):
        follower.poll()
    assert fresh - model.expired <= set(follower.got) <= fresh


# --- listings that cannot be trusted ---------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["refused", "ignored", "reversed"])
@pytest.mark.parametrize("seed", [0, 1])
def test_without_an_order_everything_is_read_and_logged(sort, seed):
    """Without a reliable order each poll reads all pages, says why and how many, and returns the new logs."""
    model = Model(spaced(64), page_size=5, sort=sort, seed=seed)
    follower = Follower(model)
    assert follower.followed.unordered
    assert follower.poll() == []
    assert follower.followed.pages >= 13
    fresh = [add(model, newest(model) + 1), add(model, newest(model) - 5 * SECOND)]
    assert sorted(follower.poll()) == sorted(fresh)


def test_an_order_that_comes_back_is_used_again():
    """When the server sorts again, a poll is one request again."""
    model = Model(spaced(64), page_size=5, sort="ignored")
    follower = Follower(model)
    model.sort = "honoured"
    follower.poll()
    follower.poll()
    assert not follower.followed.unordered
    add(model, newest(model) + 1)
    model.page_size = 50
    follower.poll()
    assert follower.requests == 1


def test_an_order_that_is_lost_is_noticed():
    """When page 1 is out of order the poll reads all pages instead, and returns the new logs."""
    model = Model(spaced(64), page_size=5)
    follower = Follower(model)
    model.sort = "ignored"
    fresh = [add(model, newest(model) + 1) for _ in range(3)]
    assert sorted(follower.poll()) == sorted(fresh)
    assert follower.followed.unordered


def test_one_page_shows_no_order():
    """A listing of one page may come in any order; when it has grown to two, the order is checked again."""
    model = Model(spaced(4), page_size=5, sort="reversed")
    follower = Follower(model)
    fresh = [add(model, newest(model) + 1) for _ in range(4)]
    assert sorted(follower.poll()) == sorted(fresh)
    assert follower.followed.unordered


def test_a_default_order_that_is_right_by_chance_is_noticed():
    """When a listing grows beyond one page, an order by another timestamp is not mistaken for the requested one."""

    class NewestLoggedFirst(Model):
        def _sorted(self, rows, sort):
            return sorted(rows, key=lambda row: instant(row["logged_at"]), reverse=True)

    model = NewestLoggedFirst(spaced(4, 60 * SECOND), page_size=5)
    follower = Follower(model)
    late = log(500, BEGIN + 190 * SECOND, logged=BEGIN - 60 * SECOND)
    fresh = [add(model, newest(model) + 1) for _ in range(3)]
    model.logs.append(late)
    assert sorted(follower.poll()) == sorted([*fresh, late["id"]])


def test_a_first_page_without_logs_is_an_error():
    """An empty page 1 with a `count` above 0 is an error."""
    model = Model(spaced(30), page_size=5)
    follower = Follower(model)
    model.hidden = frozenset(item["id"] for item in model.logs[-5:])
    with pytest.raises(SecodaIncompleteError, match="first page shows none"):
        follower.poll()


def test_a_poll_that_fails_changes_nothing():
    """Logs that arrive around a failed poll are returned by the next one."""

    class Broken(Model):
        broken = False

        def answer(self, request):
            return Response(503) if self.broken else super().answer(request)

    model = Broken(spaced(100), page_size=5)
    follower = Follower(model)
    fresh = [add(model, newest(model) + 1) for _ in range(12)]
    model.broken = True
    with pytest.raises(SecodaServerError):
        follower.poll()
    model.broken = False
    fresh.append(add(model, newest(model) + 1))
    assert follower.poll() == fresh


def test_a_failure_during_a_burst_loses_nothing():
    """If any request of a long poll fails, the next poll returns all of its logs."""
    for failing in range(1, 12):

        class Flaky(Model):
            failing = 0

            def answer(self, request):
                answer = super().answer(request)
                return Response(500) if self.failing and self.requests >= self.failing else answer

        model = Flaky(spaced(100), page_size=5)
        follower = Follower(model)
        fresh = [add(model, newest(model) + 1) for _ in range(23)]
        model.failing = model.requests + failing
        try:
            got = follower.poll(seed=failing)
        except SecodaError:
            model.failing = 0
            got = follower.poll(seed=failing)
        assert got == fresh


# --- bounds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["honoured", "ignored"])
def test_many_logs_are_read_in_pieces(monkeypatch, sort):
    """If there are more logs than may be kept in memory, the poll returns where they begin, and continues."""
    monkeypatch.setattr(following, "MAX_LOGS", 50)
    monkeypatch.setattr(known_logs, "MAX_SWEPT", 25)
    model = Model(spaced(100), page_size=10, sort=sort)
    follower = Follower(model)
    head = newest(model)
    flood = [add(model, newest(model) + SECOND) for _ in range(120)]
    result = run(follower.followed.poll(BEGIN), model)
    assert result.logs == ()
    assert result.gap is not None
    assert result.gap <= head
    assert follower.followed.known.newest == newest(model)
    with pytest.raises(TooManyLogsError):
        run(read_span(result.gap, newest(model) + 1, None, [], WindowReport()), model)
    found: list = []
    for piece in range(3):
        start = head + 1 + piece * 40 * SECOND
        run(read_span(start, start + 40 * SECOND, None, logs := [], WindowReport()), model)
        found += logs
    assert sorted(item.id for item in found) == sorted(flood)
    fresh = add(model, newest(model) + 1)
    assert follower.poll() == [fresh]


def test_what_is_remembered_is_bounded(monkeypatch):
    """Any number of polls keeps a bounded number of ids, and no log is returned twice."""
    monkeypatch.setattr(known_logs, "KEEP_SEEN", 30)
    monkeypatch.setattr(known_logs, "MAX_SEEN", 60)
    model = Model(spaced(100), page_size=20)
    follower = Follower(model)
    for turn in range(60):
        for _ in range(7):
            add(model, newest(model) + (SECOND if turn % 2 else 40 * SECOND))
        follower.poll()
        assert len(follower.followed.known._seen) <= 60
    assert len(follower.got) == 7 * 60


def test_the_server_filters():
    """With a filter only the logs that match it are returned."""
    model = Model(spaced(100), page_size=5)
    follower = Follower(model, filter=Filter.parse(exact("performer_type", "API")))
    fresh = [add(model, newest(model) + 1) for _ in range(9)]
    wanted = [id_ for id_ in fresh if model.ever[id_]["performer_type"] == "API"]
    assert wanted
    assert follower.poll() == wanted


def test_a_log_is_returned_as_it_was_sent():
    """A log is returned byte for byte as the API sent it."""
    model = Model(spaced(10), page_size=5)
    follower = Follower(model)
    id_ = add(model, newest(model) + 1)
    result = run(follower.followed.poll(BEGIN), model)
    assert [json.loads(one.raw) for one in result.logs] == [model.ever[id_]]
