"""Listings whose sort is ignored or refused, and which change while all their pages are read."""

from __future__ import annotations

from itertools import product

from airflow_provider_secoda.client._api.audit_log_page import Log, Page
from airflow_provider_secoda.client._audit_logs.output import WindowReport
from airflow_provider_secoda.client._audit_logs.unordered.seen_logs import SeenLogs
from tests.simulation.scenarios import Script, exact, exact_or_refused, read, refused, spaced
from tests.simulation.world import SECOND, Manners, World


def arrive(world: World) -> None:
    world.arrive(SECOND)


def every(number: int, *moves) -> Script:
    """Return a script in which these changes happen before each n-th answer."""
    return {answer: list(moves) for answer in range(0, 4000, number)}


def test_a_listing_at_rest_is_read_twice():
    """A listing that does not change is read twice, at any number of requests in flight."""
    for order, width, size in product(("ignored", "refused"), (1, 4, 8), (1, 5, 200)):
        world = World(spaced(300), Manners(page_size=size, order=order))
        exact(read(world, 100, 200, concurrency=width), "everything")
        assert world.requests <= 2 * 300 // size + 13


def test_more_than_a_page_arrives_in_each_pass():
    """Two passes are enough while logs arrive, at either end of the listing."""
    for order, default, width in product(("ignored", "refused"), ("stored", "oldest"), (1, 4)):
        for often, limit in ((2, 280), (3, 210), (7, 170)):
            world = World(spaced(300), Manners(page_size=5, order=order, default=default))
            exact(read(world, 100, 200, every(often, arrive), concurrency=width), "everything")
            assert world.requests < limit  # 60 pages, and one more with every 10th, 15th or 35th answer


def test_logs_expire_in_each_pass():
    """Two passes are enough while logs expire that no later answer shows."""
    for order, width, often in product(("ignored", "refused"), (1, 4), (3, 7)):
        world = World(spaced(300), Manners(page_size=5, order=order))
        exact(read(world, 200, 290, every(often, World.expire), concurrency=width), "everything")
        assert world.requests < 150


def test_logs_that_expire_on_page_1():
    """Two passes are enough while logs move to earlier pages, because the oldest are on page 1."""
    for order, width, often in product(("ignored", "refused"), (1, 4), (4, 7)):
        world = World(spaced(300), Manners(page_size=5, order=order, default="oldest"))
        exact(read(world, 200, 290, every(often, World.expire), concurrency=width), "everything")
        assert world.requests < 170


def test_logs_arrive_and_expire_in_each_pass():
    """Two passes are enough for a listing at both ends of which logs change."""
    for default, width, often in product(("stored", "oldest"), (1, 4), (7, 11)):
        world = World(spaced(300), Manners(page_size=5, order="refused", default=default))
        script = every(often, arrive) | {answer + 3: [World.expire] for answer in every(often)}
        exact(read(world, 200, 290, script, concurrency=width), "everything")
        assert world.requests < 170


def test_a_log_between_any_two_answers():
    """Without a moment at which all logs are known nothing is proven, and the read fails soon."""
    for moves in ((arrive,), (World.expire,), (arrive, World.expire)):
        world = World(spaced(600), Manners(page_size=5, order="refused"))
        refused(read(world, 400, 500, every(1, *moves)), "between any two of 150 responses")
        assert world.requests < 1000


def test_a_change_at_any_answer_loses_nothing():
    """A few changes at any two answers of a small listing lose no log, in any order of the listing."""

    def delete(world: World) -> None:
        world.delete(12)

    def arrive_late(world: World) -> None:
        world.arrive_late(world.rows[11].logged + 7)

    moves = (arrive, delete, World.expire, arrive_late)
    for default, (first, second) in product(("stored", "oldest", "scrambled"), product(moves, moves)):
        for before, between in product(range(4, 24, 3), (1, 2, 5)):
            world = World(spaced(25), Manners(page_size=5, order="refused", default=default))
            script = {before: [first], before + between: [second]}
            exact(read(world, 3, 22, script, concurrency=2, backwards=before % 2 == 0), "everything")


def test_the_answer_that_counts_proves_nothing_of_its_logs():
    """A log counts if it was seen before the answer and after it: the answer may count before or after it reads."""
    page = Page(1, (Log(5, "a", b"{}"),), 1, 1)
    for moment, complete in ((1, False), (2, True), (3, False)):
        seen = SeenLogs(0, 9, WindowReport())
        for seen.step in (1, 3):
            seen.add(page)
        seen.add_moment(moment, 1)
        assert seen.is_complete() == complete


def test_a_log_that_arrives_while_another_one_is_missed():
    """A log that arrives between the count and the rows of a response is counted for no log that both passes missed."""

    def delete(world: World) -> None:
        world.delete(len(world.rows) - 7)

    def arrive_after_count(world: World) -> None:
        world.after_count.append(arrive)

    for first, arrival, second in product(range(8, 13), range(11, 16), range(14, 24)):
        world = World(spaced(30), Manners(page_size=5, order="refused"))
        exact_or_refused(read(world, 5, 60, {first: [delete], arrival: [arrive_after_count], second: [delete]}))


def test_a_count_that_changes_while_both_ends_are_compared():
    """A ``count`` that is another one without a sort is requested again while it changes."""
    for moves, first in product(((arrive,), (World.expire,), (arrive, arrive, World.expire)), range(24, 40)):
        world = World(spaced(120), Manners(page_size=10, order="ignored"))
        script = {answer: list(moves) for answer in range(first, first + 4)}
        exact(read(world, 80, 90, script), "everything")


def test_a_log_of_page_1_that_expires():
    """A log that expires before page 1 is read without a sort is not mistaken for one that is not shown."""
    for order, answer in product(("ignored", "refused"), range(3, 9)):
        world = World(spaced(60), Manners(page_size=5, order=order, default="oldest"))
        exact(read(world, 20, 30, {answer: [World.expire]}), "everything")


def test_logs_that_arrive_before_both_ends_are_compared():
    """Logs that arrived since the last pass are not mistaken for logs that the listing does not show."""
    for answer in range(20, 32):
        world = World(spaced(60), Manners(page_size=5, order="ignored"))
        exact(read(world, 20, 30, {answer: [arrive] * 7}), "everything")
