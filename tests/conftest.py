"""Give every test session an Airflow of its own, or none: tests of the client do not need Airflow."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one, from tests in any folder

import airflow_runs
import deprecations

# A busy machine is no fault of the code: nothing here is judged by its speed.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

#: The folders of tests that share one running Airflow, each its own.
RUNNING_AIRFLOW = ("e2e", "browser")

airflow_runs.isolate()  # now: from the first import of Airflow on, its home is fixed


def pytest_configure(config: pytest.Config) -> None:
    """Let what is deprecated fail on the newest Airflow."""
    version = airflow_runs.version() if find_spec("airflow") else None
    for line in deprecations.filters(version):
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Count one worker more than there are processors: of those in ``e2e/`` mostly Airflow is waited for."""
    return min((os.cpu_count() or 1) + 1, 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say which tests one worker must run, in their order: those of a file, and all that share the running Airflow.

    What takes longest is first, or the other workers would wait for it in the end.
    """
    if not config.pluginmanager.hasplugin("xdist") or config.getoption("dist") != "loadgroup":
        return
    here = Path(__file__).parent
    for item in items:
        folder, *file = item.path.relative_to(here).parts
        item.add_marker(pytest.mark.xdist_group(folder if folder in RUNNING_AIRFLOW else "/".join([folder, *file])))
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in RUNNING_AIRFLOW)


def pytest_sessionfinish() -> None:
    airflow_runs.remove()


@pytest.fixture(scope="session")
def airflow():
    """Return the module that runs DAGs, with its database made; skip where Airflow is not installed."""
    pytest.importorskip("airflow")
    airflow_runs.start()
    return airflow_runs
