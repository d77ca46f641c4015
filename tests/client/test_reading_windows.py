"""Every log of a window that the listing shows, each once, or an error: the rules, on a listing without sockets."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.window import WindowQuery, format_window, read_window
from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaError,
    SecodaIncompleteError,
    SecodaServerError,
)
from airflow_provider_secoda.client.filters import Filter, exact
from tests.client.model import Model, RequestStats, drive, instant, log

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND


def spaced(count: int, step: int = SECOND) -> list[dict]:
    """Return this many logs, one step apart."""
    return [log(number, BEGIN + number * step) for number in range(count)]


def read(model: Model, start: int, end: int, *, seed: int = 0, **options) -> tuple[list[str], WindowReport]:
    """Read a window; return the ids in the order they came, and the report."""
    report = WindowReport()
    query = WindowQuery(start, end, **options)
    got = drive(read_window(query, report), model, concurrency=query.concurrency, seed=seed)
    return [item.id for item in got], report


def within(model: Model, start: int, end: int) -> set[str]:
    """Return the ids of the logs of a window that are there all the time: from before the read, never expired."""
    return {
        id_
        for id_, item in model.ever.items()
        if start <= instant(item["logged_at"]) < end and id_ not in model.expired
    }


def check(model: Model, start: int, end: int, before: set[str], ids: list[str]) -> None:
    """Assert that every lasting log is there, none twice and none that is not of the window."""
    assert len(ids) == len(set(ids)), "twice"
    ever = {i for i, item in model.ever.items() if start <= instant(item["logged_at"]) < end}
    assert set(ids) <= ever, "not of the window"
    assert within(model, start, end) & before <= set(ids), "lost"


# --- calm listings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("page_size", [1, 2, 5, 100])
def test_every_window_of_a_calm_listing_is_exact(page_size, concurrency):
    """Wherever a window begins and ends, on, between or beyond logs and page edges, it is half-open and exact."""
    logs = spaced(23)
    for first in range(-1, 25):
        for length in (1, 2, 5, 30):
            for nudge in (0, 1):
                start = BEGIN + first * SECOND + nudge
                end = start + length * SECOND
                model = Model(list(logs), page_size=page_size)
                ids, _ = read(model, start, end, concurrency=concurrency)
                assert set(ids) == within(model, start, end)
                assert len(ids) == len(set(ids))


@pytest.mark.parametrize("sort", ["honoured", "tie_breaker_refused", "tie_breaker_ignored"])
@pytest.mark.parametrize("ties", ["stable", "shuffled"])
@pytest.mark.parametrize("seed", range(12))
def test_ties_across_page_edges_are_exact(sort, ties, seed):
    """Logs of one timestamp across page edges are all returned, with any treatment of the tie breaker."""
    rng = random.Random(seed)
    logs = [log(number, BEGIN + (number // rng.choice([2, 3])) * SECOND) for number in range(60)]
    model = Model(logs, page_size=7, sort=sort, ties=ties, seed=seed)
    start, end = BEGIN + 4 * SECOND, BEGIN + 17 * SECOND
    ids, report = read(model, start, end, seed=seed)
    assert sorted(ids) == sorted(within(model, start, end))
    assert report.order in {"newest_first", "oldest_first"}


@pytest.mark.parametrize("sort", ["refused", "ignored", "reversed"])
@pytest.mark.parametrize("seed", [0, 1])
def test_without_an_order_everything_is_read_and_reported(sort, seed):
    """Without a reliable order all pages are read, with a warning, and the result is exact."""
    model = Model(spaced(64), page_size=5, sort=sort, seed=seed)
    ids, report = read(model, BEGIN + 10 * SECOND, BEGIN + 20 * SECOND)
    assert set(ids) == within(model, BEGIN + 10 * SECOND, BEGIN + 20 * SECOND)
    assert len(ids) == 10
    assert report.order == "everything"
    assert "all 13 pages are read" in report.warnings[0]
    assert report.history_from == BEGIN


def test_an_order_that_breaks_later_is_noticed():
    """If the pages that are read are out of order, all pages are read, and no log is returned twice."""

    class Broken(Model):
        def _sorted(self, rows, sort):
            rows = super()._sorted(rows, sort)
            if sort is not None:
                middle = len(rows) // 2
                rows[middle : middle + 12] = rows[middle : middle + 12][::-1]
            return rows

    model = Broken(spaced(200), page_size=5)
    ids, report = read(model, BEGIN + 20 * SECOND, BEGIN + 180 * SECOND)
    assert len(ids) == 160
    assert set(ids) == within(model, BEGIN + 20 * SECOND, BEGIN + 180 * SECOND)
    assert report.order == "everything"


def test_an_ignored_sort_that_is_right_by_chance_is_noticed():
    """A default order that is newest first by chance is not mistaken for an honoured sort."""

    class NewestCreatedFirst(Model):
        def _sorted(self, rows, sort):
            return sorted(rows, key=lambda row: row["created_at"], reverse=True)

    logs = [log(n, BEGIN + n * SECOND) for n in range(100)]
    late = log(500, BEGIN + 99 * SECOND + 1, logged=BEGIN + 50 * SECOND + 1)
    model = NewestCreatedFirst([*logs, late], page_size=10)
    ids, report = read(model, BEGIN + 45 * SECOND, BEGIN + 55 * SECOND)
    assert late["id"] in ids
    assert report.order == "everything"


# --- listings that move ----------------------------------------------------------------------------------------


class Scripted(Model):
    """A listing in which chosen things happen before chosen requests."""

    moves: dict = {}

    def _move(self):
        for move in self.moves.get(self.requests, ()):
            move(self)

    def arrive_at_head(self):
        self._add(instant(self.logs[-1]["logged_at"]) + 1)

    def arrive_late(self):
        self.late.add(self._add(BEGIN + 60 * SECOND + 7))

    def expire_oldest(self):
        self.expired.add(self.logs.pop(0)["id"])


def scripted(moves, **options) -> Scripted:
    model = Scripted(spaced(100), page_size=5, **options)
    model.moves = moves
    return model


@pytest.mark.parametrize(
    "what",
    [
        [Scripted.arrive_at_head],
        [Scripted.expire_oldest],
        [Scripted.arrive_at_head, Scripted.expire_oldest],
        [Scripted.arrive_late],
        [Scripted.arrive_late, Scripted.expire_oldest],
        [Scripted.arrive_at_head] * 7,
    ],
    ids=[
        "arrival",
        "expiry",
        "arrival and expiry",
        "late arrival",
        "late arrival and expiry",
        "a page of arrivals",
    ],
)
@pytest.mark.parametrize("window", [(0, 100), (20, 90), (40, 70), (90, 101)])
def test_one_move_before_any_request_loses_nothing(what, window):
    """A change before any request, with any order of the responses, loses and repeats nothing."""
    start, end = (BEGIN + edge * SECOND for edge in window)
    for request in range(1, 45):
        for seed in (1, 2):
            model = scripted({request: what})
            before = set(model.ever)
            ids, _ = read(model, start, end, seed=seed)
            check(model, start, end, before, ids)


@pytest.mark.parametrize("first", range(1, 24))
def test_two_moves_lose_nothing(first):
    """An arrival with an expiry, and another pair later: the count never changes, and nothing is lost."""
    both = [Scripted.arrive_at_head, Scripted.expire_oldest]
    for second in range(first + 1, 30):
        model = scripted({first: both, second: both})
        before = set(model.ever)
        ids, _ = read(model, BEGIN + 30 * SECOND, BEGIN + 95 * SECOND, seed=second)
        check(model, BEGIN + 30 * SECOND, BEGIN + 95 * SECOND, before, ids)


@pytest.mark.parametrize("arrive", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("expire", [0.0, 0.2])
def test_a_listing_in_steady_motion_is_read_exactly(arrive, expire):
    """While logs arrive and expire all the time the read succeeds, and is exact."""
    for seed in range(8):
        model = Model(spaced(400), page_size=10, arrive=arrive, expire=expire, seed=seed)
        before = set(model.ever)
        start, end = BEGIN + 250 * SECOND, BEGIN + 390 * SECOND
        ids, report = read(model, start, end, seed=seed)
        check(model, start, end, before, ids)
        assert report.order != "everything"


def test_arrival_with_every_request_is_read_exactly():
    """A log that arrives with every request does not prevent the read from ending."""

    class Busy(Scripted):
        def _move(self):
            self.arrive_at_head()

    model = Busy(spaced(300), page_size=10)
    before = set(model.ever)
    ids, _ = read(model, BEGIN + 100 * SECOND, BEGIN + 300 * SECOND)
    check(model, BEGIN + 100 * SECOND, BEGIN + 300 * SECOND, before, ids)


def test_a_listing_that_moves_too_fast_fails():
    """If full pages arrive with every request, the read fails after a bounded number of requests."""

    class Flood(Scripted):
        def _move(self):
            for _ in range(5):
                self.arrive_at_head()

    model = Flood(spaced(100), page_size=5)
    with pytest.raises(SecodaIncompleteError):
        read(model, BEGIN, BEGIN + 100 * SECOND)
    assert model.requests < 500


# --- listings that hide ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap_counts", [True, False])
@pytest.mark.parametrize("beyond", ["empty", "404"])
class TestCap:
    """A listing that shows a limited number of logs, whether its count includes the others or not."""

    def model(self, cap_counts, beyond, **options) -> Model:
        return Model(spaced(200), page_size=5, cap=50, cap_counts=cap_counts, beyond=beyond, **options)

    def test_within_reach(self, cap_counts, beyond):
        """A window within the cap is read as usual."""
        model = self.model(cap_counts, beyond)
        ids, report = read(model, BEGIN + 155 * SECOND, BEGIN + 180 * SECOND)
        assert set(ids) == within(model, BEGIN + 155 * SECOND, BEGIN + 180 * SECOND)
        assert report.order == "newest_first"

    @pytest.mark.parametrize("window", [(100, 110), (100, 190), (20, 110), (149, 151), (0, 200)])
    def test_out_of_reach_fails(self, cap_counts, beyond, window):
        """A window that reaches behind the cap fails, saying what cannot be reached, and to use a narrower filter."""
        start, end = (BEGIN + edge * SECOND for edge in window)
        with pytest.raises(SecodaIncompleteError, match=r"truncated .* cannot be reached. Use a `filter`") as caught:
            read(self.model(cap_counts, beyond), start, end)
        # The last log that either end shows may share its timestamp with logs that it does not show.
        missing = format_window(max(start, BEGIN + 49 * SECOND), min(end, BEGIN + 150 * SECOND + 1))
        assert missing in str(caught.value)

    @pytest.mark.parametrize("window", [(0, 10), (-5, 40), (30, 49)])
    def test_reached_from_the_other_end(self, cap_counts, beyond, window):
        """A window near the beginning of history is read from there, also while the oldest logs expire."""
        start, end = (BEGIN + edge * SECOND for edge in window)
        for expire in (0.0, 0.1):
            model = self.model(cap_counts, beyond, expire=expire, seed=3)
            before = set(model.ever)
            ids, report = read(model, start, end)
            check(model, start, end, before, ids)
            if window[0] > 0:  # the oldest logs are on the first pages oldest first
                assert report.order == "oldest_first" or expire
                continue
            assert report.order == "both_ends"
            assert "the listing is truncated" in report.warnings[0]

    def test_distinguished_while_logs_arrive(self, cap_counts, beyond):
        """A truncated listing is distinguished from one that changes, also while logs arrive all the time."""
        for seed in range(6):
            model = self.model(cap_counts, beyond, arrive=0.3, seed=seed)
            before = set(model.ever)
            ids, report = read(model, BEGIN, BEGIN + 30 * SECOND, seed=seed)
            check(model, BEGIN, BEGIN + 30 * SECOND, before, ids)
            assert report.order == "both_ends"

    def test_both_ends_meet(self, cap_counts, beyond):
        """A window over all of a listing that is less than two caps long is put together from both ends."""
        model = Model(spaced(90), page_size=5, cap=50, cap_counts=cap_counts, beyond=beyond)
        ids, _ = read(model, BEGIN, BEGIN + 90 * SECOND)
        assert sorted(ids) == sorted(within(model, BEGIN, BEGIN + 90 * SECOND))


@pytest.mark.parametrize("hidden", [{30, 31, 32, 33, 34}, {42}, {40, 44}])
def test_a_page_that_lacks_logs_fails(hidden):
    """A page that is empty or short before the last one is an error, because the count is higher."""
    model = Model(spaced(100), page_size=5, hidden=frozenset(f"log-{n:06d}" for n in hidden))
    with pytest.raises(SecodaIncompleteError):
        read(model, BEGIN + 20 * SECOND, BEGIN + 80 * SECOND)


def test_a_count_without_logs_fails():
    """A listing that counts logs and shows none is an error, not an empty listing."""
    model = Model(spaced(3), page_size=5, hidden=frozenset(f"log-{n:06d}" for n in range(3)))
    with pytest.raises(SecodaIncompleteError, match="counts 3"):
        read(model, BEGIN, BEGIN + 9 * SECOND)


def test_an_unsortable_listing_at_the_known_cap_fails():
    """Exactly 10,000 logs that cannot be sorted may be a cap: this is an error."""
    model = Model(spaced(10_000), page_size=1000, sort="refused")
    with pytest.raises(SecodaIncompleteError, match="10000"):
        read(model, BEGIN, BEGIN + 9 * SECOND)


# --- the beginning of history ----------------------------------------------------------------------------------


def test_a_young_workspace_has_a_warning():
    """A window that begins before history does is read, with a warning that says when the history begins."""
    ids, report = read(Model(spaced(30)), BEGIN - 50 * SECOND, BEGIN + 5 * SECOND)
    assert len(ids) == 5
    assert report.history_from == BEGIN
    assert "begins at 2023-11-14T22:13:20Z" in report.warnings[0]


def test_an_old_workspace_has_no_warning():
    """A window that begins after history does raises no warning."""
    _, report = read(Model(spaced(30)), BEGIN + 1, BEGIN + 5 * SECOND)
    assert report.warnings == []


def test_the_history_of_a_filtered_listing():
    """With a filter, the history is that of the workspace and does not begin with the first match."""
    logs = spaced(60)
    logs[40]["performer_id"] = "p"
    model = Model(logs, page_size=5)
    ids, report = read(model, BEGIN + 30 * SECOND, BEGIN + 50 * SECOND, filter=Filter.parse(exact("performer_id", "p")))
    assert ids == ["log-000040"]
    assert report.history_from == BEGIN
    assert report.warnings == []


@pytest.mark.parametrize("sort", ["honoured", "refused", "ignored"])
def test_an_empty_listing(sort):
    """An empty workspace gives an empty window, with a warning that it has no history."""
    ids, report = read(Model([], sort=sort), BEGIN, BEGIN + SECOND)
    assert ids == []
    assert report.history_from is None
    assert "the listing is empty" in report.warnings[-1]


# --- what it costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_search_does_not_depend_on_history(concurrency):
    """Above the pages that hold the window, reading it costs at most 2·log2(total pages) + 4 requests.

    Few pages are read ahead and not needed; they are counted apart; so are the two that confirm each further stretch
    of 64 pages.
    """
    for seed in range(100):
        rng = random.Random(seed)
        count, page_size = rng.choice([1, 7, 20, 100, 300, 1001, 2500]), rng.choice([5, 10, 50])
        logs = spaced(count, 1000)
        width = count * 1000 // rng.choice([1, 3, 10, 30, 300]) + 1
        start = BEGIN + rng.randint(-width // 2, count * 1000)
        model = Model(logs, page_size=page_size)
        stats, report = RequestStats(), WindowReport()
        query = WindowQuery(start, start + width, concurrency=concurrency)
        got = drive(read_window(query, report), model, concurrency=concurrency, seed=seed, stats=stats)
        places = [number for number in range(count) if start <= BEGIN + number * 1000 < start + width]
        assert len(got) == len(places)
        total = max(1, math.ceil(count / page_size))
        holding = len({(count - 1 - number) // page_size for number in places})
        allowed = 2 * math.log2(total) + 4 + (concurrency - 1) + 2 * (holding // 64)
        assert stats.requests - holding <= allowed


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(
    "move",
    [
        lambda model: model._add(BEGIN - SECOND),  # the end looks like a truncated listing, and page 1 is read again
        lambda model: model.logs.__delitem__(slice(0, 15)),  # the page to go on from vanishes
        lambda model: setattr(model, "sort", "ignored"),
    ],
    ids=["late arrival at the end", "pages vanish", "order lost"],
)
def test_every_page_is_counted(move, concurrency):
    """The report counts each page that was served, whenever the listing moves."""
    for request in range(1, 20):
        for seed in (0, 1):
            model = Scripted(spaced(20), page_size=5)
            model.moves = {request: [move]}
            stats, report = RequestStats(), WindowReport()
            query = WindowQuery(BEGIN - 2 * SECOND, BEGIN + 8 * SECOND, concurrency=concurrency)
            drive(read_window(query, report), model, concurrency=concurrency, seed=seed, stats=stats)
            assert report.pages == stats.pages, (request, seed)


# --- errors of requests ----------------------------------------------------------------------------------------


def test_failures_of_requests_are_retried():
    """429, 5xx, login pages and truncated bodies are retried, and the result is exact."""
    for seed in range(10):
        model = Model(spaced(200), page_size=5, fail=0.2, seed=seed)
        ids, _ = read(model, BEGIN + 50 * SECOND, BEGIN + 150 * SECOND, seed=seed)
        assert len(ids) == 100


@pytest.mark.parametrize(("status", "error"), [(401, SecodaAuthenticationError), (500, SecodaServerError)])
def test_final_errors_are_raised_as_they_are(status, error):
    """An error that a retry cannot fix is raised as it is, at any point of the read."""
    for strike in (1, 2, 5, 9, 14):

        class Failing(Model):
            def answer(self, request, strike=strike):
                if self.requests >= strike:
                    self.requests += 1
                    return Response(status, {}, b'{"detail": "no"}')
                return super().answer(request)

        with pytest.raises(error):
            read(Failing(spaced(300), page_size=5), BEGIN + 20 * SECOND, BEGIN + 200 * SECOND)


@pytest.mark.parametrize("results", [[], [log(1, BEGIN)], [log(1, BEGIN), log(2, BEGIN - SECOND)]])
@pytest.mark.parametrize(("count", "pages"), [(1, 0), (2, 0), (0, 5), (3, 1)])
def test_counts_that_contradict_each_other(results, count, pages):
    """A server whose count, number of pages and pages do not fit together is an error, or is read."""

    class Contradicting(Model):
        def answer(self, request):
            self.requests += 1
            if self.requests > 1_000:
                raise AssertionError("the read does not end")
            body = {"results": results, "count": count, "total_pages": pages}
            return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())

    try:
        ids, _ = read(Contradicting([]), BEGIN - 2 * SECOND, BEGIN + SECOND)
    except SecodaError:
        return
    assert sorted(ids) == sorted(each["id"] for each in results)


# --- everything at once ----------------------------------------------------------------------------------------


@st.composite
def worlds(draw):
    """Draw a listing with any mixture of troubles, and a window over it."""
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 1000, 1_000_000]), max_size=80))
    at, logs = BEGIN, []
    for number, gap in enumerate(gaps):
        at += gap
        logs.append(log(number, at))
    page_size = draw(st.sampled_from([2, 3, 5, 20]))
    chance = st.sampled_from([0.0, 0.0, 0.05, 0.3])
    cap = draw(st.sampled_from([None, None, None, 30]))
    model = Model(
        logs,
        page_size=page_size,
        seed=draw(st.integers(0, 10_000)),
        sort=draw(
            st.sampled_from(
                ["honoured"] * 5 + ["ignored", "refused", "reversed", "tie_breaker_refused", "tie_breaker_ignored"]
            )
        ),
        ties=draw(st.sampled_from(["stable", "shuffled"])),
        arrive=draw(chance),
        arrive_late=draw(chance),
        late_range=(BEGIN, at + 1),
        expire=draw(chance),
        stale=draw(chance),
        fail=draw(chance) / 3,
        cap=cap,
        cap_counts=draw(st.booleans()),
        beyond=draw(st.sampled_from(["empty", "404"])),
    )
    edges = [BEGIN - 1, at + 1, *(instant(item["logged_at"]) for item in logs)]
    start = draw(st.sampled_from(edges)) + draw(st.sampled_from([0, 1]))
    end = draw(st.sampled_from(edges)) + draw(st.sampled_from([0, 1]))
    return model, min(start, end), max(start, end, min(start, end) + 1)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(), st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
def test_complete_or_an_error(world, concurrency, seed):
    """The listing changes in any way: a read is exact or it fails with one of our errors.

    One thing looks like a smaller workspace: a cap in a listing that can neither be sorted nor counts what it
    hides.
    """
    model, start, end = world
    before = set(model.ever)
    try:
        ids, report = read(model, start, end, seed=seed, concurrency=concurrency)
    except SecodaError:
        return
    if model.cap is not None and model.cap_counts and report.order == "everything":
        return
    check(model, start, end, before, ids)


def test_the_bytes_that_were_sent_are_emitted():
    """What is emitted is the JSON text of each log as it was in the answer."""
    model = Model(spaced(12), page_size=5)
    got = drive(read_window(WindowQuery(BEGIN, BEGIN + 12 * SECOND), WindowReport()), model)
    assert {item.raw for item in got} == {json.dumps(item).encode() for item in model.logs}


# --- found by adversarial review ------------------------------------------------------------------------------------


def survive(model, start, end, **options):
    """Assert that a read is exact or fails."""
    before = set(model.ever)
    try:
        ids, _ = read(model, start, end, **options)
    except SecodaIncompleteError:
        return
    check(model, start, end, before, ids)


class Shrinking(Scripted):
    """A listing in which logs are deleted, anywhere."""

    def delete(self, share):
        if self.logs:
            self.expired.add(self.logs.pop(int(len(self.logs) * share))["id"])


@pytest.mark.parametrize("how_many", [1, 12])
@pytest.mark.parametrize("share", [0.95, 0.6, 0.45])
@pytest.mark.parametrize("page_size", [2, 5])
def test_deletions_anywhere_lose_nothing_else(how_many, share, page_size):
    """On any request that a deletion falls on, before, within or behind the window, no other log is lost."""
    for request in range(2, 40):
        model = Shrinking(spaced(100), page_size=page_size)
        model.moves = {request: [lambda m: m.delete(share)] * how_many}
        survive(model, BEGIN + 30 * SECOND, BEGIN + 70 * SECOND, concurrency=1 + 3 * (request % 2), seed=request)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize("share", [0.95, 0.45])
@pytest.mark.parametrize("tie", [1, 3])
def test_steady_deletions_lose_nothing_else(every, share, tie):
    """While a log is deleted with every few requests, no other is lost."""
    for window in [(6, 18), (20, 54), (70, 95)]:
        model = Shrinking([log(n, BEGIN + n // tie * SECOND) for n in range(100)], page_size=5)
        model.moves = {request: [lambda m: m.delete(share)] for request in range(1, 60, every)}
        survive(model, BEGIN + window[0] // tie * SECOND, BEGIN + window[1] // tie * SECOND)


@pytest.mark.parametrize("ties", ["stable", "shuffled"])
@pytest.mark.parametrize("share", [0.45, 0.6, 0.3])
@pytest.mark.parametrize("every", [2, 3, 5, 7])
def test_a_deletion_in_a_tie_over_a_page_edge_is_noticed(share, every, ties):
    """A log that is deleted from a tie over a page's edge is not mistaken for shuffled ties."""
    for count in (56, 60):
        for window in ((1, 6), (0, 4)):
            model = Shrinking([log(n, BEGIN + n // 8 * SECOND) for n in range(count)], page_size=5, ties=ties)
            model.moves = {request: [lambda m: m.delete(share)] for request in range(every, 120, every)}
            survive(model, BEGIN + window[0] * SECOND, BEGIN + window[1] * SECOND, concurrency=1)


@pytest.mark.parametrize("share", [0.95, 0.6, 0.45])
def test_deletions_under_a_round_count_lose_nothing_else(share):
    """Where ``count`` may be capped, a deletion does not show in it: pages are read twice."""
    for request in range(2, 30):
        model = Shrinking(spaced(1500), page_size=50, cap=1000)
        model.moves = {request: [lambda m: m.delete(share)]}
        survive(model, BEGIN + 600 * SECOND, BEGIN + 1450 * SECOND, seed=request)


@pytest.mark.parametrize(("count", "hidden", "window"), [(5, 2, (1, 4)), (100, 97, (96, 99)), (9, 2, (1, 3))])
def test_a_short_only_page_fails(count, hidden, window):
    """A log that an answer counts and does not show is missed also when that one answer holds the window."""
    model = Model(spaced(count), page_size=5, hidden=frozenset({f"log-{hidden:06d}"}))
    with pytest.raises(SecodaIncompleteError):
        read(model, BEGIN + window[0] * SECOND, BEGIN + window[1] * SECOND)


@pytest.mark.parametrize("hidden", [{1}, {0, 1}])
def test_a_last_page_that_lacks_logs_fails(hidden):
    """A short last page is an error if the count is higher."""
    model = Model(spaced(100), page_size=5, hidden=frozenset(f"log-{n:06d}" for n in hidden))
    with pytest.raises(SecodaIncompleteError):
        read(model, BEGIN - SECOND, BEGIN + 30 * SECOND)


def test_rows_shown_twice_are_emitted_once():
    """A listing that shows every row twice with the same content (a join gone wrong) emits each once, and warns."""

    class Doubled(Model):
        def _sorted(self, rows, sort):
            return [row for row in super()._sorted(rows, sort) for _ in range(2)]

    for count, page_size in ((4, 50), (40, 10)):
        ids, report = read(Doubled(spaced(count), page_size=page_size), BEGIN, BEGIN + 40 * SECOND)
        assert sorted(ids) == [f"log-{n:06d}" for n in range(count)]
        assert f"log {ids[0]!r} is listed more than once with the same content" in report.warnings[0]


def test_a_listing_that_is_truncated_in_a_tie_is_noticed():
    """A listing that is truncated between logs of one timestamp is not complete: the rest comes from the other end."""
    logs = [log(n, BEGIN + max(0, n - 4) * SECOND) for n in range(40)]
    model = Model(logs, page_size=6, cap=37)
    ids, report = read(model, BEGIN, BEGIN + 20 * SECOND)
    assert sorted(ids) == sorted(within(model, BEGIN, BEGIN + 20 * SECOND))
    assert report.order == "both_ends"


def test_a_late_arrival_behind_the_end_is_not_a_truncation():
    """A log that arrives behind the end while it is read is not mistaken for a truncated listing."""
    for request in range(3, 20):
        model = scripted({request: [lambda m: m._add(BEGIN - SECOND)]})
        before = set(model.ever)
        ids, report = read(model, BEGIN - 2 * SECOND, BEGIN + 30 * SECOND)
        check(model, BEGIN - 2 * SECOND, BEGIN + 30 * SECOND, before, ids)
        assert report.order == "newest_first"


def test_a_clamped_page_number_is_not_a_page():
    """A server that answers a page behind the end with the last one is not read as if it were that page."""

    class Clamping(Model):
        def answer(self, request):
            response = super().answer(request)
            if response.status == 404:
                total = -(-len(self.logs[: self.cap]) // self.page_size)
                params = tuple((name, str(total) if name == "page" else value) for name, value in request.params)
                response = super().answer(type(request)(request.path, params))
            return response

    model = Clamping(spaced(100), page_size=5, cap=50, cap_counts=False, beyond="404")
    with pytest.raises(SecodaIncompleteError, match="the listing is truncated"):
        read(model, BEGIN + 40 * SECOND, BEGIN + 52 * SECOND)


def test_an_unsortable_listing_with_a_missing_page_fails():
    """A page that is not shown before the last one fails a read of everything."""
    model = Model(spaced(100), page_size=5, sort="refused", cap=50, cap_counts=False, beyond="404")
    with pytest.raises(SecodaIncompleteError, match="is empty or refused"):
        read(model, BEGIN, BEGIN + 98 * SECOND)


def test_a_truncated_unordered_listing_that_showed_more_fails():
    """Logs that are in the sorted listing, but not in the unsorted one, show that it is truncated."""

    class Broken(Model):
        def _sorted(self, rows, sort):
            rows = super()._sorted(rows, sort)
            if sort is None:
                return sorted(rows, key=lambda row: row["id"])
            rows[12:24] = rows[12:24][::-1]
            return rows

    model = Broken(spaced(100), page_size=5, cap=50)
    with pytest.raises(SecodaIncompleteError, match="the listing is truncated"):
        read(model, BEGIN + 60 * SECOND, BEGIN + 98 * SECOND)
