"""From which end a window is read, and when the read turns."""

from __future__ import annotations

from tests.simulation.scenarios import exact, read, spaced
from tests.simulation.world import SECOND, Manners, World


def arrive(world: World) -> None:
    world.arrive(SECOND)


def steady(change, begin=2):
    return {answer: [change] for answer in range(begin, 200)}


def test_a_listing_at_rest_is_read_oldest_first():
    """Between the oldest and the newest log, a window is read oldest first, and no page twice except for both ends."""
    world = World(spaced(200), Manners(page_size=5))
    reading = read(world, 90, 120, concurrency=4)
    exact(reading, "oldest_first")
    assert (reading.report.turns, reading.report.rereads) == ([], 0)
    assert world.requests <= 13  # 7 pages, 2 ends of the listing, 1 or 2 for the search, 2 ends of the page range


def test_the_oldest_logs_are_read_newest_first():
    """Where the window has the oldest logs, the read does not turn."""
    for change, every in ((arrive, 7), (World.expire, 1)):
        script = {answer: [change] for answer in range(2, 200, every)}
        reading = read(World(spaced(200), Manners(page_size=5)), -1, 40, script, concurrency=4)
        exact(reading, "newest_first")
        assert reading.report.turns == []


def test_the_newest_logs_are_read_newest_first():
    """Where no log is as new as the end of the window, the read turns only after such a log has arrived."""
    for last, change, turns in (
        (201, World.expire, []),
        (201, arrive, ["oldest first: `count` grew"]),
        (10_000, World.expire, []),
    ):
        reading = read(World(spaced(200), Manners(page_size=5)), 150, last, steady(change), concurrency=4)
        exact(reading, "sorted")
        assert reading.report.turns == turns
    for every in (7, 11):
        script = {answer: [arrive] for answer in range(2, 200, every)}
        reading = read(World(spaced(200), Manners(page_size=5)), 150, 10_000, script, concurrency=4)
        exact(reading, "newest_first")
        assert reading.report.turns == []


def test_arrivals_do_not_turn_a_read():
    """Oldest first, logs that arrive move nothing."""
    reading = read(World(spaced(200), Manners(page_size=5)), 90, 120, steady(arrive), concurrency=4)
    exact(reading, "oldest_first")
    assert reading.report.turns == []
    assert set(reading.report.reread_reasons) == {"`count` changed, or may be limited"}


def test_expiries_turn_a_read_at_once():
    """Newest first, logs that expire move nothing."""
    world = World(spaced(200), Manners(page_size=5))
    reading = read(world, 90, 120, steady(World.expire), concurrency=4)
    exact(reading, "newest_first")
    assert reading.report.turns == ["newest first: `count` fell"]
    assert world.requests < 25


def test_arrivals_and_expiries_end_newest_first():
    """Where ``count`` does not show that logs move, rejected page ranges do."""
    for concurrency in (1, 4):
        script = {answer: [arrive, World.expire] for answer in range(2, 200)}
        reading = read(World(spaced(200), Manners(page_size=5)), 90, 120, script, concurrency=concurrency)
        exact(reading, "newest_first")
        assert reading.report.turns in (["newest first: pages changed"], ["newest first: logs moved to earlier pages"])


def test_a_read_turns_back_a_few_times_only():
    """A listing that shrinks and grows by turns is read, or fails, after three turns at most."""
    for period in (3, 5, 8, 13):
        script = {answer: [(arrive, World.expire)[answer // period % 2]] for answer in range(2, 400)}
        reading = read(World(spaced(200), Manners(page_size=5)), 60, 140, script, concurrency=4)
        assert reading.error is None, reading.error
        assert not reading.expected.lost(reading.got)
        assert len(reading.report.turns) <= 3


def test_a_listing_that_shows_its_first_pages_only_is_read_from_the_nearer_end():
    """A window that the oldest logs do not reach is read newest first, if the listing is limited, at little cost."""
    for beyond in ("empty", "404"):
        world = World(spaced(200), Manners(page_size=5, cap=60, cap_counts=False, beyond=beyond))
        reading = read(world, 150, 170, concurrency=4)
        exact(reading, "newest_first")
        assert reading.report.turns == ["newest first: a page is not shown"]
        assert world.requests < 20
