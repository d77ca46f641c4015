"""``on_change="supplement"``: logs that came late are added in files of their own, and no file is ever replaced."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda._storage.targets.local import LocalTarget
from airflow_provider_secoda._storage.window_files import split_window_file, window_file
from airflow_provider_secoda.operators._supplements import WindowFiles
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, missing_windows
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id, verify_signature
from airflow_provider_secoda.windows import Window
from tests.helpers import timestamps

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY
NOON = START + DAY / 2


@pytest.fixture
def workspace():
    return Workspace.generate(seed=3, logs=200, days=20, until=UNTIL)


@pytest.fixture
def sandbox(secoda_sandbox_factory, workspace):
    return secoda_sandbox_factory(workspace)


def operator_for(path, **arguments):
    given = {"start": START, "end": END, "output_path": str(path), "on_change": "supplement"} | arguments
    return SecodaAuditLogsOperator(task_id="fetch", **given)


def fetch(path, **arguments):
    """Execute the operator by hand; return its summary."""
    operator = operator_for(path, **arguments)
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag})


def contents(folder):
    """Return the contents of all files in a directory, at any depth."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def records_of(path):
    """Return the records of a file in any format."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return [raw.encode() for raw in pyarrow.parquet.read_table(io.BytesIO(content))["raw"].to_pylist()]
    return (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()


def manifest_of(path):
    return json.loads((path.parent / "_manifests" / f"_{path.name}.manifest").read_text())


def ids_of(path):
    return [json.loads(raw)["id"] for raw in records_of(path)]


def late(workspace, name, at=NOON, **fields):
    """Add a log to the window, as if it had arrived after the window was read."""
    workspace.add_log(id=name, logged_at=at, created_at=at, **fields)


def window_logs(workspace):
    return workspace.window(START, END)


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson.gz", "parquet"])
def test_late_logs_are_added_in_files_of_their_own(sandbox, workspace, tmp_path, suffix):
    """A supplement has the logs that the files lack only, in order, and names the manifest before it."""
    path = tmp_path / f"logs.{suffix}"
    first = fetch(path)
    assert (first["paths"], first["path"], first["written"], first["late_logs"]) == ([str(path)], str(path), True, 0)
    assert first["count"] == len(records_of(path)) == len(window_logs(workspace)) > 3
    known, digest = contents(tmp_path), first["manifest_sha256"]
    paths = [path]
    for number, names in enumerate([["b", "a"], ["c"]], 1):
        for name in names:
            late(workspace, name)
        summary = fetch(path)
        paths.append(tmp_path / f"logs.late-{number}.{suffix}")
        assert summary["paths"] == list(map(str, paths))
        assert (summary["path"], summary["written"], summary["late_logs"]) == (str(paths[-1]), True, len(names))
        assert summary["count"] == len(window_logs(workspace))
        assert ids_of(paths[-1]) == sorted(names)
        manifest = manifest_of(paths[-1])
        assert manifest["supplement"] == {"number": number, "of": path.name, "previous_manifest_sha256": digest}
        assert (manifest["file"]["count"], len(manifest["records"])) == (len(names), len(names))
        assert summary["sha256"] == manifest["file"]["sha256"] == hashlib.sha256(paths[-1].read_bytes()).hexdigest()
        digest = summary["manifest_sha256"]
        now = contents(tmp_path)
        assert {name: now[name] for name in known} == known
        assert len(now) == len(known) + 2
        known = now
    found = [raw for path in paths for raw in records_of(path)]
    assert sorted(found) == sorted(window_logs(workspace))


def test_nothing_new_writes_nothing(sandbox, workspace, tmp_path):
    """A window that has not changed writes nothing; the summary is that of the last file."""
    path = tmp_path / "logs.jsonl"
    written = fetch(path)
    before = contents(tmp_path)
    again = fetch(path)
    assert contents(tmp_path) == before
    same = ("path", "format", "bytes", "sha256", "manifest", "manifest_sha256", "signature", "signing_key", "count")
    assert {name: again[name] for name in same} == {name: written[name] for name in same}
    assert (again["written"], again["late_logs"], again["paths"]) == (False, 0, [str(path)])
    assert again["altered_logs"] == again["expired_logs"] == {"count": 0, "ids": []}


def test_altered_and_expired_logs_are_reported_and_not_applied(sandbox, workspace, tmp_path, caplog, capsys):
    """Logs that the API returns with other content, or no longer, stay in the files; summary and log name them."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    ids, before = ids_of(path), contents(tmp_path)
    raws = window_logs(workspace)
    sandbox.workspace = Workspace()
    for raw in workspace.raw_logs:
        log = json.loads(raw)
        if log["id"] not in (ids[0], ids[1]):
            sandbox.workspace.add_log(**(log | {"activity_type": "altered"} if log["id"] == ids[2] else log))
    late(sandbox.workspace, "late")
    summary = fetch(path)
    assert summary["expired_logs"] == {"count": 2, "ids": ids[:2]}
    assert ids[2] in summary["altered_logs"]["ids"]
    assert ids_of(tmp_path / "logs.late-1.jsonl") == ["late"]
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before
    assert summary["count"] == len(raws) - 1
    assert f"The first is log {ids[0]}" in caplog.text + capsys.readouterr().out


def test_many_expired_logs_are_counted(sandbox, workspace, tmp_path):
    """All are counted, and the ids of the first are listed, in the order of the file."""
    path = tmp_path / "logs.jsonl"
    for number in range(30):
        late(workspace, f"log {number:02}", at=START)
    fetch(path)
    ids = ids_of(path)
    moments = sorted(timestamps.read(log["logged_at"]) for log in workspace.logs)
    workspace.expire(sum(moment < START for moment in moments) + 30)
    assert fetch(path)["expired_logs"] == {"count": 30, "ids": ids[:10]}


def test_an_empty_window_has_a_file(sandbox, workspace, tmp_path):
    """The file of a window without logs is empty, and what comes later is in supplements."""
    path = tmp_path / "logs.jsonl"
    window = {"start": UNTIL + DAY, "end": UNTIL + 2 * DAY}
    assert (fetch(path, **window)["count"], path.read_bytes()) == (0, b"")
    late(workspace, "late", at=UNTIL + 1.5 * DAY)
    assert fetch(path, **window)["late_logs"] == 1
    assert ids_of(tmp_path / "logs.late-1.jsonl") == ["late"]


def test_the_window_counts_as_written(sandbox, tmp_path):
    """``missing_windows`` needs the first file only."""
    template = f"{tmp_path}/{{start:%Y-%m-%d}}.jsonl"
    fetch(template)
    late(sandbox.workspace, "late")
    fetch(template)
    assert missing_windows(template, START, END + DAY) == [
        {"start": "2026-02-25T00:00:00Z", "end": "2026-02-26T00:00:00Z"}
    ]


def test_lineage_of_a_supplement(sandbox, workspace, tmp_path):
    """The output is the file that was written, with its rows; without a change there is none."""
    pytest.importorskip("airflow.providers.openlineage")
    found = []
    for name in ("first", "second", None):
        task = operator_for(tmp_path / "logs.jsonl")
        task.execute({})
        outputs = task.get_openlineage_facets_on_complete(None).outputs
        found += [(each.name, each.outputFacets["outputStatistics"].rowCount) for each in outputs]
        if name == "first":
            late(workspace, name)
    count = len(window_logs(workspace))
    assert found == [(f"{tmp_path}/logs.jsonl", count - 1), (f"{tmp_path}/logs.late-1.jsonl", 1)]


def test_names_of_supplements():
    """The number is before the complete suffix, and is read from the name again."""
    assert window_file("s3://c@b/2026.03.jsonl.gz", 12) == "s3://c@b/2026.03.late-12.jsonl.gz"
    for path in ("a.jsonl", "/x.late-0/b.NDJSON.GZ", "a.late-0.parquet", "a.late-01.jsonl", "late-1.jsonl"):
        assert split_window_file(path) == (path, 0)
        assert split_window_file(window_file(path, 7)) == (path, 7)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_file_of_another_query_gets_no_supplement(sandbox, tmp_path):
    """The files of another window, filter or connection are left as they are, and the task fails before it reads."""
    path = tmp_path / "fixed.jsonl"
    fetch(path)
    before, requests = contents(tmp_path), len(sandbox.requests)
    with pytest.raises(AirflowFailException, match=r"Refusing to supplement .* window ") as refused:
        fetch(path, start=END, end=END + DAY)
    assert "overwrite" not in str(refused.value)
    assert (contents(tmp_path), len(sandbox.requests)) == (before, requests)


def test_another_workspace_adds_nothing(sandbox, tmp_path):
    """Logs are not added if the API returns none of the file's, although it returns older ones."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    before = contents(tmp_path)
    sandbox.workspace = Workspace.generate(seed=4, logs=200, days=20, until=UNTIL)
    with pytest.raises(
        AirflowFailException, match=r"returns no log of the \d+ in its files.*key of the same workspace"
    ):
        fetch(path)
    assert contents(tmp_path) == before


def test_late_logs_after_all_others_have_expired(sandbox, workspace, tmp_path):
    """If all logs of the file are older than those that the API returns, a late log is still added."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    sandbox.workspace = Workspace()
    late(sandbox.workspace, "late", at=END - timedelta(microseconds=1))
    summary = fetch(path)
    assert (summary["late_logs"], summary["expired_logs"]["count"]) == (1, len(ids_of(path)))


def remove(path, *, manifest=True, file=True):
    if manifest:
        (path.parent / "_manifests" / f"_{path.name}.manifest").unlink()
    if file:
        path.unlink()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("what", ["file", "both"])
def test_a_missing_file_fails_the_task(sandbox, workspace, tmp_path, number, what):
    """A file without its data, or one before others, is missing; the task names it, and writes nothing."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    for name in "ab":
        late(workspace, name)
        fetch(path)
    missing = tmp_path / ("logs.jsonl" if number == 0 else f"logs.late-{number}.jsonl")
    remove(missing, manifest=what == "both")
    late(workspace, "c")
    before = contents(tmp_path)
    if (number, what) == (2, "both"):  # the logs of the last one are late again
        assert fetch(path)["late_logs"] == 2
        return
    with pytest.raises(AirflowFailException, match="is missing") as refused:
        fetch(path)
    assert str(missing) in str(refused.value)
    assert contents(tmp_path) == before


def test_a_broken_chain_fails_the_task(sandbox, workspace, tmp_path):
    """A supplement whose predecessor was replaced is not continued."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    late(workspace, "a")
    fetch(path)
    manifest = tmp_path / "_manifests" / "_logs.jsonl.manifest"
    manifest.write_text(manifest.read_text().replace('"retries": 0', '"retries": 1'))
    late(workspace, "b")
    with pytest.raises(AirflowFailException, match="does not continue the files before it"):
        fetch(path)
    assert not (tmp_path / "logs.late-2.jsonl").exists()


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(monkeypatch):
    """Set the connection ``my_key`` with a private key; return a function that checks the signature of a file."""
    pem = generate_key()
    monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", json.dumps({"conn_type": "generic", "password": pem.decode()}))
    public = PrivateKeySigner.from_pem(pem).public_key

    def is_signed(path):
        manifest = path.parent / "_manifests" / f"_{path.name}.manifest"
        signature = manifest.with_name(f"{manifest.name}.sig")
        if not signature.exists():
            return False
        verify_signature({key_id(public): public}, key_id(public), manifest.read_bytes(), signature.read_bytes())
        return True

    return is_signed


def test_each_manifest_is_signed(sandbox, workspace, tmp_path, key):
    """The file and its supplements have a signature each; without a change none is written."""
    path = tmp_path / "logs.jsonl"
    first = fetch(path, signing_conn_id="my_key")
    late(workspace, "a")
    assert fetch(path, signing_conn_id="my_key")["signing_key"] == first["signing_key"]
    assert key(path)
    assert key(tmp_path / "logs.late-1.jsonl")
    before = contents(tmp_path)
    again = fetch(path, signing_conn_id="my_key")
    assert again["signature"] == f"{tmp_path}/_manifests/_logs.late-1.jsonl.manifest.sig"
    assert contents(tmp_path) == before


@pytest.mark.parametrize("number", [0, 1])
def test_a_retry_after_a_kill_before_the_signature(sandbox, workspace, tmp_path, monkeypatch, key, number):
    """A manifest whose signature is missing is never signed; without the manifest, a retry writes and signs its own."""
    path = tmp_path / "logs.jsonl"
    if number:
        fetch(path, signing_conn_id="my_key")
    late(workspace, "a")
    fetch_killed(path, monkeypatch, after=2, signing_conn_id="my_key")
    late(workspace, "b")
    file = tmp_path / ("logs.late-1.jsonl" if number else "logs.jsonl")
    manifest = tmp_path / "_manifests" / f"_{file.name}.manifest"
    killed = contents(tmp_path)
    for arguments in ({"signing_conn_id": "my_key"}, {}):
        with pytest.raises(AirflowFailException, match="but its signature is missing") as refused:
            fetch(path, **arguments)
        assert all(f"{name}" in str(refused.value) for name in (manifest, f"{manifest}.sig"))
        assert contents(tmp_path) == killed
    manifest.unlink()
    fetch(path, signing_conn_id="my_key")
    assert key(file)
    assert key(tmp_path / f"logs.late-{number + 1}.jsonl")


@pytest.mark.parametrize(
    ("fact", "other"), [('"requests": ', '"requests": 1'), ('"started_at": "20', '"started_at": "19')]
)
def test_an_altered_manifest_is_not_signed(sandbox, workspace, tmp_path, key, fact, other):
    """Somebody without the key alters what only the first read knew, and removes the signature; no task signs it."""
    path = tmp_path / "logs.jsonl"
    fetch(path, signing_conn_id="my_key")
    manifest = tmp_path / "_manifests" / "_logs.jsonl.manifest"
    manifest.with_name(f"{manifest.name}.sig").unlink()
    text = manifest.read_text()
    assert fact in text
    manifest.write_text(text.replace(fact, f"{fact}1", 1))
    with pytest.raises(AirflowFailException, match="but its signature is missing"):
        fetch(path, signing_conn_id="my_key")
    assert not key(path)


@pytest.mark.parametrize("removed", [["manifest"], ["file", "manifest"]], ids="-".join)
def test_a_signature_without_its_manifest(sandbox, workspace, tmp_path, key, removed):
    """A new manifest is not put next to the signature of another one."""
    path = tmp_path / "logs.jsonl"
    fetch(path, signing_conn_id="my_key")
    manifest = tmp_path / "_manifests" / "_logs.jsonl.manifest"
    for name in removed:
        {"file": path, "manifest": manifest}[name].unlink()
    before = contents(tmp_path)
    for arguments in ({"signing_conn_id": "my_key"}, {}):
        with pytest.raises(AirflowFailException, match=f"There is a signature {manifest}.sig, but not its manifest"):
            fetch(path, **arguments)
        assert contents(tmp_path) == before


# --- killed, and at the same time ------------------------------------------------------------------------------------


class KilledError(BaseException):
    """The process ends here."""


def fetch_killed(path, monkeypatch, after, **arguments):
    """Execute the operator, and end it when this number of files has been created."""
    create, created = LocalTarget.create, []

    def create_and_die(target, source):
        if len(created) == after:
            raise KilledError
        created.append(target)
        create(target, source)

    with monkeypatch.context() as patch:
        patch.setattr(LocalTarget, "create", create_and_die)
        with pytest.raises(KilledError):
            fetch(path, **arguments)


#: After how many files of the window the process is killed, and before what: its file (0) or its manifest (1).
KILLS = [("jsonl", number, after) for number in (0, 1, 2) for after in (0, 1)]


@pytest.mark.parametrize(("suffix", "number", "after"), [*KILLS, ("jsonl.gz", 1, 1), ("parquet", 0, 1)])
@pytest.mark.parametrize("later", [False, True], ids=["no change", "late log"])
def test_a_retry_after_a_kill_completes_the_window(
    sandbox, workspace, tmp_path, monkeypatch, suffix, number, after, later
):
    """Killed before the file or before its manifest, a retry describes the file, and adds what came since then."""
    path = tmp_path / f"logs.{suffix}"
    for name in "ab"[:number]:
        fetch(path)
        late(workspace, name)
    fetch_killed(path, monkeypatch, after)
    killed = contents(tmp_path)
    if later:
        late(workspace, "later")
    summary = fetch(path)
    assert {name: content for name, content in contents(tmp_path).items() if name in killed} == killed
    assert len(summary["paths"]) == number + 1 + (later and after == 1)
    assert summary["late_logs"] == (1 if number else 0) + (later if number or after else 0)
    files = [tmp_path / name for name in (found.rpartition("/")[2] for found in summary["paths"])]
    assert sorted(raw for file in files for raw in records_of(file)) == sorted(window_logs(workspace))
    previous = None
    for file in files:
        manifest = manifest_of(file)
        assert [log_id for log_id, _ in manifest["records"]] == ids_of(file)
        assert manifest.get("supplement", {}).get("previous_manifest_sha256") == previous
        previous = hashlib.sha256((tmp_path / "_manifests" / f"_{file.name}.manifest").read_bytes()).hexdigest()
    assert fetch(path)["written"] is False


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("altered", "it has other bytes than this task writes"),
        ("expired", "does not return 1 of its logs"),
        ("foreign", "MsgspecError|DecodeError"),
        ("twice", "is in the files of the window twice"),
    ],
)
def test_a_file_that_was_not_read_again_is_not_described(sandbox, workspace, tmp_path, monkeypatch, harm, message):
    """A file without a manifest gets one only if all of its logs were read again, with the same bytes."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    late(workspace, "a")
    fetch_killed(path, monkeypatch, after=1)
    file = tmp_path / "logs.late-1.jsonl"
    content = file.read_bytes()
    file.write_bytes({
        "altered": content.replace(b'"id"', b' "id"', 1),
        "expired": content.replace(b'"a"', b'"never"'),
        "foreign": b"not a log\n",
        "twice": path.read_bytes(),
    }[harm])  # fmt: skip
    before = contents(tmp_path)
    with pytest.raises(AirflowFailException, match=message) as refused:
        fetch(path)
    assert f"{file} has no manifest, and cannot be given one" in str(refused.value)
    assert "Move the file to another place" in str(refused.value)
    assert contents(tmp_path) == before


def test_two_tasks_that_add_a_supplement_at_the_same_time(sandbox, workspace, tmp_path, monkeypatch):
    """Of two tasks that found the same late log, at least one writes it, and the other one may fail."""
    path = tmp_path / "logs.jsonl"
    fetch(path)
    late(workspace, "a")
    both, check_source = threading.Barrier(2, timeout=20), WindowFiles._check_source

    def wait(self, found):
        both.wait()
        return check_source(self, found)

    monkeypatch.setattr(WindowFiles, "_check_source", wait)
    window = Window(START, END, "start_end").as_dict()

    def resume(_):  # Airflow 2.11 lets only the main thread call `execute`
        return operator_for(path).execute_settled({}, window=window)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(resume, number) for number in range(2)]
        errors = [future.exception() for future in futures]
    assert None in errors
    assert all("Another task is writing this file" in str(error) for error in errors if error)
    assert fetch(path)["late_logs"] == 0
    assert ids_of(tmp_path / "logs.late-1.jsonl") == ["a"]
