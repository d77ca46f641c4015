"""HTTP reader for the sandbox, and the OpenAPI document that its responses are checked against."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
import requests

AUDIT = "/api/v1/activity_log/audit_logs/"
RESOURCE = "/api/v1/activity_log/resource_logs/"
DOCUMENT = json.loads((Path(__file__).parent.parent / "samples" / "secoda-openapi-8.22.39.json").read_text())
NOON = datetime(2026, 10, 14, 12, tzinfo=timezone.utc)

_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value):
    return datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None


def check(schema, answer):
    """Check a response against a schema of the document; undocumented fields are errors."""
    closed = json.loads(json.dumps(DOCUMENT["components"]))
    for one in closed["schemas"].values():
        one["additionalProperties"] = False
    jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": closed}, format_checker=_formats
    ).validate(answer)


def by(field="logged_at", order="desc", tie_breaker=None):
    """Return a sort parameter."""
    sort = {"field": field, "order": order}
    return json.dumps(sort | ({"tie_breaker": tie_breaker} if tie_breaker else {}))


class Reader:
    """Reads a sandbox with requests, without code of the sandbox."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.api_key}"

    def get(self, path=AUDIT, **params):
        return self.session.get(self.sandbox.url + path, params=params, allow_redirects=False, timeout=10)

    def page(self, path=AUDIT, **params):
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **params):
        return [log["id"] for log in self.page(**params)["results"]]

    def every_id(self, **params):
        """Return the ids of all pages, in order."""
        pages = self.page(**params)["total_pages"]
        return [one for number in range(1, pages + 1) for one in self.ids(page=number, **params)]


@pytest.fixture
def serve(secoda_sandbox_factory):
    """Return a function that starts a sandbox and returns a reader of it."""
    readers = []

    def start(workspace=None, **options):
        readers.append(Reader(secoda_sandbox_factory(workspace, **options)))
        return readers[-1]

    yield start
    for reader in readers:
        reader.session.close()


def minutes(count, **fields):
    """Return ``count`` logs, one a minute, ids ``L000`` upward, the first at :data:`NOON`."""
    return [{"id": f"L{number:03}", "logged_at": NOON + timedelta(minutes=number), **fields} for number in range(count)]
