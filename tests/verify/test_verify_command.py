"""The command: its output and exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_secoda import __version__
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.verify._cli import main
from tests.verify.output_files import DAY, START, UNTIL, lines_of, log, manifest_of, write, write_days

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NAME = "airflow-provider-secoda " + re.escape(__version__)


@pytest.fixture
def run(capsys):
    """Return a function that runs the command and returns its exit status, standard output and standard error."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return run


def alter(path):
    """Alter record 17 of a file; return its id."""
    lines = lines_of(path)
    lines[16] = lines[16].replace(b'"is_legacy":false', b'"is_legacy":null')
    path.write_bytes(b"".join(lines))
    return json.loads(lines[16])["id"]


def test_the_table_has_what_an_auditor_needs(run, tmp_path):
    """Each file has window, records, digest and result, each series its span, the last line a date and version."""
    paths = write_days(tmp_path)
    status, out, err = run(tmp_path)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert any(
        line.startswith("Series 1: secoda_default, https://api.secoda.co, by logged_at, jsonl") for line in lines
    )
    assert any("from 2026-02-26T00:00:00Z until 2026-03-01T00:00:00Z, 3 windows" in line for line in lines)
    assert any("no gap, no overlap" in line for line in lines)
    for path in paths:
        (row,) = [line for line in lines if line.endswith(path.name)]
        assert re.search(r" [0-9a-f]{16}  OK ", row)
        assert f"{path.stem}T00:00:00Z" in row
        assert f" {len(lines_of(path))} " in row
    records = sum(len(lines_of(path)) for path in paths)
    summary = rf"OK: 3 files, 1 series, {records} records, 0 findings; {DATE}, {NAME}"
    assert re.fullmatch(summary, lines[-1])


def test_findings_are_below_their_file(run, tmp_path):
    """The findings of a file are below its row, with the exact record; the exit status is 1."""
    paths = write_days(tmp_path)
    name = alter(paths[1])
    status, out, _ = run(tmp_path)
    assert status == 1
    lines = out.splitlines()
    row = next(number for number, line in enumerate(lines) if paths[1].name in line)
    assert "2 FINDINGS" in lines[row]
    assert lines[row + 1].split() == f'altered record 17 ("{name}") differs from the manifest'.split()
    assert "FAILED: 3 files" in out


def test_the_documented_example(run, tmp_path, monkeypatch):
    """The output in docs/reference/verify.md is the output for such files, except for digests, ids and numbers."""
    monkeypatch.chdir(tmp_path)
    directory = Path("audit_logs")
    source = {"connection_id": "secoda_default", "base_url": "https://api.secoda.co"}
    workspace = Workspace.generate(seed=11, logs=1200, days=5, until=UNTIL)
    starts = [UNTIL - number * DAY for number in (5, 4, 3, 1)]
    paths = [
        write(directory / f"{day:%Y-%m-%d}.jsonl", day, day + DAY, workspace.window(day, day + DAY), source=source)
        for day in starts
    ]
    lines = lines_of(paths[1])
    lines[16] = lines[16].replace(b'"is_legacy":false', b'"is_legacy":null')
    paths[1].write_bytes(b"".join(lines[:40] + lines[41:]))
    status, out, _ = run("audit_logs", "--start", "2026-02-24", "--end", "2026-03-01")
    document = (Path(__file__).parent.parent.parent / "docs" / "reference" / "verify.md").read_text()
    (shown,) = re.findall(r"^```text\n(Secoda audit logs, checked .*?)^```", document, re.DOTALL | re.MULTILINE)
    assert status == 1
    assert _normalized(shown) == _normalized(out)


def _normalized(text):
    return re.sub(r"\s+", " ", re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,64}|[\d,]+", "#", text))


def test_every_line_fits(run, tmp_path):
    """No line is longer than 120 columns, with names, ids, paths and filters of any length."""
    deep = tmp_path / ("long-" * 30) / ("name-" * 30)
    filter_ = {"operator": "in", "field": "activity_type", "value": ["X" * 20] * 20}
    path = write(deep / "logs.jsonl", START, UNTIL, [log("i" * 500, START - DAY), log("a", START)], filter=filter_)
    write(deep / "other.jsonl", START, UNTIL, [], filter=filter_)
    path.write_bytes(path.read_bytes() + b"{" * 500)
    status, out, _ = run(tmp_path, "--start", "2026-01-01")
    assert status == 1
    assert max(map(len, out.splitlines())) <= 120
    assert "(500 characters)" in out


def test_nothing_from_a_file_reaches_the_terminal_raw(run, tmp_path):
    """Control characters, changes of direction and lone surrogates from files and manifests are printed as escapes."""
    evil = "\x1b[2J\u202e\r\n\x00\u200b"
    path = write(tmp_path / "logs.jsonl", START, UNTIL, [log(evil, START - DAY)])
    manifest = manifest_of(path)
    manifest.write_text(manifest.read_text().replace("secoda_default", "\\u001b[31m\\ud800"))
    (tmp_path / "\x1b[7m.jsonl").write_bytes(b"\x1b[7m\n")
    _, out, _ = run(tmp_path)
    assert all(character.isprintable() or character == "\n" for character in out)
    assert r"\x1b[2J\u202e\r\n\x00\u200b" in out
    assert r"\x1b[31m\ud800" in out


def test_json_is_what_its_description_says(run, tmp_path):
    """The JSON has the keys that the package describes, with full digests and findings as data."""
    from airflow_provider_secoda import verify

    paths = write_days(tmp_path)
    name = alter(paths[0])
    paths[2].unlink()
    status, out, err = run(tmp_path, "--json", "--quiet")
    report = json.loads(out)
    assert (status, report["exit_code"], report["status"], err) == (1, 1, "failed", "")
    assert report["totals"] == {
        "files": 3,
        "series": 1,
        "records": sum(len(lines_of(path)) for path in paths[:2]),
        "findings": 3,
        "notes": 0,
        "other_files": 0,
    }
    first = report["files"][0]
    assert first["manifest"]["sha256"] == _sha256(manifest_of(paths[0]))
    assert first["sha256"] == _sha256(paths[0]) != first["manifest"]["file_sha256"]
    assert first["window"] == {"start": "2026-02-26T00:00:00Z", "end": "2026-02-27T00:00:00Z"}
    assert (first["findings"][0]["kind"], first["findings"][0]["position"], first["findings"][0]["id"]) == (
        "altered",
        17,
        name,
    )
    assert report["files"][2]["bytes"] is None
    assert report["series"][0]["end"] == "2026-02-28T00:00:00Z"
    described = set(re.findall(r'"(\w+)":', verify.__doc__))
    assert {*report, *report["files"][0], *report["series"][0], *report["totals"]} <= described
    kinds = set(re.findall(r"^(\w+(?:, \w+)*)  ", verify.__doc__, re.MULTILINE))
    assert {finding["kind"] for file in report["files"] for finding in file["findings"]} <= kinds


def test_all_kinds_of_findings_are_described():
    """The description of the JSON lists exactly the kinds that the code adds."""
    from airflow_provider_secoda import verify

    sources = "".join(path.read_text() for path in Path(verify.__file__).parent.rglob("*.py") if path.name != "_cli.py")
    table = verify.__doc__.split("=\n")[1]
    described = {kind for row in re.findall(r"^(\w+(?:, \w+)*)  ", table, re.MULTILINE) for kind in row.split(", ")}
    added = set(re.findall(r"\badd\(\s*\"(\w+)\"", sources))
    assert described == {*added, "supplemented"}  # to which SecodaVerifyOperator changes "late"


def _sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_json_holds_any_id(run, tmp_path):
    """Ids are in the JSON unchanged, also those that no encoding can print."""
    path = write(tmp_path / "logs.jsonl", START, UNTIL, [log("a\x00\u202e", START - DAY)])
    manifest_of(path).write_text(manifest_of(path).read_text().replace('["a', '["\\ud800'))
    _, out, _ = run(tmp_path, "--json")
    assert out.isascii()
    assert {finding["id"] for finding in json.loads(out)["files"][0]["findings"]} >= {"a\x00\u202e", "\ud800\x00\u202e"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--no-such-option", "x"],
        ["x", "--start", "yesterday"],
        ["x", "--max-findings", "0"],
        ["x", "--conn-id", "y"],
        ["x", "--start", "2026-01-02", "--end", "2026-01-01"],
        ["/no/such/place"],
        ["nosuchscheme://bucket/x"],
    ],
)
def test_what_cannot_be_checked_is_status_2(run, arguments):
    """Invalid arguments and paths that do not exist are neither success nor findings, and print no traceback."""
    status, out, err = run(*arguments)
    assert status == 2
    assert out + err
    assert "Traceback" not in err


def test_only_a_long_check_prints_progress(run, tmp_path):
    """Progress goes to standard error, after some seconds; never with --quiet, never to standard output."""
    write_days(tmp_path)
    _, plain, err = run(tmp_path)
    assert err == ""
    _, out, err = run(tmp_path, "--progress-seconds", "0")
    assert "1 of 3 files checked" in err
    assert "3 of 3 files checked" in err
    assert re.search(r"\d records, now checking .*2026-02-27.jsonl\n", err)
    assert out.splitlines()[:8] == plain.splitlines()[:8]
    _, _, err = run(tmp_path, "--progress-seconds", "0", "--quiet")
    assert err == ""


def test_findings_listed_are_limited_and_counted(run, tmp_path):
    """At most the requested number of findings of a kind is listed, with the number of the others."""
    path = write(tmp_path / "logs.jsonl", START, UNTIL)
    count = len(lines_of(path))
    path.write_bytes(b"")
    _, out, _ = run(tmp_path, "--max-findings", "2")
    assert out.count("missing from the file") == 2
    assert f"and {count - 2} more of this kind" in out


def test_an_edge_is_a_date_or_a_time(run, tmp_path):
    """--start and --end are ISO 8601: a date is its midnight in UTC."""
    write_days(tmp_path)
    status, out, _ = run(tmp_path, "--start", "2026-02-26", "--end", "2026-03-01T01:00+01:00")
    assert status == 0
    assert "requested span: from 2026-02-26T00:00:00Z until 2026-03-01T00:00:00Z" in out
    assert run(tmp_path, "--start", "2026-02-25", "--end", "2026-03-01")[0] == 1


def test_the_process_itself(tmp_path):
    """As a process: exit status and output are the same, a closed pipe does no harm, and Airflow is not imported."""
    paths = write_days(tmp_path)
    command = [sys.executable, "-m", "airflow_provider_secoda.verify", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: 3 files" in done.stdout
    alter(paths[0])
    code = (
        "import sys; from airflow_provider_secoda.verify import verify; "
        f"print(verify([{str(tmp_path)!r}]).exit_code, "
        "[name for name in sys.modules if name.partition('.')[0] == 'airflow'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1 []\n"
    shell = f"{sys.executable} -m airflow_provider_secoda.verify {tmp_path} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")
