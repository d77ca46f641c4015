"""The sensor, in real DAG runs against the sandbox over HTTP: one matrix for its three modes."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")

import sensor_runs
from sensor_runs import HOUR, MODES, now, run, soon

from airflow_provider_secoda.sandbox import Workspace


@pytest.fixture
def sandbox(secoda_sandbox_factory, airflow):
    workspace = Workspace.generate(seed=5, logs=50, days=3)
    for hours in (30, 20, 10):
        workspace.add_version("R", id=f"old-{hours}", latest_activity_logged_at=now() - hours * HOUR)
    return secoda_sandbox_factory(workspace, page_size=10)


@pytest.mark.parametrize("mode", MODES)
def test_waits_for_a_new_version(sandbox, mode):
    """The sensor goes on until a version is added, and returns it."""
    timer = soon(2, lambda: sandbox.workspace.add_version("R", id="new"))
    ran = run(mode)
    timer.join()
    assert ran.state == "success", ran.log
    assert [entry["id"] for entry in ran.xcoms["wait"]] == ["new"]
