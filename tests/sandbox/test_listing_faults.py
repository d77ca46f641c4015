"""Faults that change, hide or reorder the logs of a listing."""

import json
from datetime import datetime, timedelta

import pytest

from airflow_provider_secoda.sandbox import Faults, Workspace

from .conftest import AUDIT, NOON, RESOURCE, by, check, minutes

NEWEST_FIRST = [f"L{number:03}" for number in reversed(range(10))]


@pytest.fixture
def reader(serve):
    return serve(Workspace(minutes(10)), page_size=3)


def test_order_ignored(reader):
    """An ignored sort gives the default order."""
    reader.sandbox.faults.order = "ignored"
    assert reader.every_id(sort=by(order="asc")) == NEWEST_FIRST


def test_order_refused(reader):
    """A refused sort is 400; without a sort the listing works."""
    reader.sandbox.faults.order = "refused"
    assert reader.get(sort=by()).status_code == 400
    assert reader.every_id() == NEWEST_FIRST


def test_order_reversed(reader):
    """A reversed sort gives the opposite order."""
    reader.sandbox.faults.order = "reversed"
    assert reader.every_id(sort=by()) == NEWEST_FIRST[::-1]


def test_order_broken(reader):
    """A broken sort has a few logs too late in one place, and every log once."""
    reader.sandbox.faults = Faults(order="broken", broken_at=0.2, broken_logs=2, broken_by=4)
    places = [2, 3]
    expected = NEWEST_FIRST[:2] + NEWEST_FIRST[4:8] + [NEWEST_FIRST[place] for place in places] + NEWEST_FIRST[8:]
    assert reader.every_id(sort=by()) == expected
    assert reader.every_id() == NEWEST_FIRST


def test_tie_breakers(serve):
    """A tie breaker may be ignored, refused, or honoured."""
    reader = serve(Workspace([*minutes(1), {"id": "K", "logged_at": NOON}]))
    sort = by(tie_breaker={"field": "id", "order": "asc"})
    assert reader.ids(sort=sort) == ["K", "L000"]
    reader.sandbox.faults.tie_breaker = "ignored"
    assert reader.ids(sort=sort) == ["L000", "K"]
    reader.sandbox.faults.tie_breaker = "refused"
    assert reader.get(sort=sort).status_code == 400
    assert reader.get(sort=by()).status_code == 200


def test_shuffled_ties(serve):
    """Shuffled ties move among themselves only, differ from request to request, and agree for one seed."""
    workspace = Workspace(minutes(1) + [{"id": f"T{n}", "logged_at": NOON - timedelta(1)} for n in range(8)])
    workspace.add_log(id="old", logged_at=NOON - timedelta(2))
    reader = serve(workspace, page_size=5, faults=Faults(ties="shuffled", seed=3))
    seen = [reader.every_id(sort=by()) for _ in range(6)]
    assert all((one[0], one[-1]) == ("L000", "old") for one in seen)
    assert len({tuple(one) for one in seen}) > 1
    assert any(len(set(one)) < len(one) for one in seen)
    reader.sandbox.faults = Faults(ties="shuffled", seed=3)
    assert [reader.every_id(sort=by()) for _ in range(6)] == seen
    for page in (1, 2):
        shown = {one for _ in range(40) for one in reader.ids(sort=by(), page=page)}
        assert shown == {"L000" if page == 1 else "old", *(f"T{n}" for n in range(8))}
    unique = reader.every_id(sort=by(tie_breaker={"field": "id", "order": "asc"}))
    assert unique == ["L000", *(f"T{n}" for n in range(8)), "old"]


def test_arrivals(reader):
    """Before every second request a new log arrives, in every listing and count."""
    reader.sandbox.faults.arrivals_every = 2
    counts = [reader.page(sort=by())["count"] for _ in range(4)]
    assert counts == [10, 11, 11, 12]
    assert reader.page(sort=by())["results"][2]["id"] == "L009"


def test_late_arrivals(reader):
    """A late log is in the middle by ``logged_at`` and first by ``created_at``."""
    reader.sandbox.faults.late_arrivals_every = 1
    reader.sandbox.faults.late_at = NOON + timedelta(minutes=4, seconds=30)
    page = reader.page(page=2, sort=by())
    late = page["results"][2]
    assert [log["id"] for log in page["results"][:2]] == ["L006", "L005"]
    assert late["logged_at"] == "2026-10-14T12:04:30Z"
    reader.sandbox.faults.late_arrivals_every = None
    assert reader.ids(sort=by("created_at"))[0] == late["id"]


def test_late_arrivals_by_fraction(reader):
    """``late_at`` can be a fraction of the time between the oldest and the newest log."""
    reader.sandbox.faults = Faults(late_arrivals_every=1, late_at=0.5)
    assert "2026-10-14T12:04:30Z" in [log["logged_at"] for log in reader.page(page=2, sort=by())["results"]]


def test_expiry(reader):
    """Before every n-th request the log with the oldest ``logged_at`` is removed, also from ``count``."""
    reader.sandbox.faults = Faults(expire_every=2)
    pages = [reader.page(sort=by(order="asc")) for _ in range(4)]
    assert [(page["count"], page["results"][0]["id"]) for page in pages] == [
        (10, "L000"), (9, "L001"), (9, "L001"), (8, "L002"),
    ]  # fmt: skip


def test_arrivals_and_expiry_at_one_rate(reader):
    """Logs can arrive and expire at one rate, so that the count stays the same."""
    reader.sandbox.faults = Faults(arrivals_every=1, expire_every=1)
    pages = [reader.page(page=2, sort=by()) for _ in range(2)]
    assert {page["count"] for page in pages} == {10}
    first, second = ([log["id"] for log in page["results"]] for page in pages)
    assert first[:2] == second[1:]


def test_refused_requests_change_nothing(reader):
    """Only an authorized audit-log request changes the workspace."""
    reader.sandbox.faults = Faults(arrivals_every=1, script=[500])
    reader.get()
    del reader.session.headers["Authorization"]
    reader.get()
    assert len(reader.sandbox.workspace) == 10


@pytest.mark.parametrize(("count", "said"), [("true", (10, 4)), ("capped", (5, 2))])
@pytest.mark.parametrize(("beyond", "status"), [("empty", 200), ("404", 404), ("400", 400)])
def test_cap(reader, count, said, beyond, status):
    """A cap can end within a page, counted or not; later pages get the chosen response, pages after all logs 404."""
    reader.sandbox.faults = Faults(cap=5, cap_count=count, beyond_cap=beyond)
    first, second = reader.page(sort=by()), reader.page(sort=by(), page=2)
    assert (first["count"], first["total_pages"]) == said
    assert len(second["results"]) == 2
    assert (second["meta"]["next_page"] is None) == (count == "capped")
    third = reader.get(sort=by(), page=3)
    assert third.status_code == status
    if status == 200:
        assert third.json()["results"] == []
        check("v1_ActivityLogOutPaginated", third.json())
    assert reader.get(sort=by(), page=5).status_code == 404


def test_a_cap_between_pages(reader):
    """A cap at the end of a page returns nothing of the next page."""
    reader.sandbox.faults = Faults(cap=3, beyond_cap="404")
    assert reader.ids(sort=by()) == ["L009", "L008", "L007"]
    assert reader.get(sort=by(), page=2).status_code == 404


def test_a_cap_in_the_opposite_order(reader):
    """The cap counts from the start of the requested order, so the opposite order shows the other end."""
    reader.sandbox.faults = Faults(cap=3)
    assert reader.ids(sort=by(order="asc")) == ["L000", "L001", "L002"]
    assert reader.ids(sort=by(order="asc"), page=2) == []


@pytest.mark.parametrize(("policy", "expected"), [("last", ["L000"]), ("empty", [])])
def test_pages_out_of_range(reader, policy, expected):
    """A page after the last can repeat the last one, or be empty."""
    reader.sandbox.faults.page_out_of_range = policy
    page = reader.page(sort=by(), page=9)
    assert [log["id"] for log in page["results"]] == expected
    assert page["meta"]["page"] == (4 if policy == "last" else 9)


def test_missing_logs(reader):
    """A page can be empty, one can miss its last log, some logs are never returned: all are counted."""
    reader.sandbox.faults = Faults(empty_page=2, short_page=3, hide={"L009"})
    assert [reader.ids(sort=by(), page=page) for page in (1, 2, 3, 4)] == [
        ["L008", "L007"], [], ["L003", "L002"], ["L000"],
    ]  # fmt: skip
    assert reader.page()["count"] == 10


def test_stale_pages(reader):
    """A stale page shows the listing and the count as they were a few changes ago."""
    workspace = reader.sandbox.workspace
    for number in range(3):
        workspace.add_log(id=f"new{number}", logged_at=NOON + timedelta(days=1, minutes=number))
        workspace.expire()
    reader.sandbox.faults.stale_rate = 1.0
    pages = [reader.page(sort=by()) for _ in range(40)]
    heads = {page["results"][0]["id"] for page in pages}
    assert heads == {"L009", "new0", "new1", "new2"}
    assert {page["count"] for page in pages} == {10, 11}
    reader.sandbox.faults.stale_rate = 0.0
    assert reader.ids(sort=by())[0] == "new2"


def test_a_cap_counts_what_the_filter_leaves(reader):
    """The cap counts the logs that match the filter."""
    reader.sandbox.faults = Faults(cap=3)
    query = json.dumps({"operator": "in", "field": "id", "value": ["L000", "L001"]})
    assert reader.every_id(filter=query, sort=by()) == ["L001", "L000"]


@pytest.mark.parametrize(("order", "expected"), [("newest", "CBA"), ("oldest", "ABC"), ("id", "ABC")])
def test_order_of_resource_logs(serve, order, expected):
    """Resource logs are sorted newest first, oldest first, or by id: the reference does not specify it."""
    logs = [{"id": name, "resource_id": "R", "logged_at": NOON + timedelta(n)} for n, name in enumerate("ABC")]
    reader = serve(Workspace(logs), faults=Faults(resource_order=order))
    page = reader.page(RESOURCE, resource_id="R")
    assert "".join(log["id"] for log in page["non_versioned_logs"]) == expected


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("order", "sideways"), ("orders", "ignored"), ("arrivals_every", 0), ("stale_rate", 2), ("hide", 5),
        ("late_at", datetime(2026, 10, 14)), ("late_at", 1.5),  # noqa: DTZ001
        ("default_sort", ("nothing", "asc")), ("empty_listing_pages", 2), ("script", [5.5]),
    ],
)  # fmt: skip
def test_unknown_switches(switch, value):
    """An unknown switch or value is an error, in the constructor and as an assignment."""
    with pytest.raises((AttributeError, ValueError), match=switch):
        setattr(Faults(), switch, value)
    with pytest.raises((TypeError, ValueError), match=switch):
        Faults(**{switch: value})


def test_reset(reader):
    """A reset clears the requests and turns the faults off; the workspace stays."""
    reader.sandbox.faults.arrivals_every = 1
    reader.get(AUDIT)
    reader.sandbox.reset()
    assert (reader.sandbox.requests, reader.sandbox.faults) == ([], Faults())
    assert reader.page()["count"] == 11
