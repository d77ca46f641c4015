"""A window that consists of a file and supplements with the logs that arrived late."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._report import as_json, as_lines
from tests.verify.output_files import DAY, START, UNTIL, found, log, logs_of, manifest_of, write, write_days


def supplement(path, number, records, *, run="d", **header):
    """Write a supplement of a file; return its path."""
    name, _, suffix = path.name.partition(".")
    before = path if number == 1 else path.with_name(f"{name}.late-{number - 1}.{suffix}")
    member = {
        "number": number,
        "of": path.name,
        "previous_manifest_sha256": hashlib.sha256(manifest_of(before).read_bytes()).hexdigest(),
    }
    late = path.with_name(f"{name}.late-{number}.{suffix}")
    return write(late, START, START + DAY, records, run={"dag_id": run}, **{"supplement": member} | header)


@pytest.fixture(params=["jsonl", "jsonl.gz", "parquet"])
def suffix(request):
    return request.param


def window(folder, suffix="jsonl", count=12):
    """Write three days, the first of them with supplements; return the paths of the first day."""
    days = write_days(folder, suffix)
    return [days[0], *(supplement(days[0], number, [log(f"late {number}", START)]) for number in range(1, count))]


def kinds(result):
    return [kind for kind, *_ in found(result)]


def test_a_window_is_its_file_and_its_supplements(tmp_path, suffix):
    """They are one window of one series, with all records, in the order in which they were written."""
    paths = window(tmp_path, suffix)
    result = verify([str(tmp_path)], start=START, end=UNTIL)
    assert (found(result), result.errors, result.exit_code) == ([], [], 0)
    assert [file.path for file in result.files[: len(paths)]] == list(map(str, paths))
    assert [file.supplement for file in result.files] == [None, *range(1, 12), None, None]
    (series,) = result.series
    assert (series.windows, series.findings.listed) == (3, [])
    assert series.records == sum(file.records for file in result.files) == len(logs_of(START, UNTIL)) + 11
    assert [file["supplement"] for file in json.loads(as_json(result))["files"]][:3] == [None, 1, 2]
    rows = [line for line in as_lines(result) if line.startswith("  2026-02-26")]
    assert [row.split()[-1] for row in rows] == [path.name for path in paths]


@pytest.mark.parametrize("given", ["file", "supplement", "manifest", "both"])
def test_one_of_the_files_stands_for_all(tmp_path, given):
    """The path of any file of a window, or of its manifest, checks all files of the window."""
    paths = window(tmp_path, count=3)
    names = {"file": paths[:1], "supplement": paths[2:], "manifest": [manifest_of(paths[1])], "both": paths[::-1]}
    result = verify(list(map(str, names[given])))
    assert (found(result), [file.path for file in result.files]) == ([], list(map(str, paths)))


@pytest.mark.parametrize("run", ["d", "another"])
def test_another_dag_may_add_supplements(tmp_path, run):
    """Supplements that another DAG has written belong to the series of the first file."""
    path = write(tmp_path / "a.jsonl", START, START + DAY, [log("a", START)], run={"dag_id": "d"})
    write(tmp_path / "other.jsonl", START, START + DAY, [log("late", START)], run={"dag_id": "other"})
    supplement(path, 1, [log("late", START)], run=run)
    result = verify([str(tmp_path)])
    assert (found(result), result.exit_code) == ([], 0)
    assert [(series.key.dag_id, series.windows, series.records) for series in result.series] == [
        ("d", 1, 2),
        ("other", 1, 1),
    ]


def test_ids_are_unique_over_all_files(tmp_path):
    """An id that is in two files of the window is a finding."""
    paths = window(tmp_path, count=2)
    again = json.loads(logs_of(START, START + DAY)[0])["id"]
    supplement(paths[0], 2, [log("late 1", START), log(again, START + DAY / 2)])
    result = verify([str(tmp_path)])
    assert sorted(kinds(result)) == ["in_two_files", "in_two_files"]


def remove(*paths):
    for path in paths:
        path.unlink()
        manifest_of(path).unlink()


def test_a_missing_supplement_is_named(tmp_path):
    """A supplement that was removed with its manifest is missing before the next one."""
    paths = window(tmp_path, count=4)
    remove(paths[2])
    result = verify([str(tmp_path)])
    (finding,) = [each for file in result.files for each in file.findings.listed]
    assert (finding.kind, finding.other_path) == ("predecessor_missing", str(paths[2]))
    assert str(paths[2]) in finding.text


def test_a_missing_first_file_is_a_gap(tmp_path):
    """Supplements do not cover their window without its first file."""
    paths = window(tmp_path, count=2)
    remove(paths[0])
    result = verify([str(tmp_path)], start=START)
    assert kinds(result) == ["predecessor_missing"]
    assert [finding.kind for finding in result.series[0].findings.listed] == ["gap"]


def test_a_manifest_that_is_missing(tmp_path):
    """A file without a manifest is a finding, and so is what follows it."""
    paths = window(tmp_path, count=4)
    manifest_of(paths[1]).unlink()
    assert kinds(verify([str(tmp_path)])) == ["manifest_missing", "predecessor_missing"]


def test_a_replaced_file_is_named_by_its_successor(tmp_path):
    """A file that was replaced together with its manifest is not what the next supplement follows."""
    paths = window(tmp_path, count=4)
    before = verify([str(tmp_path)]).files[1]
    supplement(paths[0], 1, [log("forged", START)])
    result = verify([str(tmp_path)])
    (finding,) = result.files[2].findings.listed
    assert (finding.kind, finding.other_path) == ("predecessor_changed", str(paths[1]))
    assert before.manifest_sha256 in finding.text
    assert result.files[1].manifest_sha256 in finding.text


def test_supplements_in_another_order_are_named(tmp_path):
    """Two supplements that were exchanged are for other names, and do not follow each other."""
    paths = window(tmp_path, count=3)
    aside = tmp_path / "aside"
    for one, other in ((paths[1], paths[2]), (manifest_of(paths[1]), manifest_of(paths[2]))):
        shutil.move(one, aside)
        shutil.move(other, one)
        shutil.move(aside, other)
    assert kinds(verify([str(tmp_path)])) == [
        "wrong_manifest",
        "inconsistent",
        "predecessor_changed",
        "wrong_manifest",
        "inconsistent",
        "predecessor_changed",
    ]


@pytest.mark.parametrize(
    "header",
    [
        {"query": {"start": "2026-02-25T00:00:00Z", "end": "2026-02-27T00:00:00Z", "timestamp_field": "logged_at"}},
        {"source": {"connection_id": "another", "base_url": "https://api.secoda.co"}},
        {"supplement": {"number": 2, "of": "2026-02-26.jsonl", "previous_manifest_sha256": "0" * 64}},
    ],
)
def test_a_supplement_of_another_window_is_named(tmp_path, header):
    """A supplement with another query, or another number than in its name, contradicts its first file."""
    paths = window(tmp_path, count=1)
    source = header.pop("source", None)
    supplement(paths[0], 1, [log("late", START)], **header, **({} if source is None else {"source": source}))
    assert "inconsistent" in kinds(verify([str(tmp_path)]))


@pytest.mark.parametrize("member", [1, {"number": 1}, {"number": "1", "of": "a", "previous_manifest_sha256": "0"}])
def test_an_invalid_member_makes_the_manifest_invalid(tmp_path, member):
    """Members of other types are a finding."""
    write(tmp_path / "a.late-1.jsonl", START, START + DAY, [], supplement=member)
    assert kinds(verify([str(tmp_path)])) == ["manifest_invalid"]


# --- compared with the API -------------------------------------------------------------------------------------------


def test_a_window_is_compared_as_a_whole(secoda_sandbox_factory, tmp_path):
    """Late, changed and expired logs are those of all files together, and are named in the file that has them."""
    pytest.importorskip("airflow")
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

    sandbox = secoda_sandbox_factory(Workspace.generate(seed=3, logs=60, days=6, until=UNTIL))
    for name in ("first", "second", "third"):
        summary = SecodaAuditLogsOperator(
            task_id="fetch", start=START, end=START + DAY, output_path=f"{tmp_path}/a.jsonl", on_change="supplement"
        ).execute({})
        sandbox.workspace.add_log(id=name, logged_at=START + DAY / 2)
    assert len(summary["paths"]) == 3
    result = verify([str(tmp_path)], against_source=True)
    assert [(file.path.rpartition("/")[2], file.compared) for file in result.files] == [
        ("a.jsonl", True),
        ("a.late-1.jsonl", True),
        ("a.late-2.jsonl", True),
    ]
    assert found(result) == [("late", None, "third")]
    known, sandbox.workspace = sandbox.workspace, Workspace()
    for raw in known.raw_logs:
        fields = json.loads(raw)
        if fields["id"] != "first":
            sandbox.workspace.add_log(raw=raw if fields["id"] != "second" else raw.replace(b'"id"', b' "id"', 1))
    result = verify([str(tmp_path)], against_source=True)
    by_file = {file.path.rpartition("/")[2]: [each.kind for each in file.findings.listed] for file in result.files}
    assert by_file == {"a.jsonl": ["late"], "a.late-1.jsonl": ["expired"], "a.late-2.jsonl": ["changed"]}
