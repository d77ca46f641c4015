"""Give every test session an Airflow of its own, or none: tests of the client do not need Airflow."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import airflow_runs, deprecations

# On a busy machine the code is slow: no test depends on speed here.
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give one worker, in their order, the tests of a file, and all that share a running Airflow.

    Marks and ``--dist loadgroup`` would do the same, but that of xdist 3.8 groups nothing on pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return next((folder for folder in RUNNING_AIRFLOW if folder in Path(file).parts), file)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with what takes longest, or the others would wait for it in the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not set(RUNNING_AIRFLOW).intersection(item.path.parts))


def pytest_sessionfinish() -> None:
    airflow_runs.remove()


@pytest.fixture(scope="session")
def airflow():
    """Return the module that runs DAGs, with its database made; skip where Airflow is not installed."""
    pytest.importorskip("airflow")
    airflow_runs.start()
    return airflow_runs
