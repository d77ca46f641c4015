"""The report of a check in a real browser: in light and in dark colours, printed, on a narrow and on a wide screen.

``SECODA_REPORT_PICTURES`` is a folder for what is not in the documents: the dark page, and the printed one as PDF.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._reports.command import check_command
from airflow_provider_secoda.verify._reports.write import write_report
from tests.verify.output_files import DAY, UNTIL, lines_of, log, manifest_of, write

DAYS = 90
WIDE, NARROW = (1180, 1500), (390, 900)
#: Of the body and of a cell with a gap; and whether something is wider than the window.
COLOURS = "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the path of a report on a store of 90 days with one window of each state."""
    folder = tmp_path_factory.mktemp("report")
    signer = PrivateKeySigner.from_pem(generate_key())
    workspace = Workspace.generate(seed=11, logs=4000, days=DAYS, until=UNTIL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        paths = []
        for number in range(DAYS, 0, -1):
            day = UNTIL - number * DAY
            path = Path("audit_logs", f"{day:%Y-%m-%d}.jsonl")
            paths.append(write(path, day, day + DAY, workspace.window(day, day + DAY), signer=signer))
        late = UNTIL - 60 * DAY
        manifest = hashlib.sha256(manifest_of(paths[30]).read_bytes()).hexdigest()
        supplement = {"number": 1, "of": paths[30].name, "previous_manifest_sha256": manifest}
        path = paths[30].with_name(f"{paths[30].stem}.late-1.jsonl")
        write(path, late, late + DAY, [log("late", late)], signer=signer, supplement=supplement)
        lines = lines_of(paths[45])
        lines[2] = lines[2].replace(b'"is_legacy":false', b'"is_legacy":null')
        paths[45].write_bytes(b"".join(lines))
        for path in (paths[62], manifest_of(paths[62]), signature_of(paths[62]), signature_of(paths[70])):
            path.unlink()
        check = {"start": "2025-12-01", "end": "2026-03-01"}
        result = verify(["audit_logs"], public_keys=[signer.public_key.decode()], **check)
        command = check_command(["audit_logs"], public_keys=["audit-key.pub.pem"], **check)
        for _ in range(2):
            written = write_report(result, "reports/{sequence}.html", command=command, signer=signer)
    return folder / written.path


@pytest.fixture(scope="module")
def window(browser, report):
    """Return a browser window that shows the report."""
    from tests.browser.page import Page, chromium

    folder = os.environ.get("SECODA_PICTURES")
    with chromium() as driver:
        page = Page(driver, "file://", Path(folder).resolve() if folder else None)
        page.open(str(report), WIDE)
        yield page


def signature_of(path):
    return manifest_of(path).with_name(f"{manifest_of(path).name}.sig")


def prefer(window, scheme):
    """Let the browser prefer light or dark colours."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def test_the_report_is_readable(window):
    """The window shows the states of the calendar, totals and findings; the policy of the page blocks nothing."""
    prefer(window, "light")
    shown = window.read("FAILED", "Dec 2025", "Feb 2026", "Repeat the check")
    for expected in ("no file covers [2026-02-01", "the manifest has no signature", "record 3 (", "report 2"):
        assert expected in shown
    cells = window.all("//div[contains(@class, 'calendar')]//td[contains(@class, 'cell')]/b")
    assert sorted({cell.text for cell in cells}) == ["A", "G", "L", "U", "✓"]
    assert len(cells) == DAYS
    assert [entry for entry in window.driver.get_log("browser") if "favicon" not in entry["message"]] == []
    window.picture("report.png", WIDE)


@pytest.mark.parametrize("view", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_is_wider_than_the_window(window, view):
    """The page has no horizontal scrollbar; the table of files has one of its own."""
    window.resize(view)
    assert window.driver.execute_script(OVERFLOW) <= 0


def test_the_colours_are_those_that_the_reader_prefers(window):
    """The page is light or dark, as the browser prefers, and its text has a sufficient contrast."""
    seen = {}
    for scheme in ("light", "dark"):
        prefer(window, scheme)
        seen[scheme] = [sum(_channels(colour)) for colour in window.driver.execute_script(COLOURS)]
        if os.environ.get("SECODA_REPORT_PICTURES"):
            window.picture(f"report-{scheme}.png", WIDE)
    (light, dark_text), (dark, light_text) = seen["light"], seen["dark"]
    assert min(light, light_text) > 600
    assert max(dark, dark_text) < 200
    prefer(window, "light")


def _channels(colour):
    """Return red, green and blue of a colour as the browser writes it, up to 255 each."""
    return [float(each) for each in colour.partition("(")[2].rstrip(")").split(",")[:3]]


def test_the_report_is_printed(window):
    """The printed report has a few pages, on white paper, also for a reader who prefers dark colours."""
    prefer(window, "dark")
    printed = base64.b64decode(window.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    if folder := os.environ.get("SECODA_REPORT_PICTURES"):
        Path(folder, "report.pdf").write_bytes(printed)
    assert 2 <= printed.count(b"/Type /Page\n") <= 8
    prefer(window, "light")
