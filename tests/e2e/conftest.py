"""The one real Airflow that all tests in this folder share, and the sandbox that it talks to."""

from __future__ import annotations

import secrets
from importlib.util import find_spec

import pytest

from tests.helpers.statsd_listener import Listener


def pytest_collection_modifyitems(items):
    """Look for the key when everything else has been logged; the order of all others stays."""
    items.sort(key=lambda item: (item.path.stem == "test_key_nowhere", item.name == "test_the_key_is_in_no_file"))


@pytest.fixture(scope="session")
def listener():
    """Return the StatsD server that it tells its metrics, of the provider's only: those of Airflow are many."""
    pytest.importorskip("statsd")
    server = Listener()
    yield server
    server.close()


@pytest.fixture(scope="session")
def standalone(tmp_path_factory, request):
    """Return a real Airflow, which starts when it is first used; see :class:`standalone.Standalone`."""
    pytest.importorskip("airflow")
    pytest.importorskip("starlette", reason="the sandbox needs it")
    from airflow_provider_secoda.sandbox import Sandbox, Workspace
    from tests.helpers.standalone import Standalone

    # A key of its own, that no text holds by chance: tests look for it where it must not be.
    with Sandbox(Workspace.generate(logs=500, days=2), api_key=f"key-{secrets.token_hex(16)}") as sandbox:
        # At DEBUG, where libraries tell the most: what they tell is searched for the key.
        chatty = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
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
    """Leave the shared Airflow to the next test as it was, whatever became of this one."""
    yield
    standalone.tidy()
