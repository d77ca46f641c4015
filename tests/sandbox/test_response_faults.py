"""Faults of responses, as a client sees them."""

import gzip
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import pytest
import requests

from airflow_provider_secoda.sandbox import Faults, Workspace

from .conftest import AUDIT, RESOURCE, minutes


@pytest.fixture
def reader(serve):
    return serve(Workspace(minutes(20, resource_id="R")))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_scripted_status(reader, status):
    """A scripted status is the response to exactly one request, on either listing; the health check is not affected."""
    reader.sandbox.faults.script = [status, status]
    assert reader.get("/healthcheck").status_code == 200
    assert reader.get(AUDIT).status_code == status
    assert reader.get(RESOURCE, resource_id="R").status_code == status
    assert reader.get(AUDIT).status_code == 200


def test_a_status_with_headers(reader):
    """A scripted status can carry headers."""
    reader.sandbox.faults.script.append(("status", 429, {"Retry-After": "17"}))
    answer = reader.get()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")


def test_a_truncated_response(reader):
    """A truncated response has its true length in the header and ends halfway, and the connection closes."""
    whole = reader.get().content
    reader.sandbox.faults.script = ["cut"]
    connection = http.client.HTTPConnection(reader.sandbox.url.removeprefix("http://"))
    connection.request("GET", AUDIT, headers={"Authorization": f"Bearer {reader.sandbox.api_key}"})
    answer = connection.getresponse()
    assert (answer.status, int(answer.headers["content-length"])) == (200, len(whole))
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial == whole[: len(whole) // 2]
    connection.close()


def test_reset(reader):
    """A reset connection sends no response, and the next request is served."""
    reader.sandbox.faults.script = ["reset"]
    with pytest.raises(requests.ConnectionError):
        reader.get()
    assert reader.sandbox.requests[0].status is None
    assert reader.get().status_code == 200


def test_foreign_bodies(reader):
    """A login page and a foreign JSON body come with status 200."""
    reader.sandbox.faults.script = ["html", 'json:{"results": 1}']
    page, foreign = reader.get(), reader.get()
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in page.text
    assert (foreign.status_code, foreign.json()) == (200, {"results": 1})


def test_redirect(reader):
    """A redirect names the address it was given."""
    reader.sandbox.faults.script = ["redirect:https://elsewhere.example/api/"]
    answer = reader.get()
    assert (answer.status_code, answer.headers["location"]) == (302, "https://elsewhere.example/api/")


def test_slow(reader):
    """A slow response is the correct one, later."""
    reader.sandbox.faults.script = ["slow:0.2"]
    begin = time.monotonic()
    assert len(reader.ids()) == 20
    assert time.monotonic() - begin >= 0.2


def test_unknown_one_shot_faults(reader):
    """An unknown one-shot fault is 400 with its name, not a server error."""
    reader.sandbox.faults.script.append("cutt")
    answer = reader.get()
    assert answer.status_code == 400
    assert "cutt" in answer.json()["detail"]


def test_random_errors(reader):
    """Errors have the given rate, statuses and Retry-After; one seed gives the same errors."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    faults = {"error_rate": 0.5, "error_statuses": (500, 503), "retry_after": date, "seed": 5}
    runs = []
    for _ in range(2):
        reader.sandbox.faults = Faults(**faults)
        runs.append([reader.get() for _ in range(60)])
    seen = [[answer.status_code for answer in run] for run in runs]
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500, 503}
    assert 15 < seen[0].count(200) < 45
    errors = [answer for answer in runs[0] if answer.status_code != 200]
    assert {parsedate_to_datetime(answer.headers["retry-after"]) for answer in errors} == {parsedate_to_datetime(date)}


def test_rate_limit(reader):
    """Requests above the rate are 429 with the seconds to wait; after them the next request is served."""
    reader.sandbox.faults.rate_limit = (3, 0.5)
    answers = [reader.get() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    time.sleep(0.5)
    assert reader.get().status_code == 200


def test_most_in_flight(reader):
    """Concurrent requests above the limit are 429 at once; later requests are served."""
    reader.sandbox.faults.most_in_flight = 2
    reader.sandbox.faults.latency = 1.0
    headers = {"Authorization": f"Bearer {reader.sandbox.api_key}"}
    with ThreadPoolExecutor(5) as pool:
        answers = list(
            pool.map(lambda url: requests.get(url, headers=headers, timeout=10), [reader.sandbox.url + AUDIT] * 5)
        )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
    assert reader.get().status_code == 200


def test_latency(reader):
    """Each response takes the latency; concurrent ones take it together."""
    reader.sandbox.faults.latency = 0.1
    begin = time.monotonic()
    assert reader.get().status_code == 200
    assert time.monotonic() - begin >= 0.1


def test_gzip(reader):
    """Responses are compressed for clients that accept it, and only for them."""
    whole = reader.get().content
    reader.sandbox.faults.gzip = True
    packed = reader.session.get(reader.sandbox.url + AUDIT, stream=True)
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.raw.read()) == whole
    reader.session.headers["Accept-Encoding"] = "identity"
    plain = reader.get()
    assert ("content-encoding" in plain.headers, plain.content) == (False, whole)
