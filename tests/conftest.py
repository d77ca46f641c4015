"""Give every test session an Airflow of its own, or none: tests of the client do not need Airflow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one, from tests in any folder

import airflow_runs

# A busy machine is no fault of the code: nothing here is judged by its speed.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

airflow_runs.isolate()  # now: from the first import of Airflow on, its home is fixed


def pytest_sessionfinish() -> None:
    airflow_runs.remove()


@pytest.fixture(scope="session")
def airflow():
    """Return the module that runs DAGs, with its database made; skip where Airflow is not installed."""
    pytest.importorskip("airflow")
    airflow_runs.start()
    return airflow_runs
