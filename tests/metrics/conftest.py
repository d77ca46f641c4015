"""Airflow's own metrics, sent to a listener of the test."""

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
def send_metrics(listener, monkeypatch):
    """Return a function that makes Airflow in this process send its metrics to the listener, with given options."""

    def turned_on(**options):
        for name, value in listener.settings(**options).items():
            monkeypatch.setenv(name, value)
        initialise()
        return listener

    yield turned_on
    monkeypatch.undo()
    initialise()


def initialise():
    """Make Airflow read its options for metrics, as it does when a process starts."""
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
def statsd(send_metrics):
    """Return a StatsD server that receives the metrics of this process."""
    return send_metrics()
