"""``filter`` and ``sort``: the documented grammar works, everything else is an error."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.sandbox import Workspace

from .conftest import NOON, by, minutes


def test(operator, field, value):
    return {"operator": operator, "field": field, "value": value}


test.__test__ = False

LOGS = [
    {"id": "A", "performer_type": "USER", "activity_type": "VIEWED", "related_resource_ids": ["R1", "R2"]},
    {"id": "B", "performer_type": "API", "activity_type": "TAG_ADDED", "parent_id": "A", "is_legacy": True},
    {"id": "C", "performer_type": "SYSTEM", "activity_type": "TAG_REMOVED", "related_resource_ids": ["R2"]},
]


@pytest.fixture(scope="module")
def reader():
    from airflow_provider_secoda.sandbox import Sandbox

    from .conftest import Reader

    logs = [log | {"logged_at": NOON + timedelta(hours=place)} for place, log in enumerate(LOGS)]
    with Sandbox(Workspace(logs)) as sandbox:
        reader = Reader(sandbox)
        yield reader
        reader.session.close()


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (test("exact", "performer_type", "USER"), "A"),
        (test("exact", "parent_id", None), "AC"),
        (test("exact", "is_legacy", True), "B"),
        (test("exact", "logged_at", "2026-10-14T14:00:00+01:00"), "B"),
        (test("exact", "related_resource_ids", "R2"), "AC"),
        (test("contains", "activity_type", "TAG_"), "BC"),
        (test("contains", "related_resource_ids", "R1"), "A"),
        (test("in", "performer_type", ["API", "SYSTEM", "MONITOR"]), "BC"),
        (test("in", "performer_type", []), ""),
        (test("is_set", "parent_id", True), "B"),
        (test("is_set", "related_resource_ids", False), "B"),
        ({"operator": "and", "operands": []}, "ABC"),
        (
            {
                "operator": "and",
                "operands": [test("contains", "activity_type", "TAG"), test("exact", "id", "C")],
            },
            "C",
        ),
        ({"operator": "or", "operands": [test("exact", "id", "A"), test("exact", "id", "C")]}, "AC"),
        ({"operator": "not", "operands": [test("exact", "id", "A")]}, "BC"),
    ],
)
def test_filters(reader, node, expected):
    """A filter matches exactly its logs, and only they are counted."""
    page = reader.page(filter=json.dumps(node), sort=by(order="asc"))
    assert ("".join(log["id"] for log in page["results"]), page["count"]) == (expected, len(expected))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "null",
        "{}",
        json.dumps(test("equals", "id", "A")),
        json.dumps(test("gte", "logged_at", "2026-10-14T14:00:00Z")),
        json.dumps(test("exact", "nothing", "A")),
        json.dumps(test("exact", "metadata", "A")),
        json.dumps(test("exact", "id", 5)),
        json.dumps(test("exact", "logged_at", "yesterday")),
        json.dumps(test("in", "id", "A")),
        json.dumps(test("contains", "logged_at", "2026")),
        json.dumps(test("is_set", "id", "yes")),
        json.dumps(test("exact", "id", "A") | {"extra": 1}),
        '{"operator":"exact","field":"id"}',
        '{"operator":"or","operands":[]}',
        '{"operator":"not","operands":[]}',
        '{"operator":"and","operands":{}}',
        '{"operator":["exact"],"field":"id","value":"A"}',
        '{"operator":"exact","field":["id"],"value":"A"}',
        '{"operator":"not","operands":[' * 500,
        '{"operator":"not","operands":[' * 60 + json.dumps(test("exact", "id", "A")) + "]}" * 60,
    ],
    ids=lambda text: text[:60],
)
def test_filters_that_are_refused(reader, text):
    """A filter outside of the grammar is 400, never ignored."""
    answer = reader.get(filter=text)
    assert (answer.status_code, set(answer.json())) == (400, {"detail"})


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"field":"logged_at"}',
        '{"field":"logged_at","order":"down"}',
        '{"field":"event_blocks","order":"asc"}',
        '{"field":["id"],"order":"asc"}',
        '{"field":"id","order":["asc"]}',
        '{"field":"id","order":"asc","tie_breaker":"id"}',
        '{"field":"id","order":"asc","tie_breaker":{"field":"id"}}',
        '{"field":"id","order":"asc","then":1}',
    ],
)
def test_sorts_that_are_refused(reader, text):
    """A sort outside of the grammar is 400, never ignored."""
    assert reader.get(sort=text).status_code == 400


def test_default_order(serve):
    """Without a sort the newest ``created_at`` is first, or the order of the fault ``default_sort`` is used."""
    late = {"id": "late", "logged_at": NOON - timedelta(days=1), "created_at": NOON + timedelta(days=1)}
    reader = serve(Workspace([*minutes(2), late]))
    assert reader.ids() == ["late", "L001", "L000"]
    assert reader.ids(sort=by()) == ["L001", "L000", "late"]
    reader.sandbox.faults.default_sort = ("serial", "asc")
    assert reader.ids() == ["L000", "L001", "late"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (by(order="asc"), "bca"),
        (by(order="desc"), "abc"),
        (by(order="desc", tie_breaker={"field": "id", "order": "desc"}), "acb"),
        (by(order="asc", tie_breaker={"field": "id", "order": "desc"}), "cba"),
        (by("parent_id", "asc"), "acb"),
        (by("parent_id", "desc"), "bac"),
    ],
)
def test_ties(serve, sort, expected):
    """Equal logs stay in insertion order in both directions, unless there is a tie breaker; null is smallest."""
    at = NOON - timedelta(hours=1)
    logs = [{"id": "a"}, {"id": "b", "logged_at": at, "parent_id": "a"}, {"id": "c", "logged_at": at}]
    reader = serve(Workspace([{"logged_at": NOON} | log for log in logs]))
    assert "".join(reader.ids(sort=sort)) == expected


_texts = st.sampled_from(["2026-10-14T12:00:00Z", "2026-10-14T12:00:00.5Z", "2026-10-14T14:00:00+02:00"])
_log = st.fixed_dictionaries(
    {
        "logged_at": _texts,
        "performer_type": st.sampled_from(["USER", "API"]),
        "parent_id": st.none() | st.just("x"),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_log, max_size=12), st.lists(_log | st.none(), max_size=12))
def test_listings_follow_every_change(before, changes):
    """An index after additions and expiries equals a new one."""
    from airflow_provider_secoda.sandbox._server.query import parse_filter, parse_sort

    kept = parse_filter(json.dumps(test("exact", "performer_type", "USER")))
    sorts = [
        by(order="asc"),
        by("parent_id", "desc"),
        by("parent_id", "desc", {"field": "id", "order": "asc"}),
    ]
    orders = [parse_sort(sort) for sort in sorts]
    workspace = Workspace(before)
    live = [workspace.index(kept, kept, order) for order in orders]
    past = [[*index.rows] for index in live]
    for change in changes:
        workspace.expire() if change is None else workspace.add_log(**change)
    done = list(workspace.changes)
    for index, order, rows in zip(live, orders, past, strict=True):
        assert index.rows_before(done) == rows
        assert index.rows == workspace.index(object(), kept, order).rows
        assert index.rows != [] or not any(kept(entry) for entry in workspace._entries.values())
