"""Every response is valid by the vendor's OpenAPI document."""

import json

import pytest

from airflow_provider_secoda.sandbox import Workspace

from .conftest import AUDIT, NOON, RESOURCE, by, check, minutes


def test_pages_of_a_generated_workspace(serve):
    """All logs of a generated workspace have documented fields only."""
    reader = serve(Workspace.generate(logs=1500, until=NOON), page_size=500)
    for number in (1, 2, 3):
        page = reader.page(page=number, sort=by())
        assert len(page["results"]) == 500
        check("v1_ActivityLogOutPaginated", page)


def test_pages_of_resource_logs(serve):
    """Each page of the logs and versions of a generated resource has documented fields only."""
    workspace = Workspace.generate(logs=3000, until=NOON)
    reader = serve(workspace, page_size=20)
    busiest = max(workspace.logs, key=lambda log: log["version_history_id"] is not None)["resource_id"]
    first = reader.page(RESOURCE, resource_id=busiest)
    assert first["total_pages"] > 1
    for number in range(1, first["total_pages"] + 1):
        check("v1_ResourceActivityLogOutPaginated", reader.page(RESOURCE, resource_id=busiest, page=number))


def test_hand_made_logs_and_versions(serve):
    """Logs and versions that are completed from a few fields have documented fields only."""
    workspace = Workspace([{}, {"performer_type": "SYSTEM"}, {"resource_id": "R1", "resource_type": "TAG"}])
    workspace.add_log(resource_id=None, metadata={"large": 12345678901234567890123})
    workspace.add_version("R1")
    workspace.add_version("R1", id="V2", latest_activity_logged_at=NOON, older_than_thirty_days=None)
    reader = serve(workspace)
    check("v1_ActivityLogOutPaginated", reader.page())
    history = reader.page(RESOURCE, resource_id="R1")
    check("v1_ResourceActivityLogOutPaginated", history)
    assert [len(history["version_histories"]), len(history["non_versioned_logs"])] == [2, 1]


@pytest.mark.parametrize("pages", [0, 1])
def test_an_empty_listing(serve, pages):
    """Page 1 of a workspace without logs is empty, with either number of pages."""
    reader = serve(Workspace())
    reader.sandbox.faults.empty_listing_pages = pages
    page = reader.page()
    check("v1_ActivityLogOutPaginated", page)
    assert page == {"results": [], "count": 0, "total_pages": pages, "meta": page["meta"]}
    assert page["meta"] == {
        "page": 1, "previous_page": None, "next_page": None, "count": 0, "total_pages": pages,
    }  # fmt: skip


def test_the_position_of_a_page(serve):
    """``meta`` has the previous and the next page, or null."""
    reader = serve(Workspace(minutes(5)), page_size=2)
    stands = [reader.page(page=number)["meta"] for number in (1, 2, 3)]
    assert [(one["previous_page"], one["page"], one["next_page"]) for one in stands] == [
        (None, 1, 2), (1, 2, 3), (2, 3, None),
    ]  # fmt: skip
    assert {(one["count"], one["total_pages"]) for one in stands} == {(5, 3)}


RAW = b"""{
  "z_unknown" : [1, 2.50, -0.0], "id": "raw-1",
  "logged_at": "2026-10-14T12:00:00.123456789+02:00", "big": 12345678901234567890,
  "title": "Zo\xc3\xab \\u00eb", "created_at": "2026-10-14T10:00:01Z", "updated_at":"2026-10-14T10:00:01Z"
}"""


def test_raw_logs_are_served_byte_for_byte(serve):
    """A log given as bytes is in the body as these bytes, at its place in the order."""
    workspace = Workspace([*minutes(1), {"id": "before", "logged_at": "2026-10-14T10:00:00.123Z"}])
    assert workspace.add_log(raw=RAW)["big"] == 12345678901234567890
    reader = serve(workspace)
    body = reader.get(sort=by()).content
    assert RAW in body
    assert [log["id"] for log in json.loads(body)["results"]] == ["L000", "raw-1", "before"]


def test_offsets(serve):
    """Timestamps with different offsets are sorted by time."""
    texts = [
        "2026-10-14T07:59:59-05:30",
        "2026-10-14T13:30:00Z",
        "2026-10-14T15:30:01+0200",
        "2026-10-14 13:30:02",
    ]
    reader = serve(Workspace({"logged_at": text} for text in reversed(texts)))
    assert [log["logged_at"] for log in reader.page(sort=by(order="asc"))["results"]] == texts


def test_parts_of_a_raw_log(serve):
    """A raw log without an id or a valid timestamp is sorted by the given fields."""
    workspace = Workspace(minutes(3))
    workspace.add_log(raw=b'{"logged_at": 5}', logged_at="2026-10-14T12:01:30Z")
    body = serve(workspace).get(sort=by(order="asc")).json()
    assert [log.get("id") for log in body["results"]] == ["L000", "L001", None, "L002"]


def test_health_and_errors_are_json(serve):
    """The health check needs no key, and errors have a ``detail``."""
    reader = serve(Workspace())
    del reader.session.headers["Authorization"]
    assert reader.page("/healthcheck") == {"status": "OK"}
    refused = reader.get(AUDIT)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/json"
    assert set(refused.json()) == {"detail"}
