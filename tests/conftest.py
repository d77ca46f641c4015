"""Give every test session an Airflow of its own, or none: tests of the client do not need Airflow."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import airflow_runs, deprecations

# On a busy machine the code is slow: property tests have no deadline.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

#: The folders whose tests share one running Airflow per folder.
RUNNING_AIRFLOW = ("e2e", "browser")
#: The folders whose tests share processes that take long to start: these, and the one that starts tasks to be killed.
ONE_WORKER = (*RUNNING_AIRFLOW, "crash")

airflow_runs.isolate()  # now: the first import of Airflow fixes its home
# Since 2026 gcsfs requests the type of each bucket by gRPC, which no emulator supports, and waits for minutes. It reads
# this at its first import, and whichever test comes first may import it.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


def pytest_configure(config: pytest.Config) -> None:
    """Turn deprecation warnings into errors on the newest Airflow."""
    version = airflow_runs.version() if find_spec("airflow") else None
    for line in deprecations.filters(version):
        config.addinivalue_line("filterwarnings", line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are processors: tests in ``e2e/`` mostly wait for Airflow."""
    return min((os.cpu_count() or 1) + 1, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file, and all tests of a folder that shares processes, on one worker and in order.

    Marks and ``--dist loadgroup`` would do the same, but that of xdist 3.8 groups nothing on pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return next((folder for folder in ONE_WORKER if folder in Path(file).parts), file)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest tests first, so that no worker waits for them at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not set(RUNNING_AIRFLOW).intersection(item.path.parts))


def pytest_sessionfinish() -> None:
    airflow_runs.remove()


@pytest.fixture(scope="session")
def airflow():
    """Return the module that runs DAGs, with its database created; skip if Airflow is not installed."""
    pytest.importorskip("airflow")
    airflow_runs.start()
    return airflow_runs
