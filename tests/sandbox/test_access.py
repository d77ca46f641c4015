"""Access: the sandbox checks paths, keys and page numbers as strictly as the service may."""

import pytest

from airflow_provider_secoda.sandbox import Workspace

from .conftest import AUDIT, RESOURCE, minutes


@pytest.fixture
def reader(serve):
    return serve(Workspace(minutes(3, resource_id="R1")), member_key="member-key-not-a-secret", page_size=2)


@pytest.mark.parametrize("path", [AUDIT[:-1], RESOURCE[:-1], "/", "/api/v1/activity_log/", AUDIT + "x/"])
def test_other_paths_do_not_exist(reader, path):
    """A path without its trailing slash, or an unknown path, is 404 without a redirect."""
    answer = reader.get(path)
    assert (answer.status_code, set(answer.json())) == (404, {"detail"})


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "bearer {key}", "Token {key}", "{key}"])
def test_only_a_bearer_key_opens(reader, header):
    """No key, a wrong one, or the right one under another scheme is 401 on both listings."""
    del reader.session.headers["Authorization"]
    if header is not None:
        reader.session.headers["Authorization"] = header.format(key=reader.sandbox.api_key)
    assert reader.get(AUDIT).status_code == 401
    assert reader.get(RESOURCE, resource_id="R1").status_code == 401
    assert not any(request.authorized for request in reader.sandbox.requests)


def test_a_member_reads_resources_only(reader):
    """The key of a user who is not an admin gets 403 on audit logs and 200 on resource logs."""
    reader.session.headers["Authorization"] = f"Bearer {reader.sandbox.member_key}"
    assert reader.get(AUDIT).status_code == 403
    assert reader.get(RESOURCE, resource_id="R1").status_code == 200


@pytest.mark.parametrize("page", ["0", "-1", "3", "x", "", "1.0", "\u0661", "9" * 5000])
def test_pages_that_do_not_exist(reader, page):
    """A page that is not a number, or is after the last one, is 404."""
    assert reader.get(AUDIT, page=page).status_code == 404
    assert reader.get(RESOURCE, resource_id="R1", page=page).status_code == 404


def test_resources_that_do_not_exist(reader):
    """An unknown resource is 404; a request without a resource is 422."""
    assert reader.get(RESOURCE, resource_id="R2").status_code == 404
    assert reader.get(RESOURCE).status_code == 422


def test_only_get(reader):
    """The listings accept GET only."""
    assert reader.session.post(reader.sandbox.url + AUDIT).status_code == 405


def test_what_is_recorded(reader):
    """A request is recorded with its query and answer, in order, and without its key."""
    reader.get(AUDIT, page=2)
    reader.get(AUDIT[:-1])
    first, second = reader.sandbox.requests
    assert (first.path, first.params, first.status, first.authorized) == (AUDIT, {"page": "2"}, 200, True)
    assert (second.path, second.status) == (AUDIT[:-1], 404)
    assert first.at < second.at
    assert first.headers["authorization"] == "Bearer ***"
    assert reader.sandbox.api_key not in repr(reader.sandbox.requests)
