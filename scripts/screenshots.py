"""Drive a headless Chromium through the demo's web UI and keep pictures of what a person meets there.

usage: screenshots.py URL FOLDER
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

DAG_ID, TASK_ID = "secoda_audit_logs_daily", "fetch_audit_logs"
EVENT_DAG_ID = "secoda_on_new_version"
PATIENCE_SECONDS = 30
SETTLE_SECONDS = 1.0
# Pixels, width and height of what is inside the window.
DIALOG_VIEW = (640, 1250)  # narrow: two of its dialogs stand beside each other
RUN_VIEW = (1200, 750)
EVENT_VIEW = (1200, 900)
PAIR_VIEW = (1600, 1250)
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it, as in most containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--lang=en-US",
)


def main(url: str, folder: Path) -> None:
    """Take all pictures.

    :param url: of the web UI, which asks for no password.
    :param folder: takes the PNG files.
    """
    run_id = finished_run(url, DAG_ID)
    edit_a_resource(folder.parents[1] / ".demo" / "ui" / "sandbox.json")
    event_run_id = finished_run(url, EVENT_DAG_ID)
    with chromium() as driver:
        page = Page(driver)
        pictures = {
            "connection-form.png": connection_form(page, url),
            "result.png": result(page, f"{url}/dags/{DAG_ID}/runs/{run_id}/tasks/{TASK_ID}/xcom"),
            "event.png": event(page, f"{url}/dags/{EVENT_DAG_ID}/runs/{event_run_id}/asset_events"),
        }
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
        print(f"screenshots: {folder / name} ({len(picture):,} bytes)")


class Page:
    """What is in the browser's window: found by what a person reads, waited for as a person would."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, view: tuple[int, int]) -> None:
        """Show a page on that many pixels."""
        width, height = view
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(url)

    def find(self, xpath: str) -> WebElement:
        """Return the last element there that can be seen, as soon as there is one."""
        waiting = WebDriverWait(
            self.driver,
            PATIENCE_SECONDS,
            ignored_exceptions=[NoSuchElementException, StaleElementReferenceException],
        )
        found: WebElement = waiting.until(
            lambda driver: [each for each in driver.find_elements("xpath", xpath) if each.is_displayed()],
            f"nothing to be seen at {xpath}",
        )[-1]
        return found

    def click(self, xpath: str) -> None:
        """Click and let what follows come to rest."""
        self.find(xpath).click()
        time.sleep(SETTLE_SECONDS)

    def write(self, xpath: str, *text: str) -> None:
        """Type into a field."""
        self.find(xpath).send_keys(*text)
        time.sleep(SETTLE_SECONDS)


def connection_form(page: Page, url: str) -> bytes:
    """Return a picture of the form for a new connection, both of its parts beside each other."""
    page.open(f"{url}/connections", DIALOG_VIEW)
    page.click("//button[contains(., 'Add Connection')]")
    page.write("//*[@role='dialog']//input[@name='connection_id']", "secoda_default")
    page.write("//*[@role='dialog']//*[@role='combobox']", "secoda")
    page.write("//*[@role='dialog']//*[@role='combobox']", Keys.ENTER)
    page.write("//input[@name='password']", "not a key, only dots")
    standard = page.find("//*[@role='dialog']").screenshot_as_png
    page.click("//*[@role='dialog']//button[normalize-space()='Extra Fields']")
    page.click("(//*[@role='dialog']//*[@role='combobox'])[last()]")
    page.click("//*[@role='option'][normalize-space()='eu']")
    extra = page.find("//*[@role='dialog']").screenshot_as_png
    return side_by_side(page, standard, extra)


def side_by_side(page: Page, *pictures: bytes) -> bytes:
    """Return one picture of several, on white."""
    frame = "border:1px solid #cbd5e1;border-radius:8px;margin:6px"
    images = "".join(
        f"<img style='{frame}' src='data:image/png;base64,{base64.b64encode(each).decode()}'>" for each in pictures
    )
    page.open("about:blank", PAIR_VIEW)
    page.driver.execute_script(
        "document.body.innerHTML = arguments[0]",
        f"<div id='all' style='display:inline-flex;align-items:flex-start;background:#fff'>{images}</div>",
    )
    time.sleep(SETTLE_SECONDS)
    picture: bytes = page.find("//*[@id='all']").screenshot_as_png
    return picture


def result(page: Page, url: str) -> bytes:
    """Return a picture of a task that is done and of what it returned.

    :param url: of the task's XComs.
    """
    page.open(url, RUN_VIEW)
    page.click("//button[@aria-label='Expand all extra JSON']")
    picture: bytes = page.driver.get_screenshot_as_png()
    return picture


def event(page: Page, url: str) -> bytes:
    """Return a picture of the events that a run was started by.

    :param url: of the run's asset events.
    """
    page.open(url, EVENT_VIEW)
    page.find("//*[contains(text(), 'secoda_revenue_metric')]")
    for _ in ("the event's extra", "its payload"):
        page.click("//*[contains(@class, 'codicon-folding-collapsed')]")
    picture: bytes = page.driver.get_screenshot_as_png()
    return picture


def edit_a_resource(ready: Path) -> None:
    """Add a version of the demo's resource to its sandbox.

    :param ready: what the sandbox wrote when it was up.
    """
    edit = {
        "performer_type": "USER",
        "activity_type": "UPDATE",
        "performer_metadata": {"id": "u-17", "name": "Ada Lovelace"},
    }
    body = json.dumps({"resource_id": "revenue-metric", "activity_logs": [edit]}).encode()
    with urllib.request.urlopen(f"{json.loads(ready.read_text())['url']}/sandbox/versions", body):
        pass


def finished_run(url: str, dag_id: str) -> str:
    """Return the id of a DAG's run, which the scheduler starts by itself, once it succeeded."""
    deadline = time.monotonic() + PATIENCE_SECONDS * 4
    token = ask(f"{url}/auth/token")["access_token"]
    while time.monotonic() < deadline:
        for run in ask(f"{url}/api/v2/dags/{dag_id}/dagRuns", token)["dag_runs"]:
            if run["state"] == "success":
                run_id: str = run["dag_run_id"]
                return run_id
        time.sleep(1)
    raise SystemExit(f"screenshots: no run of {dag_id} succeeded")


def ask(url: str, token: str = "") -> dict[str, Any]:
    """Return what Airflow's API answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Run the installed Chromium, without a window, on a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
