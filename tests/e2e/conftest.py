"""Fixtures: the running Airflow that all tests in this folder share, and its sandbox. It ends with the last of them."""

from __future__ import annotations

import secrets
from importlib.util import find_spec

import pytest

from tests.helpers.statsd_listener import Listener


def pytest_collection_modifyitems(items):
    """Run the tests that search for the key last, and keep the order of all others."""
    items.sort(key=lambda item: (item.path.stem == "test_key_nowhere", item.name == "test_the_key_is_in_no_file"))


@pytest.fixture(scope="package")
def listener():
    """Return the StatsD server for the metrics of the provider in this Airflow."""
    pytest.importorskip("statsd")
    server = Listener()
    yield server
    server.close()


@pytest.fixture(scope="package")
def standalone(tmp_path_factory, request):
    """Return a real Airflow, which starts when it is first used; see :class:`standalone.Standalone`."""
    pytest.importorskip("airflow")
    pytest.importorskip("starlette", reason="the sandbox needs it")
    from airflow_provider_secoda.sandbox import Sandbox, Workspace
    from tests.helpers.standalone import Standalone

    # A random key, which no file contains by chance: tests search for it where it must not be.
    with Sandbox(Workspace.generate(logs=500, days=2), api_key=f"key-{secrets.token_urlsafe(24)}") as sandbox:
        # At level DEBUG libraries log the most, and the logs are searched for the key.
        chatty = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", "AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
        if find_spec("statsd"):
            metrics = request.getfixturevalue("listener")
            chatty |= metrics.settings(metrics_allow_list="secoda", statsd_influxdb_enabled=True)
        airflow = Standalone(tmp_path_factory.mktemp("airflow"), sandbox, chatty)
        try:
            yield airflow
        finally:
            airflow.end()


@pytest.fixture(autouse=True)
def tidy(standalone):
    """Restore the shared Airflow after each test."""
    yield
    standalone.tidy()
