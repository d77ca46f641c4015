"""A workspace in which one resource has a past."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda.sandbox import Workspace
from tests.sensors.sensor_runs import HOUR, MEMBER, now


@pytest.fixture(autouse=True, scope="session")
def _loaded():
    """Import what a sensor imports at its first poll, which takes longer than the timeouts of some tests."""
    import airflow_provider_secoda.client.aio
    import airflow_provider_secoda.client.sync  # noqa: F401


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Allow shorter pauses between polls than in production."""
    monkeypatch.setattr("airflow_provider_secoda._polling.wait.MIN_PAUSE", 0.02)


@pytest.fixture
def world(airflow):
    """Return a function that makes a workspace in which resource R has three old versions."""

    def made():
        workspace = Workspace(seed=5)
        for hours in (30, 20, 10):
            workspace.add_version("R", id=f"old-{hours}", latest_activity_logged_at=now() - hours * HOUR)
        return workspace

    return made


@pytest.fixture
def sandbox(secoda_sandbox_factory, world):
    return secoda_sandbox_factory(world(), page_size=10, member_key=MEMBER)
