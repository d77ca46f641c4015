"""Version histories of a resource: each one once, as sent, or an error."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._http.exchange import exchange
from airflow_provider_secoda.client._http.retry import RetryPolicy
from airflow_provider_secoda.client._versions.pages import read_version_histories
from airflow_provider_secoda.client.errors import SecodaConnectionError, SecodaIncompleteError, SecodaNotFoundError
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.sandbox import Faults, Workspace

BASE = "https://api.secoda.co"
SIZE = 3


def version(number, **more):
    return {"id": f"v{number}", "n": 12345678901234567890, **more}


class Resource:
    """A resource's entries behind a page-numbered listing; ``move`` is called before every answer."""

    def __init__(self, entries, move=None):
        self.entries, self.move, self.turn = list(entries), move, 0
        self.requested = []

    def answer(self, request):
        self.turn += 1
        if self.move:
            self.move(self.entries, self.turn)
        page = int(dict(request.params)["page"])
        self.requested.append(page)
        pages = max(1, -(-len(self.entries) // SIZE))
        shown = self.entries[(page - 1) * SIZE : page * SIZE]
        if page > pages:
            return Response(404, {}, b'{"detail": "Invalid page."}')
        body = {
            "version_histories": [entry for entry in shown if entry["id"].startswith("v")],
            "non_versioned_logs": [entry for entry in shown if not entry["id"].startswith("v")],
            "count": len(self.entries),
            "total_pages": pages,
            "meta": {"page": page},
        }
        return Response(200, {}, json.dumps(body).encode())


def read(answer, seed=0):
    """Read all versions; responses arrive out of order."""
    rng = random.Random(seed)
    wire = exchange(read_version_histories("R"), base_url=BASE, policy=RetryPolicy(attempts=1), concurrency=4)
    under_way = []
    try:
        step = next(wire)
        while True:
            under_way += step
            attempt = under_way.pop(rng.randrange(len(under_way)))
            step = wire.send((attempt, answer(attempt.request)))
    except StopIteration as stop:
        return stop.value


def ids(raws):
    return [json.loads(raw)["id"] for raw in raws]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
def test_all_versions_in_the_order_shown(count):
    """With any number of pages, every version is returned once, in the order of the pages."""
    resource = Resource([version(number) for number in range(count)])
    assert ids(read(resource.answer)) == [f"v{number}" for number in range(count)]


def test_pages_without_versions():
    """Logs without a version are on the pages, and some pages have nothing else; they are not returned."""
    entries = [version(0), *({"id": f"log{number}"} for number in range(7)), version(1)]
    assert ids(read(Resource(entries).answer)) == ["v0", "v1"]


def test_what_is_returned_is_what_was_sent():
    """A version is returned as the bytes that were sent, also big numbers."""
    assert read(Resource([version(0, a=2.5)]).answer) == [b'{"id": "v0", "n": 12345678901234567890, "a": 2.5}']


def test_a_version_that_is_created_during_the_read():
    """A new version at the head shifts all pages: everything is read again, with the new one."""

    def move(entries, turn):
        if turn == 4:
            entries.insert(0, version(99))

    resource = Resource([version(number) for number in range(10)], move)
    assert ids(read(resource.answer)) == ["v99", *(f"v{number}" for number in range(10))]


def test_a_version_that_is_extended_during_the_read():
    """A version that is extended during the read is returned once, in its newest form."""

    def move(entries, turn):
        if turn == 5:
            entries.insert(0, entries.pop() | {"n": 1})

    found = read(Resource([version(number) for number in range(10)], move).answer)
    assert ids(found) == ["v9", *(f"v{number}" for number in range(9))]
    assert json.loads(found[0])["n"] == 1


def test_a_page_that_vanishes_during_the_read():
    """404 for a later page means that entries were deleted, not that the resource does not exist."""

    def move(entries, turn):
        if turn == 2:
            del entries[-1:]

    resource = Resource([version(number) for number in range(10)], move)
    assert ids(read(resource.answer)) == [f"v{number}" for number in range(9)]


def test_pages_that_change_in_every_read():
    """Pages that change in every read are an error, as versions may be missing."""
    with pytest.raises(SecodaIncompleteError, match="changed in each of"):
        read(Resource([version(n) for n in range(10)], lambda e, turn: e.insert(0, version(100 + turn))).answer)


def test_a_server_that_always_returns_the_first_page():
    """A server that returns its first page for every page number is an error."""
    resource = Resource([version(number) for number in range(10)])

    def always_first(request):
        first = dict(request.params) | {"page": "1"}
        return resource.answer(type(request)(request.path, tuple(first.items())))

    with pytest.raises(SecodaIncompleteError, match="page 2 of 4"):
        read(always_first)


@pytest.mark.parametrize("missing", [2, 3, 4])
def test_an_empty_page(missing):
    """An empty page before the last one is an error."""
    resource = Resource([version(number) for number in range(10)])

    def hole(request):
        answer = resource.answer(request)
        if dict(request.params)["page"] == str(missing):
            body = json.loads(answer.body) | {"version_histories": []}
            return Response(200, {}, json.dumps(body).encode())
        return answer

    with pytest.raises(SecodaIncompleteError, match=f"page {missing} of 4"):
        read(hole)


def test_an_absurd_number_of_pages():
    """Billions of pages are an error and cost no memory."""
    body = b'{"version_histories":[],"non_versioned_logs":[{"id":"a"}],"count":1,"total_pages":4000000000}'
    with pytest.raises(SecodaIncompleteError, match="4000000000"):
        read(lambda _: Response(200, {}, body))


def test_errors_are_raised_as_they_are():
    """An unknown resource is a 404, and an error on any page is the error of the read."""
    with pytest.raises(SecodaNotFoundError):
        read(lambda _: Response(404))
    resource = Resource([version(number) for number in range(10)])
    with pytest.raises(SecodaConnectionError):
        read(
            lambda request: SecodaConnectionError("x") if ("page", "3") in request.params else resource.answer(request)
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 25), st.integers(), st.floats(0, 0.3))
def test_a_moving_resource(count, seed, chance):
    """During arrivals, activity and deletions no version that existed throughout is missing or returned twice."""
    rng = random.Random(seed)
    serial = iter(range(1000, 9999))
    touched = set()

    def move(entries, turn):
        if turn < 40 and rng.random() < chance:
            entries.insert(0, version(next(serial)))
        if turn < 40 and entries and rng.random() < chance:
            entry = entries.pop(rng.randrange(len(entries)))
            entries.insert(0, entry)
        if turn < 40 and entries and rng.random() < chance:
            touched.add(entries.pop()["id"])

    resource = Resource([version(number) for number in range(count)], move)
    try:
        found = ids(read(resource.answer, seed))
    except SecodaIncompleteError:
        return
    assert len(found) == len(set(found))
    assert {f"v{number}" for number in range(count)} - touched <= set(found)


@pytest.mark.parametrize("order", ["newest", "oldest", "id"])
def test_against_the_sandbox(secoda_sandbox_factory, order):
    """The versions of a workspace are read from a server, in any order, from several pages."""
    workspace = Workspace()
    made = {workspace.add_version("R")["id"] for _ in range(11)}
    for _ in range(5):
        workspace.add_log(resource_id="R", version_history_id=None)
    sandbox = secoda_sandbox_factory(workspace, page_size=4, faults=Faults(resource_order=order))
    with SecodaClient(sandbox.api_key, sandbox.url) as client:
        found = ids(client.version_histories("R"))
        assert (len(found), set(found)) == (11, made)
        with pytest.raises(SecodaNotFoundError):
            client.version_histories("nowhere")
