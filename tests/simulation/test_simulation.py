"""A workspace changes in any way while its windows are read: no log is lost, repeated or altered, or the read fails."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from airflow_provider_secoda.client._audit_logs.window import WindowQuery
from airflow_provider_secoda.client.filters import Filter, exact
from tests.helpers.figures import record
from tests.simulation.expected_logs import EXCUSES
from tests.simulation.play import play
from tests.simulation.reading import SimulatedRead
from tests.simulation.world import BEGIN, FAULT_KINDS, SECOND, Manners, World, row

#: Plays of the default run; each is one to three reads.
PLAYS = 1500
#: Faults of a server with an order and no cap: if they are rare, reads must end.
HONEST = {
    "arrival at the head",
    "late arrival",
    "late arrival in a tie",
    "expiry",
    "answered out of order",
    "slow answer",
    "served twice",
    "truncated response",
    "broken connection",
    "login page",
    "429",
    "429 with Retry-After",
    "5xx",
    "tie breaker refused",
    "tie breaker ignored",
    "ties of PostgreSQL",
    "pages behind the end clamped",
}
MOVES = {"arrival at the head", "late arrival", "late arrival in a tie", "expiry"}
_small = st.integers(0, 40)
_moments = st.builds(lambda second, more: BEGIN + second * SECOND + more, _small, st.sampled_from((0, 0, 1, 7)))


@st.composite
def listings(draw):
    """Draw the logs of a workspace, and how its server behaves."""
    gaps = draw(st.lists(st.sampled_from((0, 1, SECOND, SECOND)), max_size=40))
    at, rows = BEGIN, []
    for serial, gap in enumerate(gaps):
        at += gap
        rows.append(row(serial, at - draw(st.sampled_from((0, 0, 0, 0, SECOND))), at))
    ids = [item.id for item in rows]
    some = st.frozensets(st.sampled_from(ids), max_size=3) if ids else st.just(frozenset())
    nearly_none = st.one_of(st.just(frozenset()), st.just(frozenset()), st.just(frozenset()), some)
    order = draw(st.sampled_from(("honoured",) * 6 + ("reversed", "ignored", "refused", "half", "broken", "other")))
    manners = Manners(
        page_size=draw(st.sampled_from((1, 2, 3, 5, 20))),
        order=order,
        default=draw(st.sampled_from(("stored", "oldest", "scrambled"))),
        ties=draw(st.sampled_from(("honoured", "honoured", "refused", "ignored", "shuffled"))),
        cap=draw(st.sampled_from((None, None, None, 10, 20))),
        cap_counts=draw(st.booleans()),
        cap_first=draw(st.booleans()),
        beyond=draw(st.sampled_from(("empty", "404", "clamped", "clamped_silently"))),
        hidden=draw(nearly_none),
        withheld=draw(nearly_none),
        doubled=draw(nearly_none),
        misplaced=draw(some) if order == "broken" else frozenset(),
        jump=draw(st.sampled_from((1, 3, 7))),
    )
    return rows, manners, draw(st.integers(0, 1000))


class Workspace(RuleBasedStateMachine):
    """A world and the reads of its consecutive windows; hypothesis decides what happens between any two answers."""

    reads = 0

    @initialize(listing=listings(), begin=_moments, field=st.sampled_from(("logged_at", "logged_at", "created_at")))
    def open(self, listing, begin, field):
        rows, manners, seed = listing
        self.world = World(rows, manners, seed)
        self.edge, self.field = begin, field
        self.reading = None
        self.out: set[str] = set()

    # --- the world moves

    @rule(after=st.sampled_from((0, 1, SECOND)), often=st.sampled_from((1, 1, 2, 6)))
    def arrive(self, after, often):
        for _ in range(often):
            self.world.arrive(after)

    @rule(logged=_moments)
    def arrive_late(self, logged):
        self.world.arrive_late(logged)

    @rule(by=st.sampled_from(("logged_at", "created_at")), often=st.sampled_from((1, 1, 2, 6)))
    def expire(self, by, often):
        for _ in range(often):
            self.world.expire(by)

    @rule(index=_small)
    def delete(self, index):
        self.world.delete(index)

    @rule(index=_small, logged=_moments)
    def exchange(self, index, logged):
        self.world.exchange(index, logged)

    @rule(index=_small, logged=_moments)
    def edit(self, index, logged):
        self.world.edit(index, logged)

    # --- a window is read, step by step

    @precondition(lambda self: self.reading is None)
    @rule(
        seconds=st.integers(1, 30),
        more=st.sampled_from((0, 0, 1)),
        concurrency=st.sampled_from((1, 2, 4, 8)),
        filter_=st.sampled_from((None, None, None, Filter.parse(exact("performer_type", "USER")))),
    )
    def begin(self, seconds, more, concurrency, filter_):
        """Begin with the window after the last one that was read completely, or with it again."""
        end = self.edge + seconds * SECOND + more
        self.reading = SimulatedRead(self.world, WindowQuery(self.edge, end, self.field, filter_, concurrency))

    @precondition(lambda self: self.reading is not None)
    @rule(
        which=_small,
        fault=st.sampled_from(("",) * 8 + ("stale copy", "truncated response", "429", "429 with Retry-After", "5xx")),
        copy=st.integers(1, 3),
    )
    def serve(self, which, fault, copy):
        """Let any request reach the server, for the first time or again."""
        self.reading.serve(which % len(self.reading.flight), fault, copy if fault == "stale copy" else 0)

    @precondition(lambda self: self.reading is not None)
    @rule(which=_small, steps=st.integers(1, 6))
    def deliver(self, which, steps):
        """Let any answer arrive; requests that did not reach the server yet reach it now."""
        for _ in range(steps):
            if not self.reading.done:
                index = which % len(self.reading.flight)
                if self.reading.flight[index][1] is None:
                    self.reading.serve(index)
                self.reading.deliver(index)
        self._settle()

    @precondition(lambda self: self.reading is not None)
    @rule()
    def finish(self):
        self.reading.finish()
        self._settle()

    def _settle(self):
        if self.reading.done:
            Workspace.reads += 1
            wrong, _ = self.reading.check_result()
            assert not wrong, wrong
            if self.reading.error is None:
                self.edge = self.reading.query.end
                twice = self.out & {log.id for log in self.reading.got}
                assert not twice or self.world.happened["edited timestamp"], f"in two windows: {twice}"
                self.out |= {log.id for log in self.reading.got}
            self.reading = None

    def teardown(self):
        if getattr(self, "reading", None) is not None:
            self.finish()


Workspace.TestCase.settings = settings(max_examples=250, stateful_step_count=30, derandomize=True, deadline=None)


def test_worlds_of_hypothesis():
    """Hypothesis decides what happens between two answers: consecutive windows are complete, or fail."""
    Workspace.reads = 0
    Workspace.TestCase().runTest()
    assert Workspace.reads > 100
    record("simulation", interleavings=Workspace.reads)


def test_worlds_of_seeds():
    """A seed decides what happens: consecutive windows are complete, or fail; windows of honest servers are read."""
    happened, ends, honest = Counter(), Counter(), Counter()
    for seed in range(PLAYS):
        played = play(seed)
        assert not played.wrong, f"seed {seed}: {played.wrong}"
        happened.update(played.happened.keys())
        ends += played.ends
        moves = sum(played.happened[kind] for kind in MOVES)
        if played.happened.keys() <= HONEST and moves * 5 <= played.answers:
            honest += played.ends
    record("simulation", interleavings=sum(ends.values()))
    assert set(happened) == set(FAULT_KINDS)  # otherwise a kind is counted that never happens
    assert sum(honest.values()) > PLAYS / 5
    assert honest["SecodaIncompleteError"] < sum(honest.values()) / 50
    assert ends["newest_first"] + ends["oldest_first"] > sum(ends.values()) / 2


@pytest.mark.parametrize(
    ("reason", "seed"),
    [("copies", 1251), ("cap", 2190), ("even", 544), ("place", 301), ("balance", 4420)],
)
def test_each_excuse_is_needed(reason, seed):
    """Each excuse of a loss is needed: there are worlds in which no reader can detect the loss."""
    assert reason in EXCUSES
    assert play(seed).excused[reason]


def test_the_script(tmp_path):
    """``scripts/simulate`` prints what it tried, writes figures, and reports a failure with its seed and exit code."""
    script = Path(__file__).parents[2] / "scripts" / "simulate.py"
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(script), "--seconds", "0.5", "--jobs", "1", "--first", "0", "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads(figures.read_text())
    assert set(numbers["faults"]) == set(FAULT_KINDS)
    assert numbers["interleavings"] == numbers["whole"] + numbers["failed_loudly"] > 0
    assert "0 WRONG" in done.stdout
    done = subprocess.run([sys.executable, str(script), "--seed", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "seed 1: " in done.stdout


def test_a_failure_is_reported_with_its_seed(monkeypatch, capsys):
    """A play that fails or crashes fails the run, which prints how to repeat it."""
    spec = importlib.util.spec_from_file_location("simulate", Path(__file__).parents[2] / "scripts" / "simulate.py")
    simulate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulate)

    def broken(seed):
        raise AssertionError("the read does not end")

    monkeypatch.setattr(simulate, "play", broken)
    monkeypatch.setattr(sys, "argv", ["simulate", "--seconds", "0.01", "--jobs", "1", "--first", "7"])
    assert simulate.main() == 1
    assert "scripts/simulate --seed 7" in capsys.readouterr().out
