"""The report of a check: an HTML file and a JSON file, which is signed and names the report before it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._cli import main
from airflow_provider_secoda.verify._reports import write as reports
from airflow_provider_secoda.verify._reports.calendar import arrange
from airflow_provider_secoda.verify._reports.write import write_report
from airflow_provider_secoda.verify._result import FileResult, Findings, Span
from tests.verify.output_files import DAY, START, UNTIL, log, manifest_of, write, write_days

COMMAND = "python -m airflow_provider_secoda.verify logs"
HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def signer():
    return PrivateKeySigner.from_pem(generate_key())


def report_on(folder, name="reports/{sequence}.html", **options):
    """Check a folder, and write a report next to it."""
    return write_report(verify([str(folder / "logs")]), str(folder / name), command=COMMAND, **options)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read(path):
    return json.loads(Path(path).read_text())


class Page(HTMLParser):
    """The visible text of a page, and its elements."""

    def __init__(self, path):
        super().__init__()
        self.words, self.elements, self._hidden = [], [], None
        self.source = Path(path).read_text()
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._hidden = tag if tag == "style" else self._hidden

    def handle_endtag(self, tag):
        self._hidden = None if tag == self._hidden else self._hidden

    def handle_data(self, data):
        if self._hidden is None:
            self.words.append(data)


def test_the_json_names_what_it_covers(tmp_path, signer):
    """The JSON file names the digests of the HTML file and of each manifest; openssl verifies its signature."""
    paths = write_days(tmp_path / "logs")
    written = report_on(tmp_path, signer=signer)
    report = read(written.json_path)
    assert (written.path, written.json_path) == tuple(
        str(tmp_path / "reports" / f"000001.{end}") for end in ("html", "json")
    )
    assert report["html"] == {"name": "000001.html", "sha256": sha256(written.path)}
    assert (written.sha256, written.json_sha256) == (sha256(written.path), sha256(written.json_path))
    assert [report["report_version"], report["sequence"], report["previous"]] == [1, 1, None]
    assert report["stores"] == [str(tmp_path / "logs")]
    assert report["covers"] == [
        {
            "store": 0,
            "path": path.name,
            "start": f"{path.stem}T00:00:00Z",
            "end": f"{START + (number + 1) * DAY:%Y-%m-%d}T00:00:00Z",
            "manifest_sha256": sha256(manifest_of(path)),
        }
        for number, path in enumerate(paths)
    ]
    assert (report["status"], report["totals"]["files"], report["command"]) == ("ok", 3, COMMAND)
    assert report["signing_key"] == written.signing_key == key_id(signer.public_key)
    key = tmp_path / "key.pem"
    key.write_bytes(signer.public_key)
    command = f"openssl pkeyutl -verify -pubin -inkey {key} -rawin -in {written.json_path} -sigfile {written.signature}"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout + done.stderr, done


def test_each_report_names_the_one_before(tmp_path, signer):
    """The previous report is the one of the folder with the highest number; other files are ignored."""
    write_days(tmp_path / "logs")
    first = report_on(tmp_path)
    (tmp_path / "reports" / "999.json").write_text('{"sequence": 99}')
    (tmp_path / "reports" / "deeper").mkdir()
    (tmp_path / "reports" / "deeper" / "a.json").write_bytes((tmp_path / "reports" / "000001.json").read_bytes())
    second = report_on(tmp_path, "reports/another name.html", signer=signer)
    third = report_on(tmp_path)
    assert [each.sequence for each in (first, second, third)] == [1, 2, 3]
    assert [each.previous_sha256 for each in (first, second, third)] == [None, first.json_sha256, second.json_sha256]
    previous = {"name": "another name.json", "sequence": 2, "sha256": second.json_sha256}
    assert read(third.json_path)["previous"] == previous


def test_a_report_is_never_overwritten(tmp_path):
    """A name that is in use is an error, and nothing is written."""
    write_days(tmp_path / "logs")
    report_on(tmp_path, "reports/a.html")
    before = {path: path.read_bytes() for path in (tmp_path / "reports").iterdir()}
    with pytest.raises(FileExistsError, match="never overwritten"):
        report_on(tmp_path, "reports/a.html")
    assert {path: path.read_bytes() for path in (tmp_path / "reports").iterdir()} == before


def test_two_reports_at_the_same_time_get_two_numbers(tmp_path, monkeypatch):
    """The one that finds the JSON file of its number written in the meantime takes the next number."""
    write_days(tmp_path / "logs")
    result, path = verify([str(tmp_path / "logs")]), str(tmp_path / "reports" / "{sequence}.html")
    make, others = reports.page, []

    def meanwhile(*arguments):
        if not others:
            others.append(None)
            others.append(write_report(result, path, command=COMMAND))
        return make(*arguments)

    monkeypatch.setattr(reports, "page", meanwhile)
    written = write_report(result, path, command=COMMAND)
    assert (others[1].sequence, written.sequence, written.previous_sha256) == (1, 2, others[1].json_sha256)


@pytest.mark.parametrize("path", ["report", "report.json", ".html", "{sequence}/report.html", "../x/../report.html"])
def test_an_invalid_path_is_named(tmp_path, path):
    """A path that is not the name of an HTML file is refused."""
    with pytest.raises(ValueError, match=re.escape(path)):
        report_on(tmp_path, path)


def test_the_page_needs_nothing_else(tmp_path, signer):
    """The page has no script, link, image or address; its policy permits only its own style sheet."""
    write_days(tmp_path / "logs")
    page = Page(report_on(tmp_path, signer=signer).path)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "svg", "form", "a"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "title", "scope"}
    assert not re.search(r"url\(|@import|https?://(?!api\.secoda\.co)", page.source)
    (style,) = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [found["content"] for _, found in page.elements if "http-equiv" in found]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_page_says_what_was_found(tmp_path, signer):
    """The page has the totals, each finding in a sentence, digests, keys, and the commands that repeat the check."""
    paths = write_days(tmp_path / "logs", days=4)
    paths[1].write_bytes(b"")
    paths[2].unlink()
    manifest_of(paths[2]).unlink()
    result = verify([str(tmp_path / "logs")], max_findings=2)
    first = write_report(result, str(tmp_path / "first.html"), command=COMMAND)
    page = Page(write_report(result, str(tmp_path / "it's.html"), command=COMMAND, signer=signer).path)
    assert "FAILED" in page.text
    for file in result.files:
        assert file.path in page.text
        assert all(finding.text in page.text for finding in file.findings.listed)
    assert "more of this kind" in page.text
    assert "no file covers [2026-02-27T00:00:00Z, 2026-02-28T00:00:00Z)" in page.text
    for expected in (first.json_sha256, key_id(signer.public_key), COMMAND, "-sigfile 'it'\"'\"'s.json.sig'"):
        assert expected in page.text
    assert calendar_of(page) == "2026-02-25 ✓, 2026-02-26 A, 2026-02-27 G, 2026-02-28 ✓"


def calendar_of(page):
    found = re.findall(r'<td class="cell \w+" title="([\d-]+): [^"]+"><i>\d+</i><b>(.)</b></td>', page.source)
    return ", ".join(" ".join(each) for each in found)


def test_nothing_of_a_file_is_markup(tmp_path):
    """Names, ids and paths of files cannot add an element to the page, nor a control character."""
    evil = "<script>alert(1)</script><img src=x onerror=y>\"'&\x1b[2J\u202e"
    path = write(tmp_path / "logs" / "<b>&.jsonl", START, UNTIL, [log(evil, START - DAY)])
    manifest = manifest_of(path)
    manifest.write_text(manifest.read_text().replace("secoda_default", json.dumps(evil)[1:-1]))
    written = write_report(verify([str(tmp_path / "logs")]), str(tmp_path / "r.html"), command=f"verify '{evil}'")
    page = Page(written.path)
    assert not {tag for tag, _ in page.elements} & {"script", "img"}
    assert page.text.count("<script>alert(1)</script>") >= 3
    assert all(character.isprintable() or character == "\n" for character in page.source)


def windows_of(*edges, findings=()):
    """Return file results with these windows, in microseconds; the indices in ``findings`` are altered."""
    files = []
    for number, (start, end) in enumerate(edges):
        file = FileResult(f"{number}.jsonl", "jsonl", Findings(1), bytes=1, window=Span(start, end))
        if number in findings:
            file.findings.add("altered", "is altered")
        files.append(file)
    return files


def signs_of(files, start=None, end=None):
    unit, blocks = arrange(files, start, end)
    cells = [cell for block in blocks for _, row in block.rows for cell in row if cell and cell.state]
    return unit, [(cell.label, cell.state.sign, cell.windows) for cell in cells]


def test_windows_of_hours_are_a_calendar_of_hours():
    """Windows that are shorter than a day are shown by the hour, and a gap of minutes is a gap of its hour."""
    quarter = HOUR // 4
    edges = [(number * quarter, (number + 1) * quarter) for number in range(12) if number != 5]
    unit, cells = signs_of(windows_of(*edges, findings=[9]))
    assert unit == "hour"
    assert cells == [("1970-01-01 00:00", "✓", 4), ("1970-01-01 01:00", "G", 3), ("1970-01-01 02:00", "A", 4)]


def test_a_window_of_any_length_has_a_calendar():
    """Windows of days, of days in another time zone, of months and of thousands of years; the requested span counts."""
    day = 24 * HOUR
    assert signs_of(windows_of((-HOUR, day - HOUR), (day - HOUR, 2 * day - HOUR)), end=3 * day) == (
        "day",
        [("1969-12-31", "✓", 1), ("1970-01-01", "✓", 2), ("1970-01-02", "G", 1), ("1970-01-03", "G", 0)],
    )
    assert [cell[1:] for cell in signs_of(windows_of((0, 40 * day)))[1]] == [("✓", 1)] * 40
    unit, cells = signs_of(windows_of((-62135596800000000, 253402300799999999)))
    assert (unit, len(cells), cells[-1]) == ("month", 9999 * 12, ("9999-12", "✓", 1))


def test_months_of_hours_are_a_report(tmp_path):
    """A report of 2,400 windows has a bounded size; complete windows are in the calendar only."""
    result = verify([str(write(tmp_path / "logs.jsonl", START, UNTIL, []))])
    result.files = windows_of(*((n * HOUR, (n + 1) * HOUR) for n in range(2400) if n != 77), findings=[2000])
    for file in result.files:
        file.series, file.manifest_sha256 = result.series[0].key, "0" * 64
    written = write_report(result, str(tmp_path / "report.html"), command=COMMAND)
    page = Page(written.path)
    assert len(read(written.json_path)["covers"]) == 2399
    assert page.source.count("<b>✓</b></td>") == 2398
    assert "the table has those that are not complete" in page.text
    assert len(page.source) < 400_000


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


def test_the_command_writes_and_checks_reports(run, tmp_path, monkeypatch):
    """``--report`` writes a signed report with the command that repeats it, ``--chain`` checks it with its key."""
    monkeypatch.chdir(tmp_path)
    days = write_days(Path("my logs"))
    assert run("keygen", "k.pem")[0] == 0
    arguments = ("my logs", "--end", "2026-03-01", "--report", "reports/{sequence}.html", "--signing-key", "k.pem")
    status, out, _ = run(*arguments)
    digest = sha256("reports/000001.json")
    assert (status, out.splitlines()[-3:-1]) == (
        0,
        ["report 1: reports/000001.html", f"reports/000001.json: sha256 {digest}"],
    )
    command = "python -m airflow_provider_secoda.verify 'my logs' --end 2026-03-01"
    assert command in Page("reports/000001.html").text
    status, out, err = run(*arguments, "--json", "--max-findings", "5")
    assert (status, json.loads(out)["status"]) == (0, "ok")
    assert "report 2: reports/000002.html" in err
    assert read("reports/000002.json")["command"] == f"{command} --max-findings 5"
    chain = ("--chain", "reports/000002.json", "--public-key", "k.pub.pem")
    status, out, _ = run(*chain)
    assert status == 0
    assert re.search(rf"^ +1  \S+Z +3  {digest}  000001.json$", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith("OK: 2 reports, 3 files, 0 findings; ")
    days[0].unlink()
    status, out, _ = run(*chain)
    assert (status, "file_removed     my logs/2026-02-26.jsonl" in out) == (1, True)
    assert max(map(len, out.splitlines())) <= 120
    found = json.loads(run(*chain, "--json")[1])
    assert (found["status"], found["counts"], found["totals"]) == (
        "failed",
        {"file_removed": 1},
        {"reports": 2, "files": 3, "findings": 1},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "--signing-key", "k.pem"], "--signing-key requires --report"),
        (["--report", "r.html"], "PATH_OR_PREFIX"),
        (["--chain", "r.json", "--report", "r.html"], "--chain cannot be used with --report"),
        (["--chain", "r.json", "--start", "2026-03-01"], "--chain cannot be used with --start"),
        (["--chain", "r.json"], "r.json: there is no such report"),
        (["logs", "--report", "r.htm"], "must end in .html"),
        (["logs", "--report", "r.html", "--signing-key", "none.pem"], "'none.pem' cannot be read: No such file"),
        (["logs", "--report", "r.html", "--signing-key", "logs/2026-02-26.jsonl"], "the text is not PEM"),
        (
            ["logs", "--report", "logs/2026-02-26.jsonl/r.html"],
            "cannot write report 'logs/2026-02-26.jsonl/r.html': [Errno 20] Cannot write 'logs/",
        ),
        (["logs", "--report", "used.html"], "never overwritten"),
    ],
)
def test_arguments_that_cannot_be_used(run, tmp_path, monkeypatch, arguments, message):
    """The message names the argument, the exit status is 2, and there is no traceback."""
    monkeypatch.chdir(tmp_path)
    write_days(Path("logs"))
    Path("used.html").touch()
    status, out, err = run(*arguments)
    assert status == 2
    assert message in out + err
    assert "Traceback" not in err
    assert not Path("r.html").exists()


def test_a_report_names_what_changed_since_the_one_before(run, tmp_path, monkeypatch):
    """What the report before covers and is gone or replaced is a finding, of the folder and the span of the check."""
    monkeypatch.chdir(tmp_path)
    days = write_days(Path("logs"), days=4)
    write(Path("logs", f"{days[0].stem}.late-1.jsonl"), UNTIL - 4 * DAY, UNTIL - 3 * DAY, [])
    arguments = ("logs", "--start", "2026-02-26", "--report", "reports/{sequence}.html")
    assert run(*arguments)[0] == 0
    assert read("reports/000001.json")["changes"] is None
    assert run(*arguments)[0] == 0
    assert read("reports/000002.json")["changes"] == {"report": 1, "counts": {}, "findings": []}
    days[0].unlink()  # outside of the span
    manifest_of(days[0]).unlink()
    write(days[2], UNTIL - 2 * DAY, UNTIL - DAY, [log("another", UNTIL - 2 * DAY)])
    days[3].unlink()
    manifest_of(days[3]).unlink()
    status, out, _ = run(*arguments)
    changes = read("reports/000003.json")["changes"]
    assert (status, changes["report"], changes["counts"]) == (1, 2, {"file_removed": 1, "replaced": 1})
    assert "Since report 2" in out
    assert "Since report 2" in Page("reports/000003.html").text
    assert [finding["other_path"] for finding in changes["findings"]] == [str(days[2]), str(days[3])]
    assert run("other", *arguments[1:])[0] == 2
    assert read("reports/000004.json")["changes"]["counts"] == {}, "another folder was checked"
    Path("reports/000004.json").write_text('{"report_version": 1, "sequence": 4, "previous": 7}')
    status, out, _ = run(*arguments)
    assert (status, read("reports/000005.json")["changes"]["counts"]) == (1, {"report_invalid": 1})
    assert "report_invalid" in out
