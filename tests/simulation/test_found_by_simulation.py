"""Worlds in which the reader once lost or repeated a log; the mutants are tested with them, too."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from airflow_provider_secoda.client._audit_logs.listing import Listing
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.page_pairs import read_page_pair
from airflow_provider_secoda.client._audit_logs.window import WindowQuery
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client.errors import SecodaIncompleteError
from airflow_provider_secoda.client.filters import Filter, Sort
from tests.simulation.play import play
from tests.simulation.reading import SimulatedRead
from tests.simulation.scenarios import exact, exact_or_refused, read, refused, spaced
from tests.simulation.world import BEGIN, SECOND, Manners, World, row

if TYPE_CHECKING:
    from airflow_provider_secoda.client._audit_logs.consistency import Snapshot


def test_one_id_at_two_timestamps():
    """An id with two timestamps, at any distance, is never returned twice."""
    rows = spaced(400)
    rows.append(row(1000, BEGIN + 20 * SECOND + 1, id_=rows[350].id))
    for page_size in (2, 5, 100):
        reading = read(World(list(rows), Manners(page_size=page_size)), 5, 390)
        refused(reading, "two different timestamps" if page_size == 2 else "")


def test_a_log_edited_behind_the_reader():
    """A log that gets a newer timestamp after it was read, and is read again, fails the read."""
    for answer in range(10, 30, 4):
        world = World(spaced(400), Manners(page_size=2))
        refused(
            read(world, 5, 390, {answer: [lambda world: world.edit(7, BEGIN + 370 * SECOND + 1)]}),
            "two different timestamps",
        )


def test_an_ignored_sort_that_moves_between_the_two_ends():
    """Two first pages of one timestamp each do not prove an order: they differ as well when the listing moved."""
    for page_size, tie, last in ((1, 1, 18), (5, 10, 2.5)):
        for answer in range(6):
            world = World(spaced(40, tie), Manners(page_size=page_size, order="ignored", default="oldest"))
            expiries = [lambda world: world.expire()] * tie
            exact_or_refused(read(world, 1.5, last, {answer: expiries}, backwards=True, concurrency=2))


def test_a_listing_truncated_in_a_tie_longer_than_a_page():
    """A listing truncated within a tie that also fills the first pages of the other end is not complete."""
    rows = [row(serial, BEGIN) for serial in range(12)] + [row(serial, BEGIN + SECOND) for serial in range(12, 20)]
    world = World(rows, Manners(page_size=2, cap=10, ties="ignored"))
    exact_or_refused(read(world, 0, 0.5))
    assert len(read(world, 0, 0.5).got) != 2


def test_a_truncated_tie_that_cannot_be_sorted():
    """If all logs have one timestamp, logs that only the two ends show prove that the listing is truncated."""
    refused(
        read(World([row(serial, BEGIN) for serial in range(12)], Manners(page_size=5, cap=5, ties="refused")), 0, 1)
    )


def test_a_first_page_that_lacks_logs():
    """A page longer than page 1 shows that page 1 lacks some."""
    rows = spaced(20)
    hidden = frozenset(rows[serial].id for serial in (18, 17, 3, 2))
    refused(read(World(rows, Manners(page_size=5, hidden=hidden, cap=10)), 12, 20))


def test_a_reversed_listing_that_is_truncated():
    """Pages of the oldest logs only are not the complete listing if both ends show newer ones."""
    world = World(spaced(40), Manners(page_size=5, order="reversed", default="oldest", cap=20))
    refused(read(world, 10, 35), "the listing is truncated")


def test_an_unordered_listing_at_a_cap():
    """If the count may be capped, every page of both orders is compared, not page 1 alone."""
    rows = spaced(30)
    rows = [row(item.serial, item.logged, id_=f"{(item.serial not in (0, 29)):d}-{item.serial}") for item in rows]
    world = World(rows, Manners(page_size=1, order="broken", default="scrambled", cap=10))
    world.manners.misplaced, world.manners.jump = frozenset({rows[26].id}), 2
    refused(read(world, 20, 28))


def test_a_stale_page_read_again_in_between():
    """A page between the two ends that is read again must not come from before a deletion that they showed."""
    for place in (16, 17, 18, 19):
        for answer in range(3, 8):
            for since in range(answer + 1, answer + 7):

                def copy(at: int, page: int, since: int = since) -> int:
                    return int(at >= since and page == 3)

                world = World(spaced(24, 4), Manners(page_size=2, ties="ignored"))
                deletion = {answer: [lambda world, place=place: world.delete(place)]}
                exact_or_refused(read(world, 4, 4.000001, deletion, copy=copy))


def test_logs_that_only_the_two_ends_show():
    """Logs that a cap hid until older logs expired, and that one end then shows, belong to the window."""
    rows = spaced(12)
    for begin in range(8, 30):
        manners = Manners(page_size=5, order="broken", default="oldest", misplaced=frozenset({rows[9].id}), cap=10)
        expiries = {answer: [World.expire] for answer in range(begin, begin + 4)}
        exact_or_refused(read(World(rows, manners), 8, 11.5, expiries))


def test_new_logs_with_a_count_at_a_cap():
    """If the count is at a cap and did not grow, newer logs at both ends are not new: the cap hid them."""
    rows = spaced(12)
    misplaced = frozenset(rows[serial].id for serial in (3, 4, 6, 7))
    manners = Manners(page_size=7, order="broken", default="oldest", cap=5, misplaced=misplaced)
    refused(read(World(rows, manners), 6, 8), "the listing is truncated")
    misplaced = frozenset(rows[serial].id for serial in (0, 4, 6, 7, 11))
    manners = Manners(page_size=7, order="broken", default="oldest", cap=6, misplaced=misplaced)
    refused(read(World(rows, manners), 6, 11), "the listing is truncated")


def test_a_count_that_depends_on_the_sort():
    """A listing that has another count when it is sorted is truncated before it is filtered."""
    user = Filter.parse({"operator": "exact", "field": "performer_type", "value": "USER"})
    manners = Manners(page_size=5, order="reversed", default="oldest", cap=20, cap_counts=False, cap_first=True)
    refused(read(World(spaced(30), manners), 0, 25, filter=user))
    manners = Manners(page_size=1, order="reversed", default="scrambled", cap=18, cap_counts=False, cap_first=True)
    moves: dict = {9: [World.expire], 19: [World.arrive]}
    refused(read(World(spaced(26), manners), 7, 10, moves, filter=user), "`count` is 12 sorted")


def test_an_other_end_that_shows_nothing():
    """A listing that counts logs and shows none at its other end is not complete."""
    rows = spaced(28)
    for answer in range(2, 14):
        withheld = frozenset(rows[serial].id for serial in (2, 3))
        manners = Manners(page_size=2, cap=5, cap_first=True, withheld=withheld)
        expiries: dict = {answer: [World.expire, World.expire]}
        refused(read(World(rows, manners), 2, 13, expiries))


def test_a_listing_that_grows_beyond_its_only_page():
    """If the only page of a listing becomes several during the read, no order is known, and none is assumed."""
    for answer in range(2, 8):
        world = World([row(0, BEGIN + SECOND)], Manners(page_size=1, order="reversed", default="stored"))
        late: dict = {answer: [lambda world, at=at: world.arrive_late(BEGIN + at) for at in (1, 2, 3)]}
        exact_or_refused(read(world, 1, 1.5, late))


def test_an_other_end_that_begins_in_what_was_shown():
    """If a truncated listing shows the newest logs first in both directions, its other end is not the oldest one."""
    rows = spaced(40)
    for since in range(2, 40):
        world = World(list(rows), Manners(page_size=1, order="half", cap=20, cap_counts=False))
        moves: dict = {1: [World.arrive], 3: [World.arrive]}
        exact_or_refused(read(world, 9, 20, moves, copy=lambda at, _, since=since: int(at < since and at % 2 == 0)))


def test_a_server_that_stops_sorting_oldest_first():
    """A truncated listing that shows the newest logs first when its other end is requested is refused."""

    def stop(world: World) -> None:
        world.manners.order = "half"
        world._sorted.clear()

    for answer in range(2, 16):  # the other end is requested after answer 15
        world = World(spaced(40), Manners(page_size=1, cap=20, cap_counts=False))
        refused(read(world, 9, 41, {answer: [stop]}), "truncated")


def test_a_second_page_of_a_tie_that_is_not_shown():
    """A tie that fills the first page from the other end as well, whose next page is refused, is not complete."""
    rows = [row(serial, BEGIN) for serial in range(8)] + [
        row(serial, BEGIN + serial * SECOND) for serial in range(8, 14)
    ]
    for answer in range(8, 24):
        world = World(list(rows), Manners(page_size=2, cap=10, ties="ignored"))
        exact_or_refused(read(world, 0, 20, hidden={answer}))


def test_an_ignored_sort_of_which_one_end_is_outdated():
    """Two first pages that differ because one comes from an outdated replica do not prove an order."""
    for odd in (0, 1):
        world = World(spaced(40), Manners(page_size=1, order="ignored", default="oldest"))
        world.expire()
        exact_or_refused(read(world, 20, 45, copy=lambda answer, _, odd=odd: int(answer % 2 == odd)))


def test_an_order_that_counts_logs_and_shows_none():
    """A listing that counts logs and shows none in one of the two orders is not complete without an order either."""
    rows = spaced(40)
    hidden = frozenset(item.id for item in rows[:5])
    world = World(rows, Manners(page_size=3, ties="refused", cap=5, hidden=hidden))
    refused(read(world, 10, 39), "but page 1 is empty")


@pytest.mark.parametrize(
    "seed",
    [
        *(612331642838, 612331658265, 612331662678, 1023216087303, 1023216105091, 1023216127917),
        *(1023216148151, 1023216160796, 1023216204593, 1023216223490, 1023216248548),
        *(448654829551, 448654874645, 448654895460, 448654954676, 448654973459, 285969285993),
        *(514096696702, 141712059670),
    ],
)
def test_seeds_that_failed_once(seed):
    """Seeds that failed once, because of the reader or of the expected logs, succeed."""
    assert play(seed).wrong == []


def test_ends_that_were_never_in_their_places_together():
    """A deletion in front of two pages, and later an arrival and an expiry between the two re-reads, lose no log.

    The two pages are read again in parallel. Each shows the logs that it showed before, and ``count`` fell only once;
    but one of them was read before the deletion and after the arrival, and the other one in between.
    """
    for deleted, moved, backwards in product(range(2, 9), range(3, 13), (False, True)):
        script = {deleted: [lambda world: world.delete(27)], moved: [World.arrive, World.expire]}
        if moved > deleted:
            world = World(spaced(30), Manners(page_size=5))
            exact_or_refused(read(world, 16, 21, script, backwards=backwards, concurrency=4))


def test_one_change_that_is_undone():
    """A deletion in front of the window and a late arrival there, in either order, lose no log while others arrive.

    The logs arrive behind the pages, so ``count`` grows with each answer and does not show the deletion.
    """
    for first, length, place, backwards, late, window in product(
        range(2, 12), range(1, 9), (2, 7), (False, True), (False, True), ((16, 24), (15, 40))
    ):

        def delete(world: World, place: int = place) -> None:
            world.delete(place)

        def arrive_late(world: World, place: int = place) -> None:
            world.arrive_late(BEGIN + place * SECOND + 3)

        script: dict = {answer: [World.arrive] for answer in range(2, 40)}
        for answer, move in zip((first, first + length), (arrive_late, delete)[:: 1 if late else -1], strict=True):
            script[answer] = [*script[answer], move]
        world = World(spaced(60), Manners(page_size=5))
        exact(read(world, *window, script, backwards=backwards, concurrency=4))


def test_a_deletion_that_an_arrival_hides_and_a_late_one_undoes():
    """A deletion in front of the last page alone, that ``count`` does not show, and a late arrival lose no log.

    The late arrival comes between the second reads of the last and of the first page.
    """
    for first, length, place, backwards, size in product(range(4, 12), range(1, 5), (2, 7), (False, True), (5, 7)):

        def delete(world: World, place: int = place) -> None:
            world.delete(place)

        def arrive_late(world: World, place: int = place) -> None:
            world.arrive_late(BEGIN + place * SECOND + 3)

        script: dict = {first: [World.arrive, delete], first + length: [arrive_late]}
        world = World(spaced(60), Manners(page_size=size))
        exact(read(world, 15, 40, script, backwards=backwards, concurrency=4))


def test_a_page_of_the_search_that_is_outdated():
    """A page that the search has read is not believed when another answer has shown since that the listing changed.

    One log is deleted, another one arrives, and one answer between them shows the smaller ``count``. The pages of the
    result and their counts agree all the same.
    """
    rows = [row(serial, BEGIN + (60**3 - (60 - serial) ** 3) * SECOND) for serial in range(60)]
    first, last = ((rows[serial].logged - BEGIN) / SECOND for serial in (24, 50))
    for answer, place in product(range(2, 12), range(20, 56)):
        moves = {
            answer: [lambda world, place=place: world.delete(place)],
            answer + 1: [lambda world: world.arrive(SECOND)],
        }
        exact(read(World(list(rows), Manners(page_size=3)), first, last, moves), "sorted")


def test_an_answer_that_arrives_before_an_older_one():
    """The ``count`` of an answer counts for all pages that were in flight with it, also for those that arrive later.

    One log arrives and one is deleted. Only an answer that the server sent in between shows the larger ``count``, and
    it arrives before a page that the server sent before it.
    """
    rows = [row(serial, BEGIN + (59**3 - (59 - serial) ** 3) * SECOND) for serial in range(60)]
    first, last = rows[25].logged - 1, rows[29].logged + 1
    for answer, place in product(range(4, 14), (26, 27, 28)):
        world = World(list(rows), Manners(page_size=2))
        moves = {answer: lambda world: world.arrive(SECOND), answer + 1: lambda world, place=place: world.delete(place)}
        reading = SimulatedRead(world, WindowQuery(first, last, concurrency=8))
        while not reading.done:
            for index in reversed(range(len(reading.flight))):
                if reading.flight[index][1] is None:
                    moves.pop(world.requests, lambda _: None)(world)
                    reading.serve(index)
            reading.deliver(0)
        exact(reading, "sorted")


def test_a_listing_that_is_cut_to_its_newest_logs_in_both_orders():
    """A listing that counts more logs than it shows, and shows the same ones from both ends, is not complete."""
    for tie, page_size, beyond, ties in product(
        (1, 3, 7), (2, 5, 7), ("empty", "404", "clamped_silently"), ("honoured", "ignored")
    ):
        manners = Manners(page_size=page_size, cap=30, cap_counts=False, cap_newest=True, beyond=beyond, ties=ties)
        world = World(spaced(60, tie), manners)
        refused(read(world, 0, 60), "" if beyond == "clamped_silently" else "truncated")
        for first in (27, 30, 31):
            exact_or_refused(read(world, first / tie, 60 / tie))
        exact_or_refused(read(world, 0, 20 / tie))


def test_a_truncated_listing_that_repeats_its_last_page_within_a_tie():
    """A last page that is shown for all numbers after it does not have further logs of the tie that it ends in."""
    seconds = (2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 6, 6, 7, 7, 7, 7, 8, 8)
    for first, size, cap, concurrency in product(range(0, 900, 300), (2, 3, 5), (8, 10, 12), (1, 4)):
        rows = [row(first + serial, BEGIN + second * SECOND) for serial, second in enumerate(seconds)]
        world = World(rows, Manners(page_size=size, cap=cap, cap_counts=False, beyond="clamped_silently"))
        for last in (3.5, 4.000001, 4.5, 5.5):
            exact_or_refused(read(world, -20, last, concurrency=concurrency))


def test_a_truncated_listing_that_repeats_its_last_page_is_read_from_both_ends():
    """A page that shows the same logs as the page before it ends the listing; the other end shows the rest."""
    for size, count, moves in product((2, 4, 5), (32, 36), ((), (World.arrive,))):
        world = World(spaced(count), Manners(page_size=size, cap=20, cap_counts=False, beyond="clamped_silently"))
        exact(read(world, -1, count - 1, {7: list(moves)}, concurrency=2), "both_ends")


def read_pair(world: World, first: int) -> Snapshot:
    """Read two neighbouring pages newest first, in turn."""
    listing = Listing("logged_at", None, WindowReport(), Sort("logged_at", "desc", tie_breaker=True))
    flow = read_page_pair(listing, first, 0, page_size=world.manners.page_size, known=None)
    wire = exchange(flow, base_url="https://api.secoda.co")
    attempts = wire.send(None)
    with pytest.raises(StopIteration) as stop:
        while True:
            attempts = wire.send((attempts[0], world.answer(attempts[0].request)))
    return stop.value.value


def test_a_log_of_a_tie_on_both_pages_of_a_pair():
    """It does not show that the pages overlap: the other log of the tie may be on none of them."""
    read = 0
    for first in range(0, 2000, 100):
        rows = [row(first + serial, BEGIN + (serial - (serial > 3)) * SECOND) for serial in range(8)]
        world = World(rows, Manners(page_size=4, ties="by_page"))
        try:
            snapshot = read_pair(world, 1)
        except SecodaIncompleteError:
            continue
        read += 1
        assert {log.id for log in snapshot.logs} == {item.id for item in rows}
    assert read


def test_two_equal_pages_end_the_listing():
    """Also where pages are read in pairs: the second one has no logs after those of the first."""
    world = World(spaced(30), Manners(page_size=5, cap=10, cap_counts=False, beyond="clamped_silently"))
    snapshot = read_pair(world, 2)
    assert [page.number for page in snapshot.pages] == [2]
    assert snapshot.at_end


def test_pages_of_one_timestamp_may_be_equal():
    """If the order of a tie depends on the page, two pages may show the same logs: the listing does not end there."""
    equal = 0
    for first in range(0, 3000, 100):
        rows = [
            row(first + serial, BEGIN + (serial > 0) * SECOND + (serial > 4) * serial * SECOND) for serial in range(12)
        ]
        world = World(rows, Manners(page_size=1, ties="by_page"))
        reading = read(world, -1, 20)
        exact_or_refused(reading)
        equal += reading.error is None and reading.report.repeats_dropped > 0
        assert "truncated" not in str(reading.error)
    assert equal
