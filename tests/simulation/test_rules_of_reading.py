"""The rules of the reader in small worlds; the mutants are tested with them."""

from __future__ import annotations

from random import Random
from typing import Any

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._audit_logs.consistency import overlap
from airflow_provider_secoda.client._audit_logs.gaps import find_covered_gaps, not_covered
from airflow_provider_secoda.client._audit_logs.listing import Listing
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.read_direction import begins_late
from airflow_provider_secoda.client.filters import Sort
from tests.simulation.reading import SimulatedRead
from tests.simulation.scenarios import WindowQuery, exact, exact_or_refused, read, refused, spaced
from tests.simulation.world import BEGIN, SECOND, Manners, World, row


def test_calm_windows_are_exact():
    """Every window of a calm listing is exact, newest first, for any page size and ties."""
    for page_size, tie in ((1, 1), (2, 1), (5, 1), (5, 3), (4, 7), (100, 2)):
        for first, last in ((-9, -4), (-1, 4), (0, 3), (2, 5), (3, 50), (2.5, 2.6), (1, 1.000001)):
            world = World(spaced(24, tie), Manners(page_size=page_size))
            order = "" if page_size <= tie else "sorted"
            exact(read(world, first, last), order)
            assert world.requests < 60


def test_steady_arrivals_and_expiries_are_read():
    """A listing that changes steadily is read, not refused."""
    for every in (2, 3, 5):
        moves = {answer: [lambda world: world.arrive(SECOND)] for answer in range(0, 200, every)}
        moves |= {answer: [lambda world: world.expire()] for answer in range(1, 200, every)}
        exact(read(World(spaced(60), Manners(page_size=5)), 25, 52, moves), "sorted")


def test_a_listing_that_comes_to_rest_is_read():
    """A listing that changed with every response is read completely after it stops changing."""
    for last in (31, 34, 37):
        moves = {answer: [lambda world: world.arrive(SECOND)] for answer in range(2, last)}
        exact(read(World(spaced(60), Manners(page_size=5)), 20, 45, moves), "oldest_first")


def test_shuffled_ties_are_read():
    """Ties over page edges in another order with each answer are read, not refused."""
    for seed in range(6):
        exact(read(World(spaced(60, 3), Manners(page_size=7, ties="shuffled"), seed), 4, 17), "sorted")


def test_both_ends_are_reached_and_the_middle_is_an_error():
    """Logs that a cap hides at one end are read from the other; if both ends hide them, the error names the part."""
    for counts in (True, False):
        for tie in (1, 4):
            manners = {"page_size": 5, "cap": 21 if counts else 20, "cap_counts": counts}
            exact(read(World(spaced(60, tie), Manners(**manners)), -1, 20 // tie - 1), "both_ends")
            exact(read(World(spaced(32, tie), Manners(**manners)), 0, 32 // tie), "both_ends")
            refused(read(World(spaced(60, tie), Manners(**manners)), 0, 40 // tie), "cannot be reached")


def test_a_late_arrival_at_the_end_is_not_a_truncation():
    """A log that arrives behind the end while it is read is not mistaken for a truncation."""
    for answer in range(2, 12):
        world = World(spaced(20), Manners(page_size=5))
        reading = read(world, -2, 8, {answer: [lambda world: world.arrive_late(BEGIN - SECOND)]})
        exact(reading, "sorted")


def test_deletions_at_every_answer_lose_nothing_else():
    """On any answer that a deletion or an expiry of a full page falls on, no other log is lost."""
    for place in (95, 60, 45):
        for tie in (1, 8):
            for often in (1, 12):
                for answer in range(3, 14):
                    world = World(spaced(100, tie), Manners(page_size=5))
                    moves = {answer: [lambda world, place=place: world.delete(place)] * often}
                    exact_or_refused(read(world, 30 // tie, 70 // tie, moves))


def test_steady_deletions_lose_nothing_else():
    """While a log is deleted with every second or third answer, no other is lost."""
    for every in (2, 3):
        for share in (0.95, 0.5):
            for tie in (1, 8):
                moves = {
                    answer: [lambda world, share=share: world.delete(int(len(world.rows) * share))]
                    for answer in range(1, 60, every)
                }
                for ties in ("honoured", "shuffled"):
                    world = World(spaced(100, tie), Manners(page_size=5, ties=ties))
                    exact_or_refused(read(world, 20 // tie, 54 // tie, moves))


def test_one_move_at_any_answer_loses_nothing():
    """An arrival, an expiry or both before any response, with any order of responses, lose nothing."""

    def arrive(world: World) -> None:
        world.arrive(SECOND)

    def arrive_late(world: World) -> None:
        world.arrive_late(BEGIN + 30 * SECOND + 7)

    for moves in ([arrive], [arrive, World.expire], [arrive_late], [arrive_late, World.expire], [arrive] * 7):
        for answer in range(14):
            for backwards in (False, True):
                world = World(spaced(50), Manners(page_size=5))
                exact(read(world, 20, 45, {answer: moves}, backwards=backwards, concurrency=4))


def test_an_arrival_with_an_expiry_keeps_the_count():
    """Logs that arrive while others expire do not change the count, so it proves nothing."""

    def both(world: World) -> None:
        world.arrive(SECOND)
        world.expire()

    for first in range(2, 9):
        for second in range(first + 1, 12):
            for concurrency in (1, 4):
                world = World(spaced(50), Manners(page_size=5))
                exact(read(world, 15, 47, {first: [both], second: [both]}, concurrency=concurrency))


def test_deletions_under_a_cap_lose_nothing_else():
    """If the count is at a cap, a deletion does not change it."""
    for place in (95, 60, 45):
        for answer in range(3, 30):
            world = World(spaced(100), Manners(page_size=5, cap=66))
            exact_or_refused(read(world, 40, 98, {answer: [lambda world, place=place: world.delete(place)]}))


def test_a_last_page_that_lacks_logs_fails():
    """A page that is short before the last one, and a short last or only page, is not passed over."""
    for count, lacking, first, last in (
        (100, 1, -1, 30),
        (100, 50, 20, 80),
        (5, 2, 1, 4),
        (100, 97, 96, 99),
        (9, 2, 1, 3),
    ):
        rows = spaced(count)
        refused(read(World(rows, Manners(page_size=5, hidden=frozenset({rows[lacking].id}))), first, last))


def test_a_clamped_page_is_not_a_page():
    """A server that answers a page behind the end with the last one is not read as if it were that page."""
    for beyond in ("clamped", "404", "empty"):
        refused(
            read(World(spaced(100), Manners(page_size=5, cap=50, cap_counts=False, beyond=beyond)), 40, 52), "truncated"
        )
        refused(
            read(World(spaced(100), Manners(page_size=5, cap=50, cap_counts=False, beyond=beyond)), 0, 98), "truncated"
        )
        unsorted = Manners(page_size=5, cap=50, cap_counts=False, beyond=beyond, order="refused")
        refused(read(World(spaced(100), unsorted), 0, 98), "truncated")


def test_rows_shown_twice_do_not_come_twice():
    """A listing that shows every row twice with the same content (a join gone wrong) returns each once."""
    for count, page_size in ((4, 50), (40, 10), (40, 4)):
        rows = spaced(count)
        doubled = frozenset(item.id for item in rows)
        exact(read(World(rows, Manners(page_size=page_size, doubled=doubled)), 0, 40), "sorted")


def test_a_truncation_that_the_two_ends_show_fails():
    """What the listing showed when it was sorted, and does not show unsorted, is truncated."""
    rows = spaced(100)
    jumping = frozenset(rows[place].id for place in (87, 86, 85, 80))
    for default in ("oldest", "stored", "scrambled"):
        manners = Manners(page_size=5, order="broken", default=default, misplaced=jumping, jump=3, cap=50)
        refused(read(World(rows, manners), 60, 98))


def test_copies_that_disagree_are_noticed():
    """Pages that come from copies of which one lags are not put together, as long as the copies count differently."""
    for page_size, threshold in ((2, 11), (2, 14), (2, 18), (5, 5), (5, 6), (5, 7), (5, 8)):
        for until in (6, 8, 9, 10, 11, 12, 14, 16, 18, 1000):
            world = World(spaced(60), Manners(page_size=page_size))
            world.arrive(SECOND)

            def copy(answer: int, page: int, threshold: int = threshold, until: int = until) -> int:
                return int(page >= threshold and answer < until)

            exact_or_refused(read(world, 20, 40, copy=copy))


def test_a_page_that_is_sometimes_refused_is_not_a_truncation():
    """A page that is refused once in a while is requested again, and is not mistaken for a truncation."""
    for first in range(4, 10):
        for second in range(first + 3, first + 9):
            reading = read(World(spaced(60), Manners(page_size=5)), 20, 57, hidden=(first, second))
            exact(reading, "sorted")


def test_a_known_cap_that_cannot_be_sorted_fails():
    """Exactly 10,000 logs that cannot be sorted may be a cap."""
    refused(read(World(spaced(10_000), Manners(page_size=2500, order="refused")), 0, 9), "10000")


def test_a_count_without_logs_fails():
    """A listing that counts logs and shows none is an error, not an empty listing."""
    rows = spaced(3)
    refused(read(World(rows, Manners(hidden=frozenset(item.id for item in rows))), 0, 9), "counts 3")


def test_windows_are_exact_to_the_microsecond():
    """A log one microsecond from a window's edge is on the right side of it, byte for byte as it was sent."""
    rows = [row(serial, BEGIN + 10 * SECOND + serial) for serial in range(30)]
    for first in (3, 10, 11, 19):
        reading = read(World(rows, Manners()), 10 + first / SECOND, 10 + (first + 7) / SECOND)
        exact(reading)
        assert len(reading.got) == 7


def test_an_order_that_breaks_between_pages_is_noticed():
    """Pages that are in order, but not in order with each other, are not read as if they were."""
    rows = spaced(150)
    manners = Manners(page_size=2, order="broken", misplaced=frozenset({rows[129].id, rows[128].id}), jump=106)
    exact(read(World(rows, manners), 5, 200), "everything")


def test_a_page_out_of_order_proves_nothing():
    """One response that is out of order proves nothing, even if it contains the complete window."""
    rows = spaced(40)
    for place in (12, 15):
        world = World(rows, Manners(page_size=5, order="broken", misplaced=frozenset({rows[place].id})))
        exact(read(world, place - 0.5, place + 0.5), "everything")


def test_an_order_by_another_field_is_noticed():
    """A default order that is newest first by chance is not mistaken for an honoured sort."""
    late = row(500, BEGIN + 50 * SECOND + 1, BEGIN + 99 * SECOND + 1)
    exact(read(World([*spaced(100), late], Manners(page_size=10, order="other")), 45, 55), "everything")


def page_of(*times: float, number: int = 1, names: str = "") -> Page:
    """Return a page with logs at these seconds; the id of a log is its time, or its letter."""
    ids = names or [str(at) for at in times]
    logs = tuple(Log(int(at * 10), id_, f"{id_} {at}".encode()) for at, id_ in zip(times, ids, strict=True))
    return Page(number, logs, 100, 20)


def covered(pages: list[Page], *others: Page) -> dict[int, list[str]]:
    """Return which gaps between full pages, newest first, are covered, and the ids of the logs in them."""
    listing = Listing("logged_at", None, WindowReport(), Sort("logged_at", "desc"), recent=[*pages, *others])
    found: dict[int, Any] = find_covered_gaps(listing, pages, len(pages[0].logs))
    return {index: [log.id for log in logs] for index, logs in found.items()}


def test_a_third_page_covers_a_gap():
    """A page that goes on at both sides of a gap shows all logs in it, in either order; overlaps have no gap."""
    pages = [page_of(19, 18, 17, 16), page_of(13, 12, 11, 10, number=2)]
    assert covered(pages) == {}
    assert covered(pages, page_of(17, 16, 14, 13), page_of(14, 13, 12, 11)) == {}
    assert covered(pages, page_of(12, 13, 16, 17)) == {0: ["13", "16"]}
    assert covered(pages, page_of(17, 16, 13, 12)) == {0: ["16", "13"]}
    pages = [page_of(19, 18, 17, 16), page_of(15, 14, 13, 12, number=2)]
    assert covered([pages[0], page_of(17, 16, 15, 14, number=2)]) == {0: []}
    assert covered([pages[1], pages[0]], page_of(17, 16, 15, 14)) == {}
    pages = [page_of(*range(first, first - 6, -1)) for first in (21, 13, 15)]
    assert covered(pages, page_of(17, 16, 15, 14, 13, 12)) == {0: ["16", "15", "14", "13"]}


def test_logs_that_differ_are_no_overlap():
    """Logs of one timestamp overlap by chance; a last one with the same id and another timestamp proves no shift."""
    upper = page_of(20, 20, 20, 20, names="abcd")
    assert overlap(page_of(21, 20, 20, 19, names="abcd"), page_of(20, 20, 19, 18, names="bcde")) == 3
    assert overlap(upper, page_of(20, 20, 20, 19, names="bcde")) == 0
    assert overlap(upper, page_of(20, 20, 19, 18, names="bcde")) == 0


def test_the_other_gaps_are_confirmed():
    """Pages from before the first gap that no page covers to after the last one are read again."""
    pages = [page_of(19, 18), page_of(17, 16), page_of(15, 14), page_of(13, 12)]
    assert not_covered(pages, {0: (), 1: (), 2: ()}) == ()
    assert not_covered(pages, {0: (), 2: ()}) == pages[1:3]
    assert not_covered(pages, {1: ()}) == pages
    assert not_covered([*pages, page_of(13, 11)], {0: ()}) == [*pages, page_of(13, 11)]
    assert not_covered(pages[:1], {}) == pages[:1]


def test_a_page_over_a_gap_shows_the_ties_at_its_ends():
    """A page that ends in a tie may lack logs of it, so it goes on behind the ties at both ends of a gap."""
    pages = [page_of(19, 18, 17, 16), page_of(13, 12, 11, 10, number=2)]
    assert covered(pages, page_of(18, 17, 16, 13)) == {}
    assert covered(pages, page_of(16, 13, 12, 11)) == {}


def test_a_page_over_a_gap_agrees_with_both_pages():
    """A page that shows other logs than the two at the same times proves nothing: it may be of another copy."""
    pages = [page_of(19, 18, 17, 16), page_of(13, 12, 11, 10, number=2)]
    assert covered(pages, page_of(17.5, 17, 13, 12)) == {}
    assert covered(pages, page_of(17, 16, 12, 11)) == {}
    assert covered(pages, page_of(18, 16, 13, 12)) == {}
    assert covered(pages, page_of(17, 16, 13, 11)) == {}
    assert covered(pages, page_of(18, 17, 13, 12)) == {}
    assert covered(pages, page_of(17, 16, 12.5, 12)) == {}


def test_a_page_that_lacks_logs_covers_no_gap():
    """A page that is not full, or not in order, does not show all logs between its ends."""
    pages = [page_of(20, 19, 18, 17, 16), page_of(13, 12, 11, 10, 9)]
    assert covered(pages, page_of(17, 16, 14, 13, 12)) == {0: ["16", "14", "13"]}
    assert covered(pages, page_of(17, 16, 13, 12)) == {}
    assert covered(pages, page_of(17, 14, 16, 13, 12)) == {}


def test_an_edited_log_covers_no_gap():
    """A log that is shown with two contents was edited during the read, and may have been in a gap before."""
    pages = [page_of(20, 19, 18, 17, 16, names="abcde"), page_of(13, 12, 11, 10, 9, names="fghij")]
    assert covered(pages, page_of(17, 16, 14, 13, 12, names="dezfg")) == {0: ["e", "z", "f"]}
    assert covered(pages, page_of(17, 16, 14, 13, 12, names="dejfg")) == {}
    edited = [pages[0], page_of(13, 12, 11, 10, 9, names="fghia")]
    assert covered(edited, page_of(17, 16, 14, 13, 12, names="dezfg")) == {}


def test_logs_that_only_a_third_page_shows_are_emitted():
    """While logs arrive late, or arrive and expire, every log is read, however many change between two responses."""
    for late, rate, seeds in ((True, 2, range(2, 5)), (False, 1, range(3))):
        for seed in seeds:
            rng, world = Random(seed), World(spaced(400), Manners(page_size=10))
            first = rng.randrange(100, 240)
            reading = SimulatedRead(world, WindowQuery(BEGIN + first * SECOND, BEGIN + (first + 60) * SECOND))
            while not reading.done:
                for _ in range(rate):
                    if late:
                        world.arrive_late(BEGIN + 3 * SECOND)
                    else:
                        world.arrive(SECOND)
                        world.expire()
                index = rng.randrange(len(reading.flight))
                reading.serve(index)
                reading.deliver(index)
            exact(reading)


def test_pages_of_both_orders_are_used_together():
    """Where logs expire after most pages were read oldest first, these pages prove those of the other order."""
    for seed in range(3):
        script = {answer: [World.expire] for answer in range(7, 200, 3)}
        reading = read(World(spaced(205 + seed), Manners(page_size=10)), 90, 150, script, concurrency=4)
        exact(reading)
        assert reading.report.turns == ["newest first: `count` fell"]
        assert reading.world.requests <= 19


def test_a_page_that_begins_within_the_first_tie_begins_late():
    """A page range that begins with the first timestamp that is still to be read may lack other logs of it."""
    listing = Listing("logged_at", None, WindowReport(), Sort("logged_at", "desc"))
    page = page_of(15, 14, number=2)
    assert [begins_late(listing, page, -at, may_turn=False) for at in (151, 150, 149)] == [True, True, False]
    assert not begins_late(listing, page_of(15, 14), -150, may_turn=False)
