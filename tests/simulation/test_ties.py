"""Ties whose order depends on the page, and logs that are listed twice; the mutants are tested with them, too."""

from __future__ import annotations

import random
from itertools import product

from tests.simulation.scenarios import exact, exact_or_refused, read, refused, spaced
from tests.simulation.world import BEGIN, SECOND, Manners, World, row

#: Manners of a server whose order within a tie depends on the page, or on the answer.
UNSTABLE = ("by_page", "postgres", "shuffled")


def tied(count: int, share: float, seed: int) -> list:
    """Return this many logs, of which a share has the timestamp of the log before."""
    rng, at, rows = random.Random(seed), BEGIN, []
    for serial in range(count):
        at += SECOND if rng.random() >= share else 0
        rows.append(row(serial, at))
    return rows


def between(newer: int, tie: int, older: int, first: int) -> list:
    """Return a tie with single logs on both sides; how its order depends on the page follows from the first serial."""
    seconds = [*range(older), *[older] * tie, *range(older + 1, older + 1 + newer)]
    return [row(first + serial, BEGIN + second * SECOND) for serial, second in enumerate(seconds)]


def doubled(count: int, *serials: int, tie: int = 1) -> tuple[list, frozenset[str]]:
    """Return logs, and the ids of those at these places."""
    rows = spaced(count, tie)
    return rows, frozenset(rows[serial].id for serial in serials)


def test_ties_of_postgresql_are_read():
    """Ties in the order of PostgreSQL without a unique key are read, however many logs are tied."""
    for share, size, seed in product((0.05, 0.3, 0.8), (10, 25), range(3)):
        rows = tied(230 + seed, share, seed)
        world = World(rows, Manners(page_size=size, ties="postgres"))
        reading = read(world, (rows[70].logged - BEGIN) / SECOND, (rows[190].logged - BEGIN) / SECOND, concurrency=4)
        exact(reading, "sorted")
        assert world.requests < 100


def test_ties_whose_order_depends_on_the_page_are_read():
    """A tie that one order splits between two pages is read in the other order, whose pages end elsewhere."""
    for count, tie, seed in product((93, 94, 97), (2, 3), range(4)):
        world = World(spaced(count, tie), Manners(page_size=10, ties="by_page"), seed)
        exact(read(world, 3, 25, concurrency=2), "sorted")


def test_a_tie_that_neither_order_completes_fails_soon():
    """Where both orders split a tie between the same logs, the error names the timestamp, the log and its pages."""
    world = World(spaced(60, 4), Manners(page_size=10, ties="by_page"))
    refused(
        read(world, 2, 11),
        "the listing has 4 logs of 2023-11-14T22:13:22Z, but repeated reads in both orders returned only 3 different "
        "ones; log 'cc623aa1-11' is on the pages 1 and 2.",
    )
    assert world.requests < 40


def test_moves_in_a_tie_whose_order_depends_on_the_page():
    """Logs that arrive in a tie, expire or are deleted while the tie is read in both orders never hide another one."""
    moves = (
        [lambda world: world.arrive_late(BEGIN + 2 * SECOND)],
        [lambda world: world.arrive_late(BEGIN + 2 * SECOND), World.expire],
        [World.arrive, World.expire],
        [lambda world: world.delete(10)],
    )
    for (ties, size), move, answer in product((*product(UNSTABLE, (5,)), ("by_page", 3)), moves, range(3, 22)):
        world = World(spaced(29, 4), Manners(page_size=size, ties=ties), answer)
        exact_or_refused(read(world, 1, 4, {answer: move}))


def test_moves_in_a_tie_at_the_edge_of_a_page():
    """If a tie begins or ends with a page, the page before or after it shows that the tie moved while it was read."""

    def late(world: World) -> None:
        world.arrive_late(BEGIN + newest * SECOND)

    def delete_newest(world: World) -> None:
        world.delete(len(world.rows) - 1)

    def delete_in_tie(world: World) -> None:
        world.delete(newest)

    def delete_next_in_tie(world: World) -> None:
        world.delete(newest + 1)

    for size, before, tie, newest, first, capped, *moves in (
        (4, 1, 7, 7, 8126800, False, (0, late), (0, World.expire)),
        (3, 5, 4, 5, 5707600, False, (0, late), (0, World.expire)),
        (4, 4, 6, 5, 2622400, True, (0, late), (0, delete_newest)),
        (4, 4, 7, 4, 22000, True, (0, late), (0, delete_newest)),
        (3, 6, 5, 1, 4048800, True, (0, late), (0, delete_in_tie)),
        (4, 4, 7, 4, 6548500, True, (0, late), (1, delete_in_tie)),
        (5, 14, 5, 2, 2354800, False, (0, late), (1, delete_in_tie)),
        (4, 4, 7, 1, 3271000, True, (0, late), (3, delete_in_tie)),
        (4, 4, 6, 3, 444400, True, (0, late), (1, delete_in_tie)),
        (5, 14, 5, 2, 2354800, False, (0, delete_in_tie), (1, late)),
        (5, 14, 5, 2, 2354800, False, (0, delete_next_in_tie), (1, late)),
        (5, 14, 5, 2, 2354800, False, (0, World.arrive), (1, delete_in_tie)),
        (5, 10, 8, 10, 4945300, False, (0, late), (0, World.expire)),
    ):
        # Oldest first, and newest first.
        for answer, last in product(range(6, 22), (newest + 1.5, 1000)):
            rows = between(before, tie, newest, first)
            world = World(rows, Manners(page_size=size, ties="by_page", cap=len(rows) if capped else None))
            script: dict = {}
            for later, move in moves:
                script.setdefault(answer + later, []).append(move)
            exact_or_refused(read(world, newest - 1.5, last, script))


def test_a_log_listed_twice_on_the_only_page():
    """Nine rows with eight ids and a count of nine are eight logs, in either order and without one."""
    for order in ("honoured", "ignored", "refused"):
        rows, twice = doubled(8, 3)
        reading = read(World(rows, Manners(page_size=50, order=order, doubled=twice)), 0, 9)
        exact(reading)
        assert [warning for warning in reading.report.warnings if "twice" in warning or "once" in warning] == [
            f"log {rows[3].id!r} is listed more than once with the same content (page 1): each is in the output once"
        ]


def test_a_log_listed_twice_on_any_page():
    """A log that is listed twice is returned once, where one of the orders shows both of its places on one page."""
    for serial, ties in product(range(10, 40), ("honoured", "ignored", "postgres")):
        rows, twice = doubled(51, serial)
        reading = read(World(rows, Manners(page_size=5, ties=ties, doubled=twice)), 5, 45)
        exact(reading, "sorted")
        assert any(repr(rows[serial].id) in warning for warning in reading.report.warnings)


def test_a_log_listed_twice_on_two_pages_of_both_orders():
    """Where a log is on two pages in both orders, another one may be missing: the error names it and its pages."""
    rows, twice = doubled(49, 25)  # 50 rows: both orders split the listing at the same places
    for ties, splits in (("honoured", 24), ("honoured", 29)):
        twice = frozenset({rows[splits].id})
        world = World(rows, Manners(page_size=5, ties=ties, doubled=twice))
        reading = read(world, 5, 45)
        refused(reading, f"log {rows[splits].id!r} is on the pages ")
        assert world.requests < 60


def test_moves_around_logs_listed_twice():
    """Logs that are listed twice do not hide that the listing moves."""
    moves = ([World.arrive], [World.arrive, World.expire], [lambda world: world.delete(25)], [World.expire])
    for ties, move, answer in product(("honoured", "shuffled", "by_page"), moves, range(3, 16, 2)):
        for every in (1, 3):
            rows, twice = doubled(40, *range(0, 40, every))
            world = World(rows, Manners(page_size=7, ties=ties, doubled=twice), answer)
            exact_or_refused(read(world, 12, 30, {answer: move}, concurrency=2))


def test_many_logs_listed_twice_are_not_all_named():
    """Warnings name ten of the logs that are listed twice, and say that there are more."""
    rows, twice = doubled(40, *range(40))
    reading = read(World(rows, Manners(page_size=10, doubled=twice)), 0, 50)
    exact(reading, "sorted")
    warnings = [warning for warning in reading.report.warnings if "more than once" in warning]
    assert len(warnings) == 11
    assert warnings[-1].startswith("further logs are listed")


def test_one_id_with_two_contents():
    """An id with two contents is an error that names the id and the pages, in any order and on any page."""
    for size, order, place in product((3, 5, 50), ("honoured", "refused"), range(10, 16)):
        rows = spaced(30)
        rows.append(row(100, rows[place].logged, rows[place].created + 1, rows[place].id))
        reading = read(World(rows, Manners(page_size=size, order=order)), 5, 25)
        refused(reading, repr(rows[place].id))
        assert "page" in str(reading.error)
        if order == "honoured":
            refused(reading, "two different content")
    rows = spaced(30)
    rows.append(row(100, BEGIN + 3 * SECOND + 1, id_=rows[20].id))
    reading = read(World(rows, Manners(page_size=5, order="refused")), 5, 25)
    refused(reading, f"log {rows[20].id!r} was returned with two different timestamps")


def test_logs_listed_twice_without_an_order():
    """Where nothing is sorted, a log that one page shows twice counts twice; on two pages it is named in the error."""
    rows, twice = doubled(40, 21)
    exact(read(World(rows, Manners(page_size=10, order="refused", doubled=twice)), 5, 45), "everything")
    rows, twice = doubled(40, 30)
    world = World(rows, Manners(page_size=10, order="refused", doubled=twice))
    refused(read(world, 5, 45), f"log {rows[30].id!r} was on the pages 1 and 2")
    assert world.requests < 30


def test_a_count_that_is_taken_before_the_rows():
    """Where nothing is sorted, a log that arrives between the count and the rows of a response replaces no other."""

    def arrive_after_count(world: World) -> None:
        world.after_count.append(lambda world: world.arrive(SECOND))

    def delete(world: World) -> None:
        world.delete(len(world.rows) - 2)

    for first, arrival, second in product(range(5, 8), range(9, 14), range(11, 17)):
        world = World(spaced(30), Manners(page_size=5, order="refused"))
        exact_or_refused(read(world, 5, 60, {first: [delete], arrival: [arrive_after_count], second: [delete]}))
