"""Files that the operator wrote, compared with the API: real runs against the sandbox over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.sandbox import Faults, Workspace
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._cli import main

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START = UNTIL - 3 * DAY
KEY = "k3y-that-must-not-show"

DAG = """
from datetime import datetime, timedelta, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("to_verify", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator(
        task_id="fetch", start="2026-02-26", end="2026-02-27", output_path="{path}/{{start:%Y-%m-%d}}.jsonl"
    )
"""


@pytest.fixture
def workspace():
    return Workspace.generate(seed=3, logs=600, days=6, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace, api_key=KEY)


@pytest.fixture
def written(airflow, sandbox, tmp_path, capsys):
    """Let the operator write three days; return where."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

    def written(suffix="jsonl", **arguments):
        for number in range(3):
            start = START + number * DAY
            path = f"{tmp_path}/out/{start:%Y-%m-%d}.{suffix}"
            with DAG("d", schedule=None, start_date=UNTIL) as dag:
                task = SecodaAuditLogsOperator(
                    task_id="fetch", start=start, end=start + DAY, output_path=path, **arguments
                )
            task.execute({"dag": dag})
        capsys.readouterr()
        return tmp_path / "out"

    return written


def compare(path, **options):
    return verify([str(path)], against_source=True, **options)


def found(result):
    return [(finding.kind, finding.id) for file in result.files for finding in file.findings.listed]


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        ("jsonl", {}),
        ("jsonl.gz", {"timestamp_field": "created_at"}),
        ("parquet", {"filter": {"operator": "exact", "field": "performer_type", "value": "USER"}}),
    ],
)
def test_what_the_operator_wrote_is_what_the_api_shows(written, workspace, suffix, arguments):
    """Files that were just written have no findings, alone and against the API; all of them were compared."""
    second = timedelta(seconds=1)  # what happens at one side of an edge is listed at the other
    workspace.add_log(performer_type="USER", logged_at=START + DAY - second, created_at=START + DAY + second)
    workspace.add_log(raw=json.dumps(workspace.logs[-1] | {"id": "laid out on many lines"}, indent=2))
    path = written(suffix, **arguments)
    result = compare(path, start=START, end=UNTIL)
    assert (found(result), result.errors, result.exit_code) == ([], [], 0)
    assert len(result.files) == 3
    assert all(file.compared and file.records for file in result.files)
    summary = json.loads((path / "_manifests" / f"_2026-02-26.{suffix}.manifest").read_text())
    assert result.series[0].key.timestamp_field == summary["query"]["timestamp_field"]


def test_what_a_run_returned_is_what_is_printed(airflow, sandbox, tmp_path, capsys):
    """The digests that Airflow stores of a run are those in the result, so that they can be compared."""
    ran = airflow.run_dag(DAG.format(path=tmp_path / "out"))
    capsys.readouterr()
    summary = ran.xcoms["fetch"]
    assert main([str(tmp_path), "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["manifest"]["sha256"] == summary["manifest_sha256"]
    assert (file["sha256"], file["bytes"], file["records"]) == (summary["sha256"], summary["bytes"], summary["count"])
    assert main([str(tmp_path)]) == 0
    assert summary["manifest_sha256"][:16] in capsys.readouterr().out


def test_a_log_that_arrives_late_is_named(written, workspace):
    """A log that the API returns and the file lacks is a finding, with its id and both timestamps."""
    path = written()
    at, made = START + DAY * 1.5, UNTIL + DAY
    workspace.add_log(id="late-one", logged_at=at, created_at=made)
    result = compare(path)
    assert (found(result), result.exit_code) == ([("late", "late-one")], 1)
    (finding,) = result.files[1].findings.listed
    assert finding.timestamp == "2026-02-27T12:00:00Z"
    assert datetime.fromisoformat(finding.created_at.replace("Z", "+00:00")) == made
    assert finding.created_at in finding.text
    assert verify([str(path)]).exit_code == 0  # by itself the file is in order


def test_logs_that_expired_are_a_note(written, workspace):
    """Logs that the API does not return any more are notes, not findings: the file is the only copy."""
    path = written()
    gone = [log["id"] for log in sorted(workspace.logs, key=lambda log: (log["logged_at"], log["id"]))]
    before = sum(len((path / f"2026-02-{day}.jsonl").read_bytes().splitlines()) for day in (26, 27, 28))
    workspace.expire(len(workspace) - before + 3)
    result = compare(path)
    kept = result.files[0].findings.listed
    assert {finding.kind for finding in kept} == {"expired"}
    assert {finding.id for finding in kept} <= set(gone)
    assert [finding.position for finding in kept] == [1, 2, 3]
    assert "older than all logs of the API" in kept[0].text
    assert (result.finding_count, result.note_count, result.exit_code) == (0, 3, 0)


def test_a_log_that_changed_at_the_source_is_named(secoda_sandbox_factory, written, workspace):
    """A log that the API returns with other bytes is a finding; one that it does not return is a note."""
    path = written()
    raws = workspace.window(START, START + DAY)
    other = Workspace()
    for raw in workspace.raw_logs:
        if raw != raws[7]:
            other.add_log(raw=raw.replace(b'"is_legacy":false', b'"is_legacy":true') if raw == raws[4] else raw)
    second = secoda_sandbox_factory(other, api_key=KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SECOND", second.connection_json)
        result = compare(path, conn_id="second")
    ids = [json.loads(raw)["id"] for raw in raws]
    assert found(result) == [("changed", ids[4]), ("expired", ids[7])]
    changed, gone = result.files[0].findings.listed
    assert (changed.position, gone.position) == (5, 8)
    assert "although older logs are returned" in gone.text
    assert result.exit_code == 1


def test_another_host_is_read_only_on_request(secoda_sandbox_factory, written, monkeypatch, capsys):
    """A connection to another host than that of the files is refused, unless it is named with --conn-id."""
    path = written()
    second = secoda_sandbox_factory(Workspace(), api_key=KEY)
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", second.connection_json)
    assert main([str(path), "--against-source"]) == 2
    out, err = capsys.readouterr()
    assert "--conn-id" in " ".join(out.split())
    assert second.requests == []
    assert main([str(path), "--against-source", "--conn-id", "secoda_default"]) == 0
    out, err = capsys.readouterr()
    assert " notes" in out
    assert KEY not in out + err


def test_errors_of_the_api_are_not_findings(sandbox, written, monkeypatch, capsys):
    """An error of the API is reported with status 2; the files themselves are checked."""
    path = written()
    # The extra is there to be warned of, which must not go where the JSON goes.
    connection = json.loads(sandbox.connection_json) | {"password": f"wrong-{KEY}", "extra": {"nonsense": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection))
    assert main([str(path), "--against-source", "--json"]) == 2
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert len(report["errors"]) == 1
    assert "401" in report["errors"][0]
    assert [file["compared_with_source"] for file in report["files"]] == [False] * 3
    assert all(file["records"] for file in report["files"])
    assert KEY not in out + err


def test_an_incomplete_read_has_no_findings(sandbox, written):
    """A read that cannot prove that it is complete adds no findings."""
    path = written()
    sandbox.faults = Faults(cap=60)
    result = compare(path)
    assert result.exit_code == 2
    assert "SecodaIncompleteError" in result.errors[0]
    assert found(result) == []


def test_an_unknown_connection(written, capsys):
    """An unknown connection is status 2, with its id in the message."""
    path = written()
    assert main([str(path), "--against-source", "--conn-id", "nobody_knows"]) == 2
    out, err = capsys.readouterr()
    assert "nobody_knows" in out
    assert "Traceback" not in err


def test_the_key_is_in_no_output(sandbox, written, capsys):
    """Neither the table nor the JSON nor the progress holds the key."""
    path = written()
    for form in ([], ["--json"]):
        assert main([str(path), "--against-source", "--progress-seconds", "0", *form]) == 0
        out, err = capsys.readouterr()
        assert "comparing with the API" in err
        assert KEY not in out + err
        assert sandbox.url in out


# --- connections of Airflow's database --------------------------------------------------------------------------


@pytest.fixture
def stored(airflow, sandbox, monkeypatch):
    """Store the connection of the sandbox in Airflow's database, and nowhere else; return a function that verifies."""
    from airflow.cli import cli_parser

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", os.environ.get("_AIRFLOW_PROCESS_CONTEXT", ""))

    def run(*arguments):
        known = cli_parser.get_parser().parse_args(["connections", *arguments])
        known.func(known)

    run("add", "in_database", "--conn-json", sandbox.connection_json)

    def verify_in_shell(*arguments):
        command = [sys.executable, "-m", "airflow_provider_secoda.verify", *arguments]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_CONN_", "_AIRFLOW"))}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    yield verify_in_shell
    run("delete", "in_database")


def test_the_command_finds_connections_of_the_database(written, stored):
    """In a shell, with Airflow's settings, the connection is read from Airflow's database."""
    ran = stored(str(written()), "--against-source", "--conn-id", "in_database")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "and the API" in ran.stdout
    assert KEY not in ran.stdout + ran.stderr


def test_a_connection_that_the_command_does_not_find_says_where_it_was_searched(written, stored):
    """The error names the places of connections and what to do."""
    ran = stored(str(written()), "--against-source", "--conn-id", "no_such")
    assert ran.returncode == 2
    text = " ".join(ran.stdout.split())
    for part in ("connection 'no_such' does not exist", "AIRFLOW_CONN_NO_SUCH", "AIRFLOW_HOME", "--conn-id"):
        assert part in text, text
