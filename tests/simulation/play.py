"""Worlds and schedules drawn from a seed: a play reads consecutive windows of a world that changes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._audit_logs.window import WindowQuery
from airflow_provider_secoda.client.filters import Filter, exact
from tests.simulation.reading import UNSTABLE, SimulatedRead
from tests.simulation.world import BEGIN, SECOND, Manners, World, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import Row

#: After this number of changes a world stops changing, so that a listing of small pages does not grow without limit.
MAX_MOVES = 150
#: The share of plays in which the order of ties depends on the page.
ODD = 0.1
#: The main subject of a play.
THEMES = ("any", "motion", "motion", "order", "cap", "lies")
_FAULTS = (
    "truncated response",
    "broken connection",
    "login page",
    "429",
    "429 with Retry-After",
    "5xx",
    "page not shown once",
)


@dataclass
class Played:
    """The result of a play."""

    seed: int
    reads: int = 0
    answers: int = 0
    #: How reads ended: by the order in which the listing was read, or by the name of the error.
    ends: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    #: What is wrong, by read; empty if nothing is.
    wrong: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """What happens how often: before a response, or to it."""

    moves: list[tuple[float, Callable[[World], None]]] = field(default_factory=list)
    #: Moves before the n-th answer.
    script: dict[int, list[Callable[[World], None]]] = field(default_factory=dict)
    fault: float = 0.0
    stale: float = 0.0
    slow: float = 0.0
    twice: float = 0.0
    #: Whether changes come between the count and the rows of a response.
    count_first: bool = False


def play(seed: int) -> Played:
    """Draw a world, windows and a schedule, and read; everything follows from the seed."""
    rng = random.Random(seed)
    theme = rng.choice(THEMES)
    rows = _rows(rng)
    manners = _manners(rng, rows, theme)
    order = rng.randrange(1 << 30)
    plan = _plan(rng, rows, theme)
    if not plan.moves and not plan.script:
        rows = _one_out_one_in(random.Random(-1 - seed), rows, manners, plan)
    _odd_order(seed, manners, plan)
    if manners.ties in UNSTABLE and manners.beyond.startswith("clamped"):
        manners.cap_newest = False  # this looks like a complete listing
    world = World(rows, manners, order)
    played = Played(seed, happened=world.happened)
    for query in _windows(rng, rows):
        reading = SimulatedRead(world, query)
        while not reading.done:
            step(reading, plan, rng)
        wrong, excuse = reading.check_result()
        played.reads += 1
        played.answers += reading.answers
        played.ends[type(reading.error).__name__ if reading.error else reading.report.order] += 1
        if excuse:
            played.excused[excuse] += 1
        if wrong:
            played.wrong.append(wrong)
    return played


def step(reading: SimulatedRead, plan: Plan, rng: random.Random) -> None:
    """Deliver one request to the server, after the world changed, or one response to the reader."""
    world, flight = reading.world, reading.flight
    waiting = [index for index, (_, answer) in enumerate(flight) if answer is None]
    if not waiting or (len(waiting) < len(flight) and rng.random() < 0.5):
        ready = [index for index, (_, answer) in enumerate(flight) if answer is not None]
        if plan.twice and rng.random() < plan.twice:
            _move(world, plan, rng)
            reading.serve(rng.choice(ready))
        if len(ready) > 1 and rng.random() < plan.slow:
            world.happened["slow answer"] += 1
            ready = ready[1:]
        reading.deliver(rng.choice(ready))
        return
    _move(world, plan, rng)
    fault, copy = "", 0
    if plan.stale and rng.random() < plan.stale:
        fault, copy = "stale copy", rng.choice((1, 1, 2, 3))
    elif plan.fault and rng.random() < plan.fault:
        fault = rng.choice(_FAULTS)
    index = rng.choice(waiting)
    if fault == "page not shown once" and dict(flight[index][0].request.params)["page"] == "1":
        fault = ""
    reading.serve(index, fault, copy)


def _move(world: World, plan: Plan, rng: random.Random) -> None:
    if world.version > MAX_MOVES:
        return
    for chance, move in plan.moves:
        if rng.random() < chance:
            _happen(world, move, plan)
    for move in plan.script.pop(world.requests, ()):
        _happen(world, move, plan)


def _happen(world: World, move: Callable[[World], None], plan: Plan) -> None:
    if plan.count_first:
        world.after_count.append(move)
    else:
        move(world)


def _rows(rng: random.Random) -> list[Row]:
    count = rng.choice((0, 1, 2, 5, 12, 20, 30, 30, 45, 60))
    gaps = rng.choice(((SECOND,), (SECOND,), (0, SECOND, SECOND), (0, 0, 0, 1, SECOND), (0, 0, 0, 0, 0, 0, 0, SECOND)))
    late = rng.choice((0.0, 0.0, 0.2))
    at, rows = BEGIN, []
    for serial in range(count):
        at += rng.choice(gaps)
        lag = rng.choice((1, SECOND, 20 * SECOND)) if rng.random() < late else 0
        rows.append(row(serial, at - lag, at))
    if count > 4 and rng.random() < 0.03:
        twin = rng.choice(rows)
        rows.append(row(count, rng.choice(rows).logged + 3, twin.created, twin.id))
    return rows


def _manners(rng: random.Random, rows: list[Row], theme: str) -> Manners:
    manners = Manners(
        page_size=rng.choice((1, 2, 2, 3, 5, 5, 7, 20)), default=rng.choice(("stored", "oldest", "scrambled"))
    )
    if rng.random() < 0.5:
        manners.ties = rng.choice(("refused", "ignored", "shuffled"))
    if rng.random() < 0.4:
        manners.beyond = rng.choice(("404", "clamped", "clamped_silently"))
    if rng.random() < {"order": 1.0, "motion": 0.0}.get(theme, 0.2):
        manners.order = rng.choice(("reversed", "ignored", "refused", "half", "broken", "broken", "broken", "other"))
    some = [item.id for item in rows]
    if some and manners.order == "broken":
        manners.misplaced = frozenset(rng.sample(some, min(len(some), rng.choice((1, 1, 2, 3, 8)))))
        manners.jump = rng.choice((1, 2, 5, 12))
    if rng.random() < {"cap": 1.0, "motion": 0.0}.get(theme, 0.1):
        _cap(rng, manners, rows)
    if some and rng.random() < {"lies": 1.0, "any": 0.1}.get(theme, 0.0):
        chosen = frozenset(rng.sample(some, min(len(some), rng.choice((1, 1, 2, 5)))))
        setattr(manners, rng.choice(("hidden", "hidden", "withheld", "doubled")), chosen)
    return manners


def _odd_order(seed: int, manners: Manners, plan: Plan) -> None:
    """Let the order of ties depend on the page, or an unordered listing count before it reads.

    Drawn apart from the rest, so that the other seeds still mean the same worlds.
    """
    rng = random.Random(f"{seed} order")
    if rng.random() < ODD:
        manners.ties = rng.choice(("by_page", "by_page", "postgres"))
    elif manners.order in ("ignored", "refused") and rng.random() < 10 * ODD:
        plan.count_first = True


def _cap(rng: random.Random, manners: Manners, rows: list[Row]) -> None:
    manners.cap = rng.choice((5, 10, 20, 30))
    manners.cap_counts = rng.random() < 0.5
    manners.cap_first = rng.random() < 0.2
    # Further results are not used. They are drawn so that the seeds that tests name still mean the same worlds.
    if rng.random() < 0.8:
        manners.cap_newest = rng.choice(range(10)) == 0
        if rows and rng.random() < 0.3:
            rng.choice(rows)


def _plan(rng: random.Random, rows: list[Row], theme: str) -> Plan:
    plan = Plan()
    _moves(rng, rows, plan)
    if rng.random() < 0.2:
        plan.fault = rng.choice((0.02, 0.1))
    if rng.random() < (0.4 if theme == "lies" else 0.1):
        plan.stale = rng.choice((0.05, 0.2, 0.5))
    if rng.random() < 0.5:
        plan.slow = rng.choice((0.2, 0.9))
    if rng.random() < 0.2:
        plan.twice = rng.choice((0.05, 0.3))
    if rng.random() < (0.1 if theme == "lies" else 0.0):
        plan.script.setdefault(rng.randrange(20), []).append(lambda world: world.resize(rng.choice((1, 3, 6, 10))))
    return plan


def _moves(rng: random.Random, rows: list[Row], plan: Plan) -> None:
    """Plan the changes of the world: occasional, at given responses, many at once, or none."""
    newest = rows[-1].logged if rows else BEGIN
    span = max(1, newest - BEGIN)
    moments = [item.logged for item in rows] or [BEGIN]
    by = rng.choice(("logged_at", "logged_at", "created_at"))
    places = [rng.random() for _ in range(2)]

    def somewhen() -> int:
        return rng.choice(moments) if rng.random() < 0.4 else BEGIN + rng.randrange(span)

    def anywhere() -> int:
        return rng.randrange(1 << 16) if rng.random() < 0.5 else int(len(rows) * rng.choice(places))

    moves: list[Callable[[World], None]] = [
        lambda world: world.arrive(rng.choice((0, 1, SECOND))),
        lambda world: world.arrive(SECOND),
        lambda world: world.expire(by),
        lambda world: world.expire(by),
        lambda world: world.arrive_late(somewhen()),
        lambda world: world.delete(anywhere()),
        lambda world: world.exchange(anywhere(), somewhen()),
        lambda world: world.edit(anywhere(), somewhen()),
    ]
    weights = (6, 6, 6, 6, 6, 4, 1, 1)
    style = rng.random()
    if style < 0.4:
        for move in rng.choices(moves, weights, k=rng.choice((1, 1, 2, 3))):
            plan.moves.append((rng.choice((0.02, 0.05, 0.2, 0.5)), move))
    elif style < 0.75:
        for _ in range(rng.choice((1, 1, 2, 3))):
            some = rng.choices(moves, weights, k=rng.choice((1, 1, 2)))
            plan.script.setdefault(rng.randrange(30), []).extend(some * rng.choice((1, 1, 1, 2, 5, 12)))
    elif style < 0.9:
        some, first = rng.choices(moves, weights, k=rng.choice((1, 2))), rng.randrange(2, 12)
        for answer in range(first, first + rng.choice((3, 6, 12, 20)), rng.choice((1, 1, 2, 3))):
            plan.script.setdefault(answer, []).extend(some)


def _one_out_one_in(rng: random.Random, rows: list[Row], manners: Manners, plan: Plan) -> list[Row]:
    """Plan one deletion and one arrival within three answers, mostly in a history that is denser at one of its ends.

    Then the search misses, and pages that it has read are used after the deletion.
    """
    shape = rng.choice(("as drawn", "old", "new", "new"))
    if shape != "as drawn" and len({item.id for item in rows}) == len(rows):
        last = 59
        powers = [serial**3 if shape == "old" else last**3 - (last - serial) ** 3 for serial in range(last + 1)]
        rows = [row(serial, BEGIN + power * SECOND) for serial, power in enumerate(powers)]
        manners.page_size = min(manners.page_size, 3)
    gone, logged = rng.randrange(1 << 16), rng.choice(rows).logged if rows else BEGIN
    late = rng.random() < 0.2
    moves: list[Callable[[World], None]] = [
        lambda world: world.delete(gone),
        lambda world: world.arrive_late(logged) if late else world.arrive(SECOND),
    ]
    rng.shuffle(moves)
    first = rng.randrange(2, 12)
    plan.script[first] = moves[:1]
    plan.script.setdefault(first + rng.choice((0, 1, 1, 2)), []).extend(moves[1:])
    return rows


def _windows(rng: random.Random, rows: list[Row]) -> list[WindowQuery]:
    """Return one to three windows, each of which begins where the one before ends."""
    moments = [item.logged for item in rows] or [BEGIN]
    edges = {rng.choice(moments) + rng.choice((0, 0, 1, -1)) for _ in range(rng.choice((2, 2, 3, 4)))}
    if rng.random() < 0.2:
        edges.add(BEGIN - 30 * SECOND)
    if rng.random() < 0.2:
        edges.add(max(moments) + 30 * SECOND)
    bounds = sorted(edges)
    if len(bounds) == 1:
        bounds.append(bounds[0] + rng.choice((1, SECOND, 9 * SECOND)))
    concurrency = rng.choice((1, 2, 4, 8))
    name = "logged_at" if rng.random() < 0.8 else "created_at"
    filter_ = Filter.parse(exact("performer_type", "USER")) if rng.random() < 0.08 else None
    rng.random()  # not used, see above
    return [WindowQuery(start, end, name, filter_, concurrency) for start, end in pairwise(bounds)]
