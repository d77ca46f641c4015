"""The invented workspace: deterministic, realistic, and changeable."""

import json
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from airflow_provider_secoda.sandbox import Workspace

from .conftest import NOON, RESOURCE, minutes


def when(log, field):
    """Return a timestamp of a log; strings do not compare, because whole seconds have no fraction."""
    return datetime.fromisoformat(log[field].replace("Z", "+00:00"))


def test_generation_is_deterministic():
    """The same seed and end give the same bytes; another seed gives other ids."""
    one, two = (Workspace.generate(logs=400, until=NOON) for _ in range(2))
    other = Workspace.generate(seed=8, logs=400, until=NOON)
    assert one.raw_logs == two.raw_logs
    assert one.add_log(logged_at=NOON) == two.add_log(logged_at=NOON)
    assert not {log["id"] for log in one.logs} & {log["id"] for log in other.logs}


def test_generated_time():
    """All logs are in the requested span, oldest first; each appears in the listing after it was logged."""
    logs = Workspace.generate(logs=4000, days=10, until=NOON).logs
    times = [when(log, "logged_at") for log in logs]
    seen = [when(log, "created_at") for log in logs]
    assert len(logs) == 4000
    assert NOON - timedelta(days=10) - timedelta(seconds=1) <= times[0]
    assert times == sorted(times)
    assert max(seen) < NOON
    lags = [late - logged for logged, late in zip(times, seen, strict=True)]
    assert min(lags) >= timedelta(0)
    assert sum(lag > timedelta(minutes=1) for lag in lags) in range(1, 60)
    assert len(set(times)) < len(times)


def test_generated_rhythm():
    """People act in office hours on weekdays; extractions fill the nights."""
    logs = Workspace.generate(logs=4000, days=28, until=NOON).logs
    hours = {"USER": [0, 0], "EXTRACTION": [0, 0]}
    for log in logs:
        if log["performer_type"] in hours:
            hours[log["performer_type"]][7 <= when(log, "logged_at").hour < 19] += 1
    assert hours["USER"][True] > 5 * hours["USER"][False]
    assert hours["EXTRACTION"][False] > 5 * hours["EXTRACTION"][True]


def test_generated_logs_read_as_sentences():
    """Event blocks read as a sentence, and edits of catalog entries make versions."""
    logs = Workspace.generate(logs=3000, until=NOON).logs
    texts = {"".join(block["value"] for block in log["event_blocks"]) for log in logs}
    assert "Ada Okafor updated the description of orders" in texts
    assert {log["performer_type"] for log in logs} == {
        "API", "AUTOMATION", "INTEGRATION", "EXTRACTION", "SYSTEM", "USER", "UNKNOWN", "MONITOR",
    }  # fmt: skip
    edits = [log for log in logs if log["version_history_id"]]
    assert {log["resource_type"] for log in edits} == {"SECODA_ENTITY"}
    assert 300 < len({log["version_history_id"] for log in edits}) < len(edits) < len(logs)


@pytest.mark.parametrize("wrong", [{"people": 0}, {"people": 501}, {"logs": -1}, {"days": 0}])
def test_generation_out_of_range(wrong):
    """Numbers out of range are errors."""
    with pytest.raises(ValueError, match=r"\d"):
        Workspace.generate(**({"logs": 10} | wrong))


def test_until_needs_a_time_zone():
    """An end without a time zone is an error."""
    with pytest.raises(ValueError, match="time zone"):
        Workspace.generate(logs=1, until=datetime(2026, 10, 14))  # noqa: DTZ001


@pytest.mark.parametrize("logs", [0, 1, 500])
@pytest.mark.parametrize("people", [1, 500])
def test_small_and_large_workspaces(logs, people):
    """The number of logs is the requested one for any number of users, and no log is after the end."""
    made = Workspace.generate(logs=logs, days=0.0001, until=NOON, people=people).logs
    assert len(made) == logs
    assert all(when(log, "logged_at") <= when(log, "created_at") < NOON for log in made)


def test_what_is_filled_in():
    """A log without fields is of now, by the first user, on the first table."""
    before = datetime.now(timezone.utc)
    log = Workspace().add_log()
    assert before <= when(log, "logged_at") <= datetime.now(timezone.utc)
    assert when(log, "created_at") == when(log, "updated_at") > when(log, "logged_at")
    assert "".join(block["value"] for block in log["event_blocks"]) == ("Ada Okafor updated the description of orders")


def test_fields_given_stay_as_given():
    """Given fields are not changed, also not the format of a timestamp."""
    log = Workspace().add_log(
        id="X", logged_at="2026-10-14T12:00:00.100+02:00", performer_id=None, performer_type="MONITOR"
    )
    assert (log["id"], log["logged_at"], log["performer_id"], log["performer_metadata"]) == (
        "X", "2026-10-14T12:00:00.100+02:00", None, None,
    )  # fmt: skip
    assert log["created_at"] == "2026-10-14T10:00:00.300000Z"


@pytest.mark.parametrize(
    "fields", [{"performer_typ": "USER"}, {"performer_type": "PERSON"}, {"resource_type": "TABLE"}, {"id": 5}]
)
def test_logs_that_the_reference_does_not_know(fields):
    """An undocumented field or value is an error, except in raw bytes, and nothing is added."""
    workspace = Workspace()
    with pytest.raises(msgspec.ValidationError):
        workspace.add_log(**fields)
    assert len(workspace) == 0
    assert workspace.add_log(raw=json.dumps(fields)) == fields


@pytest.mark.parametrize("fields", [{"raw": "[]"}, {"raw": "{"}, {"logged_at": "now"}, {"id": "L000"}])
def test_invalid_logs(fields):
    """A log that is not an object, has an invalid time, or an existing id is an error."""
    workspace = Workspace(minutes(1))
    with pytest.raises(ValueError, match=r"."):
        workspace.add_log(**fields)
    assert len(workspace) == 1


def test_window():
    """The window is half-open, in ascending (timestamp, id), by each of the timestamps."""
    tied = {"id": "K", "logged_at": NOON + timedelta(minutes=1), "created_at": NOON}
    workspace = Workspace([*minutes(4), tied])

    def ids(**options):
        found = workspace.window(NOON + timedelta(minutes=1), NOON + timedelta(minutes=3), **options)
        return [json.loads(raw)["id"] for raw in found]

    assert ids() == ["K", "L001", "L002"]
    assert ids(timestamp_field="created_at") == ["L001", "L002"]
    with pytest.raises(ValueError, match="must be one of"):
        ids(timestamp_field="id")


def test_expiry(serve):
    """Expiry removes the logs with the oldest ``logged_at`` from both listings; versions keep theirs."""
    workspace = Workspace(minutes(4, resource_id="R"))
    workspace.add_version("R", id="V", latest_activity_logged_at=NOON - timedelta(days=1))
    workspace.expire(2)
    reader = serve(workspace)
    assert reader.every_id() == ["L003", "L002", "L001"]
    history = reader.page(RESOURCE, resource_id="R")
    assert [log["id"] for log in history["non_versioned_logs"]] == ["L003", "L002", "L001"]
    assert len(history["version_histories"][0]["activity_logs"]) == 1
    workspace.expire(100)
    workspace.expire(0)
    assert reader.every_id() == []


def test_an_edit_extends_a_version(serve):
    """An edit of the newest version moves its latest activity; its id and its creation time stay."""
    workspace = Workspace()
    first = workspace.add_version("R", latest_activity_logged_at=NOON, secoda_entity_type="table")
    workspace.add_log(resource_id="R", version_history_id=first["id"], logged_at=NOON + timedelta(minutes=5), id="edit")
    (version,) = serve(workspace).page(RESOURCE, resource_id="R")["version_histories"]
    assert (version["id"], version["created_at"]) == (first["id"], first["created_at"])
    assert (first["latest_activity_logged_at"], version["latest_activity_logged_at"]) == (
        "2026-10-14T12:00:00Z", "2026-10-14T12:05:00Z",
    )  # fmt: skip
    assert version["updated_at"] > first["updated_at"]
    assert [log["id"] for log in version["activity_logs"]] == ["edit", first["activity_logs"][0]["id"]]


def test_the_logs_of_a_version_are_audit_logs(serve):
    """The logs of a version are byte for byte those of the audit logs."""
    workspace = Workspace()
    workspace.add_version("R", id="V", activity_logs=[{"id": "one"}, {"id": "two", "performer_type": "API"}])
    reader = serve(workspace)
    body = reader.get(RESOURCE, resource_id="R").content
    assert all(raw in body for raw in workspace.raw_logs)
    assert {log["version_history_id"] for log in reader.page()["results"]} == {"V"}


def test_invalid_versions():
    """A version with an unknown field, an existing id, or an invalid log is an error, and nothing is added."""
    workspace = Workspace()
    workspace.add_version("R", id="V")
    for resource, fields in (("S", {"id": "V"}), ("R", {"ids": "W"}), ("R", {"activity_logs": [{"id": 5}]})):
        with pytest.raises((ValueError, msgspec.ValidationError)):
            workspace.add_version(resource, **fields)
    assert (len(workspace), list(workspace.histories), len(workspace.histories["R"].versions)) == (
        1,
        ["R"],
        1,
    )
