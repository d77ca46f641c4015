"""Fixtures: one Airflow, one Chromium and one S3 for all tests in this folder, which also take the docs' screenshots.

``SECODA_PICTURES`` is the folder for the screenshots. Without a browser the tests are skipped, or fail if
``SECODA_BROWSER=required``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import airflow_runs

EXAMPLES = Path(__file__).parents[2] / "example_dags"
RESOURCE_ID = "revenue-metric"
BUCKET, ENDPOINT = "acme-audit-logs", "http://s3.eu-central-1.amazonaws.com"
SOMEONE = {"aws_access_key_id": "someone", "aws_secret_access_key": "nothing", "region_name": "eu-central-1"}
#: Changes to the examples: a shorter poke interval, and an asset for the first one.
CHANGED = {
    "secoda_audit_logs_daily": {
        "import DAG": "import DAG, Asset",
        'task_id="fetch_audit_logs",': 'task_id="fetch_audit_logs", outlets=[Asset("secoda_audit_logs")],',
    },
    "secoda_wait_for_new_version": {"poke_interval=timedelta(minutes=1)": "poke_interval=2"},
    "secoda_on_new_version": {"(resource_id=RESOURCE_ID)": "(resource_id=RESOURCE_ID, poke_interval=2)"},
}


@pytest.fixture(scope="package")
def browser():
    """Skip or fail without a browser; skip in versions of Airflow with other pages."""
    if airflow_runs.version() < (3, 3):
        pytest.skip("the pages are those of Airflow 3.3")
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    missing += [module for module in ("selenium", "moto", "s3fs") if find_spec(module) is None]
    if missing:
        message = f"needs {', '.join(missing)} (on Debian: apt-get install chromium chromium-driver)"
        (pytest.fail if os.environ.get("SECODA_BROWSER") == "required" else pytest.skip)(message)


@pytest.fixture(scope="package")
def aws(browser):
    """Serve an S3 with one bucket under Amazon's host name, by a proxy; return the connection to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    proxy = f"http://{host}:{port}"
    place = {"LocationConstraint": SOMEONE["region_name"]}
    boto3.client("s3", endpoint_url=proxy, **SOMEONE).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    extra = {"endpoint_url": ENDPOINT, "config_kwargs": {"proxies": {"http": proxy}}}
    connection = {
        "conn_type": "aws",
        "login": SOMEONE["aws_access_key_id"],
        "password": SOMEONE["aws_secret_access_key"],
        "extra": extra | {"region_name": SOMEONE["region_name"]},
    }
    yield json.dumps(connection)
    server.stop()


@pytest.fixture(scope="package")
def sandbox(browser):
    """Return a sandbox with an old version of one resource, the key of an admin and that of a member."""
    from airflow_provider_secoda.sandbox import Sandbox, Workspace

    with Sandbox(
        Workspace.generate(logs=5000, days=31),
        api_key=f"key-{secrets.token_urlsafe(24)}",
        member_key=f"key-{secrets.token_urlsafe(24)}",
    ) as sandbox:
        month_ago = datetime.now(timezone.utc) - timedelta(days=30)
        sandbox.workspace.add_version(RESOURCE_ID, latest_activity_logged_at=month_ago.isoformat())
        yield sandbox


@pytest.fixture(scope="package")
def airflow_ui(browser, aws, sandbox, tmp_path_factory):
    """Return a running Airflow as newly installed: DAGs are paused, and there is no connection to Secoda."""
    from tests.helpers.standalone import Standalone

    environment = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW_CONN_SECODA_DEFAULT": "",
        "AIRFLOW_CONN_AWS": aws,
        "SECODA_OUTPUT": f"s3://aws@{BUCKET}",
        "SECODA_RESOURCE_ID": RESOURCE_ID,
    }
    airflow = Standalone(tmp_path_factory.mktemp("airflow"), sandbox, environment)
    try:
        for name, changes in CHANGED.items():
            source = (EXAMPLES / f"{name}.py").read_text()
            for old, new in changes.items():
                assert old in source
                source = source.replace(old, new)
            airflow.put_dag(name, source)
        airflow.start()
        yield airflow
    finally:
        airflow.end()


@pytest.fixture(scope="package")
def page(airflow_ui):
    """Return the browser window that all tests use."""
    from tests.browser.page import chromium
    from tests.browser.views import AirflowPage

    folder = os.environ.get("SECODA_PICTURES")
    with chromium() as driver:
        yield AirflowPage(driver, airflow_ui.url, Path(folder).resolve() if folder else None)


@pytest.fixture(scope="package")
def saved(page, sandbox):
    """Return the id of a connection that was created in the form; the examples use it."""
    page.begin_connection("secoda_default", sandbox)
    page.fill_in(API_key=sandbox.api_key)
    page.unfold("Extra Fields")
    page.fill_in(Link_to_a_resource="{app}/metric/{resource_id}")
    page.save()
    return "secoda_default"
