"""One poll of a resource's history: correct in any order, and cheap if an order is detected."""

import json
import random

import msgspec
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
    """Entries created at or after the baseline are new, in any order and on any number of pages."""
    history = history_of(count, order=order)
    assert poll(history, 1000)[0] == history.truth(1000)
    assert poll(history, 1050)[0] == history.truth(1050)
    assert poll(history, 5000)[0] == []


@pytest.mark.parametrize("order", ORDERED)
def test_a_quiet_poll_of_a_long_ordered_history_costs_one_request(order):
    """Once the order is known, only the newest page is read as long as nothing changes."""
    history = history_of(200, order=order)
    _, page_order = poll(history, 9000)
    history.requested.clear()
    for _ in range(10):
        found, page_order = poll(history, 9000, page_order)
        assert found == []
    assert len(history.requested) == 10


@pytest.mark.parametrize("order", ORDERED)
def test_a_new_entry_is_found_with_two_requests_at_most(order):
    """A new version is on the page that is read, also when it is the first one on a new page."""
    for count in range(200, 206):
        history = history_of(count, order=order)
        _, page_order = poll(history, 9000)
        history.entries.append(Entry("new", 9000, 9001))
        history.requested.clear()
        assert poll(history, 9000, page_order)[0] == ["new"]
        # Without an older entry on the page the next one is read, and the first one again, to return all new entries.
        assert len(history.requested) <= (2 if count % 5 or "newest" in order else 4)


def test_no_order_means_that_every_poll_reads_all():
    """If no order is detected, every page is read."""
    history = history_of(60, order="none")
    _, page_order = poll(history, 9000)
    for number in range(30):
        history.requested.clear()
        history.entries.append(Entry(f"x{number}", 9000 + number, 9000 + number))
        found, page_order = poll(history, 9000 + number, page_order)
        assert found == [f"x{number}"]
        assert set(history.requested) == set(range(1, 1 + -(-len(history.entries) // 5)))


def test_an_order_by_chance_is_dropped():
    """A new entry in the middle of a listing that seemed ordered is found."""
    history = history_of(60, order="created, newest first")
    _, page_order = poll(history, 9000)
    assert page_order.newest_times
    history.order = "none"
    history.entries.append(Entry("hidden", 9000, 9000))
    for seed in range(5):
        assert poll(history, 9000, page_order, seed=seed)[0] == ["hidden"]


def test_an_entry_out_of_place_shows_in_the_count():
    """When `count` is higher and the newest page has nothing newer, the new entry is on another page."""
    history = history_of(60, misplaced={"hidden"})
    _, page_order = poll(history, 9000)
    history.entries.append(Entry("hidden", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["hidden"]


def test_an_old_version_that_was_extended_proves_nothing():
    """If the server may sort by activity, an old version that was extended just now does not end the read."""
    history = history_of(60, order="latest, newest first")
    _, page_order = poll(history, 9000)
    for entry in history.entries[-6:]:
        entry.latest = 9010
    history.entries.append(Entry("new", 9001, 9001))
    assert poll(history, 9000, page_order)[0] == ["new"]


def test_entries_at_the_baseline_continue_on_the_next_page():
    """An entry exactly at the baseline does not end the read: others of that instant may be on the next page."""
    history = history_of(60)
    _, page_order = poll(history, 9000)
    history.entries += [Entry(f"n{n}", 9000 + (n > 1), 9000 + (n > 1)) for n in range(6)]
    assert poll(history, 9000, page_order)[0] == history.truth(9000)
    history = history_of(60)
    history.entries[30].latest = 9000
    assert poll(history, 9000, match="any_activity")[0] == ["v0030"]


def test_equal_times_on_two_pages_are_still_an_order():
    """Entries of one instant on two pages do not contradict an order."""
    history = history_of(60)
    for entry, other in zip(history.entries[4::5], history.entries[5::5], strict=False):
        other.created = other.latest = entry.created = entry.latest
    _, page_order = poll(history, 9000)
    history.requested.clear()
    poll(history, 9000, page_order)
    assert history.requested == [1]


def test_entries_of_one_instant_show_no_order():
    """A listing in which all entries have one time is in every order, so none is detected."""
    history = History([Entry(f"v{n}", 1000, 1000) for n in range(60)])
    assert not poll(history, 9000)[1].newest_times


def test_a_time_that_shows_little_may_be_what_the_server_sorts_by():
    """All pages are polled for activity as long as creation times do not contradict the order by activity."""
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
    """A time that one entry lacks is not used as an order."""
    history = history_of(60)
    whole = history.entries[7].document()
    history.entries[7].document = lambda: {**whole, "updated_at": None}
    assert set(poll(history, 9000)[1].newest_times) == {"created", "latest"}


def test_a_deletion_between_two_pages_of_new_entries():
    """An entry that a deletion moves from an unread page to one that was read is found."""
    history = history_of(60)
    _, page_order = poll(history, 9000)
    history.entries += [Entry(f"n{n:02}", 9000 + n, 9000 + n) for n in range(12)]

    def delete_once(history):
        if history.requested == [1]:
            history.entries = [entry for entry in history.entries if entry.id != "n11"]

    history.requested.clear()
    history.before = delete_once
    assert poll(history, 9000, page_order, concurrency=1)[0] == [f"n{n:02}" for n in range(11)]


def test_arrivals_and_deletions_that_cancel_out():
    """All new entries are returned although the first and the last page are unchanged."""
    for once in ([], [1, 2, 3, 4, 5, 1, 5]):  # while it is read first, and while it is read again to list all
        history = History([Entry(name, 1000, 1000) for name in "abcdefghij"], "as listed", size=2)
        history.entries[0] = Entry("known", 9000, 9000)

        def move(history, once=once):
            if history.requested == [*once, 1, 2]:
                history.entries[2:5] = [Entry("n1", 9001, 9001), *history.entries[2:4]]
            elif history.requested == [*once, 1, 2, 3]:
                history.entries[6] = Entry("n2", 9002, 9002)

        history.before = move
        assert poll(history, 9000, concurrency=1)[0] == ["known", "n1", "n2"]


def test_all_that_is_newer_than_the_version_named():
    """With since_version_id the read ends at an entry older than that version."""
    history = history_of(200)
    _, page_order = poll(history, 9000, version_id="v0199")
    history.entries += [Entry(f"n{n:02}", 3000 + n, 3000 + n) for n in range(12)]
    expected = [f"n{n:02}" for n in range(12)]
    assert poll(history, 9000, page_order, version_id="v0199")[0] == expected
    assert poll(history, 9000, msgspec.structs.replace(page_order, new_since=None), version_id="v0199")[0] == expected


@pytest.mark.parametrize("order", ORDERED)
def test_a_reversed_order_is_noticed(order):
    """When the server begins to sort in the opposite direction, new entries are found."""
    other = order.replace("newest", "?").replace("oldest", "newest").replace("?", "oldest")
    history = history_of(60, order=order)
    _, page_order = poll(history, 9000)
    history.order = other
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["new"]


@pytest.mark.parametrize("order", ORDERS)
def test_activity_counts_with_any_activity(order):
    """A version that was extended is new with any_activity only."""
    history = history_of(40, order=order)
    history.entries[-1].latest = 9005
    assert poll(history, 9000)[0] == []
    assert poll(history, 9000, match="any_activity")[0] == ["v0039"]


@pytest.mark.parametrize("order", ORDERS)
def test_activity_in_an_old_version_is_found_within_a_round(order):
    """An extended version on any page is found, with two requests a poll, when its page is polled in turn."""
    history = history_of(40, order=order)
    _, page_order = poll(history, 9000, match="any_activity")
    history.entries[17].latest = 9005
    for _ in range(9):
        history.requested.clear()
        found, page_order = poll(history, 9000, page_order, match="any_activity")
        if found:
            break
        assert len(history.requested) <= 2
    assert found == ["v0017"]


@pytest.mark.parametrize("order", ["updated, newest first", "updated, oldest first"])
def test_activity_that_does_not_change_the_order_is_found_within_a_round(order):
    """Growth may move only the time of the latest activity, while the server sorts by another one."""
    for seed in range(20):
        rng = random.Random(seed)
        history = History(order=order)
        for number in range(40):
            created = 1000 + 100 * number
            updated = created + rng.randrange(1, 50)
            if number and rng.random() < 0.2:  # edited after the next one was created: not in order of creation
                updated += 250
            history.entries.append(Entry(f"v{number:04}", created, updated + rng.randrange(20), updated=updated))
        found, page_order = poll(history, 9000, match="any_activity")
        assert (found, "created" in page_order.newest_times) == ([], False)
        grown = rng.choice(history.entries)
        grown.latest = 9005
        for _ in range(len(history.entries) // history.size):
            found, page_order = poll(history, 9000, page_order, match="any_activity")
            if found:
                break
        assert found == [grown.id], seed


@pytest.mark.parametrize("order", ["versions before logs", "logs before versions"])
@pytest.mark.parametrize("match", ["new_version", "any_activity"])
@pytest.mark.parametrize("known", [0, 1])
def test_the_first_version_among_ordered_logs_is_found_within_a_round(order, match, known):
    """The logs of a resource show where logs are listed. Versions may be listed elsewhere, and not be counted."""
    history = History(order=order, counts_logs_only=True)
    history.entries = [Entry(f"log{n:03}", 1000 + 7 * n, 1000 + 7 * n, log=True) for n in range(58)]
    history.entries += [Entry(f"old{n}", 900, 900) for n in range(known)]
    _, page_order = poll(history, 9000, match=match)
    history.entries.append(Entry("new", 9000, 9001))
    for _ in range(12):
        found, page_order = poll(history, 9000, page_order, match=match)
        if found:
            break
    assert found == ["new"]


def test_another_version_than_the_one_named():
    """With since_version_id, other versions that are not older are new; that version is not."""
    history = history_of(30)
    history.entries.append(Entry("twin", history.entries[20].created, 2000))
    expected = ["twin", *(f"v{n:04}" for n in range(21, 30))]
    assert poll(history, 0, version_id="v0020")[0] == expected


def test_the_named_version_is_known_without_reading_it_again():
    """The time of the named version is kept, so that later polls need not read its page."""
    history = history_of(200)
    found, page_order = poll(history, 9000, version_id="v0199")
    assert found == []
    history.requested.clear()
    assert poll(history, 9000, page_order, version_id="v0199")[0] == []
    assert len(history.requested) <= 2
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order, version_id="v0199")[0] == ["new"]


def test_activity_in_the_named_version_counts_since_the_baseline():
    """With any_activity the named version is new when it was extended since the run was due."""
    history = history_of(30)
    assert poll(history, 9000, version_id="v0029", match="any_activity")[0] == []
    history.entries[-1].latest = 9001
    assert poll(history, 9000, version_id="v0029", match="any_activity")[0] == ["v0029"]


def test_a_named_version_that_does_not_exist():
    """A since_version_id that does not exist is an error that names it."""
    with pytest.raises(SecodaConfigurationError, match=r"`since_version_id`: resource R has no version 'nope'"):
        poll(history_of(30), 0, version_id="nope")


def test_a_version_without_a_usable_time():
    """An entry without a usable time is an error and is not skipped."""
    history = history_of(3)
    history.entries[1].document = lambda: {"id": "odd", "created_at": "soon"}
    with pytest.raises(SecodaResponseError, match=r"'odd' on page 1 has no usable `created_at`"):
        poll(history, 9000)


def test_logs_without_a_version_are_used_too():
    """A first page of old logs without a version shows that nothing newer is on the next page."""
    history = history_of(20)
    history.entries += [Entry(f"log{n:03}", 3000 + n, 3000 + n, log=True) for n in range(40)]
    _, page_order = poll(history, 9000)
    history.requested.clear()
    assert poll(history, 9000, page_order)[0] == []
    assert history.requested == [1]


def test_missing_pages_are_not_an_error():
    """When the last page is gone after deletions, all pages are read again."""
    history = history_of(201, order="created, oldest first")
    _, page_order = poll(history, 9000)
    del history.entries[50:60]
    history.entries.append(Entry("new", 9000, 9000))
    assert poll(history, 9000, page_order)[0] == ["new"]
    history.beyond = "last"
    assert poll(history, 9000, page_order)[0] == ["new"]


def test_a_resource_that_does_not_exist():
    """404 for the first page means that the resource does not exist."""
    history = History()
    history.answer = lambda _request: Response(404, {}, b"{}")
    with pytest.raises(SecodaNotFoundError):
        poll(history, 0)


def test_a_page_order_survives_json():
    """A page order can be stored as JSON; anything else is not an error: the order is detected again."""
    _, page_order = poll(history_of(60), 9000)
    assert PageOrder.from_json(json.loads(json.dumps(msgspec.to_builtins(page_order)))) == page_order
    wrong = [{**msgspec.to_builtins(page_order), "newest_times": 3}, {**msgspec.to_builtins(page_order), "x": 1}]
    for value in (None, [], {}, "x", {"total_pages": 1}, *wrong):
        assert PageOrder.from_json(value) is None


@pytest.mark.parametrize("count", [3, 60])
def test_the_same_response_for_another_baseline(count):
    """A response without new entries for one baseline is evaluated again for another."""
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
    """Changes a history before some requests, and records what was new at each of them."""

    def __init__(self, rng_moves, since, match):
        self.moves, self.since, self.match, self.states = list(rng_moves), since, match, []

    def __call__(self, history):
        if self.moves:
            kind, where = self.moves.pop(0)
            number = len(history.entries) + len(history.requested)
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
    """While entries arrive, are extended, expire or are deleted, a poll returns what was new at one instant."""
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
            # An old version that was extended is found when its page is polled in turn.
            for _ in range(len(history.entries) + 2):
                found, page_order = poll(history, 9000, page_order, match=match, seed=seed)
                if found:
                    break
        assert found in mover.states or (match == "any_activity" and moves and not found)
        history.before = None
