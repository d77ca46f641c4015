"""The example DAGs in a browser: result, log, links, events."""

from __future__ import annotations

import re

import pytest

from tests.browser.where import button

DAILY, FETCH = "secoda_audit_logs_daily", "fetch_audit_logs"
WAITING, WAIT = "secoda_wait_for_new_version", "wait_for_an_edit"
WATCHING, PRINT_CHANGES = "secoda_on_new_version", "print_changes"
JSON, FOLD = "//*[@role='code']", "//*[contains(@class, 'codicon-folding-collapsed')]"


@pytest.fixture(scope="package")
def run(page, airflow_ui, saved):
    """Return the path of a successful run that was started with the button."""
    run = page.trigger(DAILY)
    airflow_ui.unpause(DAILY)  # the button does so as well, but its request may be lost while SQLite is locked
    page.read("Success", "SecodaAuditLogsOperator")
    return run


@pytest.fixture(scope="package")
def summary(airflow_ui, run):
    """Return what the task returned."""
    return airflow_ui.xcom(DAILY, run.rpartition("/")[2], FETCH)


@pytest.fixture
def edit(sandbox):
    """Return a function that adds a version to the resource of the examples, and returns the version."""

    def edit(resource_id="revenue-metric"):
        ada = {"id": "u-17", "name": "Ada Lovelace"}
        activity = {"performer_type": "USER", "activity_type": "UPDATE", "performer_metadata": ada}
        return sandbox.workspace.add_version(resource_id, activity_logs=[activity])

    return edit


def test_the_log_has_one_line_with_the_result(page, run, summary, sandbox):
    """A task's log has one line of the provider, with count, window, path and digest, and does not contain the key."""
    page.open_task(run, FETCH, "")
    log = page.read(f"Wrote {summary['count']} logs of [", summary["path"], summary["sha256"])
    said = re.findall(r"\b(?:INFO|WARNING|ERROR)\b[^\n]*\n?[^\n]*", log)
    assert [line for line in said if "AWS Connection" not in line] == [line for line in said if "Wrote" in line]
    assert log.count("Wrote") == 1
    assert sandbox.api_key not in page.driver.page_source
    page.press("w")  # long lines are wrapped
    page.picture("log.png", (1200, 520))


def test_the_result_is_a_summary(page, run, summary):
    """The task's XCom shows the window, the count, and the path and the digest of the manifest."""
    page.open_task(run, FETCH, "xcom", (1200, 800))
    page.click(button("Expand all extra JSON"))
    page.read("return_value", '"format": "jsonl"', f'"count": {summary["count"]}')
    page.scroll_to('"manifest_sha256": ', JSON)
    page.scroll_to(summary["manifest_sha256"][-4:] + '"', JSON)
    page.read(f'"pages": {summary["pages"]}', f'"bytes": {summary["bytes"]}', '"manifest": "s3://', within=JSON)
    page.picture("result.png")


def test_the_output_is_a_link(page, run, summary):
    """The task has a link to the object in the cloud's console."""
    page.open_task(run, FETCH, "details")
    link = page.link("Output").get_attribute("href")
    page.picture("link.png", (1200, 480))
    day = summary["start"][:10]
    console = "https://console.aws.amazon.com/s3/object/acme-audit-logs?region=eu-central-1&prefix="
    assert link == f"{console}audit_logs%2F{day}.jsonl"


def test_the_event_contains_the_summary(page, run, summary):
    """The asset's event contains the window and the count."""
    page.open_task(run, FETCH, "asset_events", (1200, 900))
    page.read("Created Asset Event", "secoda_audit_logs")
    page.click(FOLD)
    page.read(f'"count": {summary["count"]}', f'"start": "{summary["start"]}"', f'"end": "{summary["end"]}"')
    page.picture("asset-event.png")


def test_a_wait_ends_with_an_edit(page, airflow_ui, saved, sandbox, edit):
    """A sensor waits in the triggerer, links to the resource in Secoda, and returns the new version."""
    run = page.trigger(WAITING)
    airflow_ui.unpause(WAITING)
    page.open_task(run, WAIT, "details")
    page.read("Deferred")
    page.picture("sensor-waiting.png", (1200, 480))
    assert page.link("Resource in Secoda").get_attribute("href") == f"{sandbox.url}/metric/revenue-metric"
    version = edit()
    page.read("Success")
    page.open_task(run, WAIT, "xcom", (1200, 800))
    page.read("return_value")
    page.click(button("Expand all extra JSON"))
    page.read(version["id"], within=JSON)
    page.scroll_to("Ada Lovelace", JSON)
    page.picture("sensor.png")


def test_an_edit_runs_a_dag(page, airflow_ui, saved, sandbox, edit):
    """A new version creates an event of the watched asset, which runs the DAG that is scheduled on it."""
    before = len(sandbox.requests)
    page.unpause(WATCHING)
    airflow_ui.read_again(WATCHING)
    page.until(lambda: len(sandbox.requests) > before, "the watcher polls")
    page.open(f"/dags/{WATCHING}/runs")
    version = edit()
    page.click("//a[contains(., 'asset_triggered__')]")
    page.read("Asset Triggered", "Success")
    run = page.driver.current_url.removeprefix(page.url).rstrip("/")
    page.open(f"{run}/asset_events", (1200, 900))
    page.read("1 Asset Event", "secoda_revenue_metric")
    for _ in ("the event's extra", "its payload"):
        page.click(FOLD)
    page.read('"kind": "version"', f'"id": "{version["id"]}"', '"resource_id": "revenue-metric"')
    page.picture("event.png")
    page.open("/assets")
    page.click("//a[normalize-space()='secoda_revenue_metric']")
    page.read("secoda_on_new_version")
    page.picture("asset.png")
