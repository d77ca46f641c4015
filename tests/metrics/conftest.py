"""Airflow's own metrics, enabled, with a listener of the test."""

from __future__ import annotations

import pytest

from tests.helpers import airflow_runs
from tests.helpers.statsd_listener import Listener


@pytest.fixture
def listener():
    """Return a StatsD server."""
    pytest.importorskip("airflow")
    pytest.importorskip("statsd")
    server = Listener()
    yield server
    server.close()


@pytest.fixture
def tell(listener, monkeypatch):
    """Return a function that has this process's Airflow send its metrics to the listener, with more options."""

    def turned_on(**options):
        for name, value in listener.settings(**options).items():
            monkeypatch.setenv(name, value)
        initialise()
        return listener

    yield turned_on
    monkeypatch.undo()
    initialise()


def initialise():
    """Have Airflow read its options about metrics, as it does when a process starts."""
    if airflow_runs.version() < (3, 2):
        from airflow.configuration import conf
        from airflow.metrics import statsd_logger
        from airflow.metrics.base_stats_logger import NoStatsLogger
        from airflow.stats import Stats

        on = conf.getboolean("metrics", "statsd_on")
        type(Stats).factory = statsd_logger.get_statsd_logger if on else NoStatsLogger
        Stats.__class__.instance = None
        type.__setattr__(Stats, "instance", None)
        return
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    if airflow_runs.version() < (3, 3):
        stats.Stats.initialize(factory=get_stats_factory(stats.Stats))
    else:
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


@pytest.fixture
def statsd(tell):
    """Return a StatsD server that hears this process's Airflow."""
    return tell()
