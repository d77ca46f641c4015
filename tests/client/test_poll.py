"""One look at a resource's history: right in any order, and cheap where an order can be shown."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._versions.page_order import PageOrder
from airflow_provider_secoda.client.errors import (
    SecodaConfigurationError,
    SecodaIncompleteError,
    SecodaNotFoundError,
    SecodaResponseError,
)
from tests.client.history_model import ORDERS, Entry, History, history_of, poll

ORDERED = [order for order in ORDERS if "first" in order]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [0, 1, 5, 6, 23])
def test_finds_what_is_new_in_any_order(order, count):
    """Entries created at or after the baseline count, whatever order and however many pages they come in."""
    history = history_of(count, order=order)
    assert poll(history, 1000)[0] == history.truth(1000)
    assert poll(history, 1050)[0] == history.truth(1050)
    assert poll(history, 5000)[0] == []


@pytest.mark.parametrize("order", ORDERED)
def test_a_quiet_poll_of_a_long_ordered_history_costs_one_request(order):
    """Once the order is known, only the newest end is read, as long as nothing happens."""
    history = history_of(200, order=order)
    _, page_order = poll(history, 9000)
    history.asked.clear()
    for _ in range(10):
        found, page_order = poll(history, 9000, page_order)
        assert found == []
    assert len(history.asked) == 10


@pytest.mark.parametrize("order", ORDERED)
def test_a_new_entry_is_found_with_two_requests_at_most(order):
    """A new version shows at the end that is read, also when it begins a page of its own."""
    for count in range(200, 206):
        history = history_of(count, order=order)
        _, page_order = poll(history, 9000)
        history.entries.append(Entry("new", 9000, 9001))
        history.asked.clear()
        assert poll(history, 9000, page_order)[0] == ["new"]
        # A page that has no witness needs the next one, and a second look at the first, to list all that counts.
        assert len(history.asked) <= (2 if count % 5 or "newest" in order else 4)


def test_no_order_means_that_every_poll_reads_all():
    """Where no order can be shown, no page may be left out."""
    history = history_of(60, order="none")
    _, page_order = poll(history, 9000)
    for number in range(30):
        history.asked.clear()
        history.entries.append(Entry(f"x{number}", 9000 + number, 9000 + number))
        found, page_order = poll(history, 9000 + number, page_order)
        assert found == [f"x{number}"]
        assert set(history.asked) == set(range(1, 1 + -(-len(history.entries) // 5)))


def test_an_order_that_was_an_accident_is_given_up():
    """An entry that turns up in the middle of a listing that looked ordered is not missed."""
    history = history_of(60, order="created, newest first")
    _, page_order = poll(history, 9000)
    assert page_order.newest_times
    history.order = "none"
    history.entries.append(Entry("hidden", 9000, 9000))
    for seed in range(5):
        assert poll(history, 9000, page_order, seed=seed)[0] == ["hidden"]


def test_an_entry_out_of_place_shows_in_the_count():
    """When the listing counts more, and nothing newer is at the newest end, the new entry is elsewhere."""
    history = history_of(60, misplaced={"hidden"})
    _, page_order = poll(history, 9000)
    history.entries.append(Entry("hidden", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["hidden"]


def test_an_old_version_that_grew_is_no_witness():
    """Where the server may sort by activity, a version made long ago shows nothing when it grew just now."""
    history = history_of(60, order="latest, newest first")
    _, page_order = poll(history, 9000)
    for entry in history.entries[-6:]:
        entry.latest = 9010
    history.entries.append(Entry("new", 9001, 9001))
    assert poll(history, 9000, page_order)[0] == ["new"]


def test_a_tie_at_the_baseline_goes_on_behind_a_page():
    """An entry exactly at the baseline is no witness, as others of that moment may lie on the next page."""
    history = history_of(60)
    _, page_order = poll(history, 9000)
    history.entries += [Entry(f"n{n}", 9000 + (n > 1), 9000 + (n > 1)) for n in range(6)]
    assert poll(history, 9000, page_order)[0] == history.truth(9000)
    history = history_of(60)
    history.entries[30].latest = 9000
    assert poll(history, 9000, match="any_activity")[0] == ["v0030"]


def test_ties_over_the_edges_of_pages_are_an_order_all_the_same():
    """Entries of one moment on two pages contradict no order."""
    history = history_of(60)
    for entry, other in zip(history.entries[4::5], history.entries[5::5], strict=False):
        other.created = other.latest = entry.created = entry.latest
    _, page_order = poll(history, 9000)
    history.asked.clear()
    poll(history, 9000, page_order)
    assert history.asked == [1]


def test_entries_of_one_moment_show_no_order():
    """A listing in which all is of one moment looks ordered, whatever its order."""
    history = History([Entry(f"v{n}", 1000, 1000) for n in range(60)])
    assert not poll(history, 9000)[1].newest_times


def test_a_time_that_shows_little_may_be_what_the_server_sorts_by():
    """Growth is looked for on all pages as long as creation does not contradict the order that activity shows."""
    history = history_of(1, order="as listed", size=2)
    history.entries += [Entry(f"log{n}", 1000 + 7 * n, 1000 + 7 * n, log=True) for n in range(8)]
    _, page_order = poll(history, 9000, match="any_activity")
    assert page_order.newest_times
    history.entries[0].latest = 9000
    for _ in range(page_order.total_pages):
        found, page_order = poll(history, 9000, page_order, match="any_activity")
        if found:
            break
    assert found == ["v0000"]


def test_a_time_that_is_missing_somewhere_shows_no_order():
    """A time that one entry does not tell cannot be what the server sorts by, for all that is known."""
    history = history_of(60)
    whole = history.entries[7].document()
    history.entries[7].document = lambda: {**whole, "updated_at": None}
    assert set(poll(history, 9000)[1].newest_times) == {"created", "latest"}


def test_a_deletion_between_two_pages_of_news():
    """What a deletion draws from an unread page to one that was read is not missed."""
    history = history_of(60)
    _, page_order = poll(history, 9000)
    history.entries += [Entry(f"n{n:02}", 9000 + n, 9000 + n) for n in range(12)]

    def delete_once(history):
        if history.asked == [1]:
            history.entries = [entry for entry in history.entries if entry.id != "n11"]

    history.asked.clear()
    history.before = delete_once
    assert poll(history, 9000, page_order, concurrency=1)[0] == [f"n{n:02}" for n in range(11)]


def test_arrivals_and_deletions_that_cancel_out():
    """Where the first and the last page stay what they were, all that counts is listed all the same."""
    for once in ([], [1, 2, 3, 4, 5, 1, 5]):  # while it is read first, and while it is read again to list all
        history = History([Entry(name, 1000, 1000) for name in "abcdefghij"], "as listed", size=2)
        history.entries[0] = Entry("known", 9000, 9000)

        def move(history, once=once):
            if history.asked == [*once, 1, 2]:
                history.entries[2:5] = [Entry("n1", 9001, 9001), *history.entries[2:4]]
            elif history.asked == [*once, 1, 2, 3]:
                history.entries[6] = Entry("n2", 9002, 9002)

        history.before = move
        assert poll(history, 9000, concurrency=1)[0] == ["known", "n1", "n2"]


def test_all_that_is_newer_than_the_version_named():
    """With since_version_id the witness is older than that version, not than the moment for growth."""
    history = history_of(200)
    _, page_order = poll(history, 9000, version_id="v0199")
    history.entries += [Entry(f"n{n:02}", 3000 + n, 3000 + n) for n in range(12)]
    expected = [f"n{n:02}" for n in range(12)]
    assert poll(history, 9000, page_order, version_id="v0199")[0] == expected
    assert poll(history, 9000, replace(page_order, new_since=None), version_id="v0199")[0] == expected


@pytest.mark.parametrize("order", ORDERED)
def test_an_order_that_turns_round_is_noticed(order):
    """A server that begins to sort the other way is not believed because of what was detected before."""
    other = order.replace("newest", "?").replace("oldest", "newest").replace("?", "oldest")
    history = history_of(60, order=order)
    _, page_order = poll(history, 9000)
    history.order = other
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["new"]


@pytest.mark.parametrize("order", ORDERS)
def test_growth_counts_when_asked_for(order):
    """A version that grew counts with any_activity, and does not without."""
    history = history_of(40, order=order)
    history.entries[-1].latest = 9005
    assert poll(history, 9000)[0] == []
    assert poll(history, 9000, match="any_activity")[0] == ["v0039"]


@pytest.mark.parametrize("order", ORDERS)
def test_growth_of_an_old_version_is_found_within_a_round(order):
    """A version deep in the pages that grows is found, at two requests a poll, while the pages are gone through."""
    history = history_of(40, order=order)
    _, page_order = poll(history, 9000, match="any_activity")
    history.entries[17].latest = 9005
    for _ in range(9):
        history.asked.clear()
        found, page_order = poll(history, 9000, page_order, match="any_activity")
        if found:
            break
        assert len(history.asked) <= 2
    assert found == ["v0017"]


def test_another_version_than_the_one_named():
    """With since_version_id, others count that are not older; the one named never does."""
    history = history_of(30)
    history.entries.append(Entry("twin", history.entries[20].created, 2000))
    expected = ["twin", *(f"v{n:04}" for n in range(21, 30))]
    assert poll(history, 0, version_id="v0020")[0] == expected


def test_the_named_version_is_known_without_reading_it_again():
    """The time of the version named is remembered, so that later polls need not read down to it for its time."""
    history = history_of(200)
    found, page_order = poll(history, 9000, version_id="v0199")
    assert found == []
    history.asked.clear()
    assert poll(history, 9000, page_order, version_id="v0199")[0] == []
    assert len(history.asked) <= 2
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order, version_id="v0199")[0] == ["new"]


def test_growth_of_the_named_version_counts_from_the_moment_given():
    """With any_activity the version named counts when it grew since the run was due, and not for what it was before."""
    history = history_of(30)
    assert poll(history, 9000, version_id="v0029", match="any_activity")[0] == []
    history.entries[-1].latest = 9001
    assert poll(history, 9000, version_id="v0029", match="any_activity")[0] == ["v0029"]


def test_a_named_version_that_does_not_exist():
    """A wrong since_version_id fails and is named, as nothing could ever be compared with it."""
    with pytest.raises(SecodaConfigurationError, match=r"`since_version_id`: resource R has no version 'nope'"):
        poll(history_of(30), 0, version_id="nope")


def test_a_version_without_a_usable_time():
    """An entry that cannot be placed in time is an error, not an entry that does not count."""
    history = history_of(3)
    history.entries[1].document = lambda: {"id": "odd", "created_at": "soon"}
    with pytest.raises(SecodaResponseError, match=r"'odd' has no usable `created_at`"):
        poll(history, 9000)


def test_logs_beside_the_versions_are_witnesses_too():
    """A first page full of logs that belong to no version shows that nothing newer lies behind it."""
    history = history_of(20)
    history.entries += [Entry(f"log{n:03}", 3000 + n, 3000 + n, log=True) for n in range(40)]
    _, page_order = poll(history, 9000)
    history.asked.clear()
    assert poll(history, 9000, page_order)[0] == []
    assert history.asked == [1]


def test_pages_that_vanish_are_no_reason_to_fail():
    """When the last page is gone, as entries were deleted, everything is read again."""
    history = history_of(201, order="created, oldest first")
    _, page_order = poll(history, 9000)
    del history.entries[50:60]
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["new"]
    history.beyond = "last"
    assert poll(history, 9000, page_order)[0] == ["new"]


def test_a_resource_that_does_not_exist():
    """404 for the first page is the resource's absence."""
    history = History()
    history.answer = lambda _request: Response(404, {}, b"{}")
    with pytest.raises(SecodaNotFoundError):
        poll(history, 0)


def test_what_was_learned_survives_json():
    """A page order can be stored as JSON; anything else is not an error: the order is detected again."""
    _, page_order = poll(history_of(60), 9000)
    assert PageOrder.from_json(json.loads(json.dumps(page_order.to_json()))) == page_order
    wrong = [{**page_order.to_json(), "newest_times": 3}, {**page_order.to_json(), "x": 1}]
    for value in (None, [], {}, "x", {"total_pages": 1}, *wrong):
        assert PageOrder.from_json(value) is None


@pytest.mark.parametrize("count", [3, 60])
def test_the_same_answer_to_another_question(count):
    """What brought nothing for one baseline is looked at again for another."""
    history = history_of(count)
    found, page_order = poll(history, 9000)
    assert (found, page_order.body_digest != "") == ([], True) or count > 5
    found, page_order = poll(history, 9000, page_order)
    assert found == []
    assert page_order.body_digest
    assert poll(history, 1000, page_order)[0] == history.truth(1000)
    history.entries[-1].latest = 9000
    assert poll(history, 9000, page_order, match="any_activity")[0] == [history.entries[-1].id]


class Mover:
    """Changes a history before some requests, and remembers what counted at each moment."""

    def __init__(self, rng_moves, since, match):
        self.moves, self.since, self.match, self.states = list(rng_moves), since, match, []

    def __call__(self, history):
        if self.moves:
            kind, where = self.moves.pop(0)
            number = len(history.entries) + len(history.asked)
            while any(entry.id in (f"n{number:03}", f"l{number:03}") for entry in history.entries):
                number += 1
            if kind == "arrive":
                history.entries.append(Entry(f"n{number:03}", 9000 + number, 9000 + number))
            elif kind == "log":
                history.entries.append(Entry(f"l{number:03}", 9000 + number, 9000 + number, log=True))
            elif kind == "grow" and any(not entry.log for entry in history.entries):
                entry = [entry for entry in history.entries if not entry.log][-1]
                entry.latest = max(entry.latest, 9000 + number)
            elif kind == "expire" and history.entries:
                del history.entries[0]
            elif kind == "delete" and history.entries:
                del history.entries[where % len(history.entries)]
        self.states.append(history.truth(self.since, self.match))


MOVE = st.tuples(st.sampled_from(["arrive", "log", "grow", "expire", "delete", "", "", ""]), st.integers(0, 1000))


@settings(max_examples=600)
@given(
    order=st.sampled_from(sorted(ORDERS)),
    count=st.integers(0, 60),
    logs=st.integers(0, 20),
    size=st.integers(2, 9),
    match=st.sampled_from(["new_version", "any_activity"]),
    before=st.lists(MOVE, max_size=14),
    during=st.lists(MOVE, max_size=6),
    seed=st.integers(0, 99),
)
def test_polls_while_the_history_moves(order, count, logs, size, match, before, during, seed):
    """Whatever arrives, grows, expires or is deleted, each look tells what counted at some moment of it."""
    history = history_of(count, order=order, size=size)
    history.entries += [Entry(f"log{n:03}", 1000 + 7 * n, 1000 + 7 * n, log=True) for n in range(logs)]
    _, page_order = poll(history, 9000, match=match)
    mover = Mover(before, 9000, match)
    for _ in before:
        mover(history)
    for moves in (during, []):
        mover = Mover(moves, 9000, match)
        mover(history)
        history.before = mover
        try:
            found, page_order = poll(history, 9000, page_order, match=match, seed=seed)
        except SecodaIncompleteError:
            assert moves
            continue
        if match == "any_activity" and not found and not moves:
            # An old version that grew where it stands is come by in turn.
            for _ in range(len(history.entries) + 2):
                found, page_order = poll(history, 9000, page_order, match=match, seed=seed)
                if found:
                    break
        assert found in mover.states or (match == "any_activity" and moves and not found)
        history.before = None
