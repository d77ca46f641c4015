"""DAGs with everything that this provider puts into a serialized DAG."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from zoneinfo import ZoneInfo

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_secoda.assets.secoda import create_asset
from airflow_provider_secoda.client.filters import exact
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator
from airflow_provider_secoda.retries import SecodaRetryPolicy
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.windows import split_window

try:
    from airflow.sdk import Asset, AssetWatcher
except ImportError:
    Asset = AssetWatcher = None

start, end = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 3, tzinfo=ZoneInfo("Europe/Berlin"))
people = exact("performer_type", "USER")
path = "/files/{start:%Y-%m-%d}.jsonl"


class Patient(SecodaRetryPolicy):
    """A user's own policy, with a setting."""

    def __init__(self, longest: timedelta):
        self.longest = longest


@task
def windows():
    return []


def dag(dag_id, **arguments):
    return DAG(dag_id, schedule=None, start_date=start, **arguments)


with dag("arguments"):
    SecodaAuditLogsOperator(task_id="none")
    SecodaAuditLogsOperator(task_id="window", start=start, end=end, output_path=path, settle=timedelta(minutes=3))
    SecodaVerifyOperator(task_id="verify", path=["a", "b"], last=7, report_path="s3://bucket/{sequence}.html")
    SecodaAuditLogsOperator(task_id="mapping", filter=people)
    SecodaAuditLogsOperator(task_id="ordered", filter=OrderedDict(people))
    SecodaAuditLogsOperator(task_id="proxied", filter=MappingProxyType(people))
    audit_logs, resource = create_asset(region="eu"), create_asset(region="eu", resource_id="r")
    SecodaAuditLogsOperator(task_id="outlets", outlets=[audit_logs], inlets=[resource])
    SecodaVersionHistorySensor(task_id="sensor", resource_id="r")
    SecodaVersionHistorySensor(task_id="triggered", resource_id="r", deferrable=True, start_from_trigger=True)
    SecodaVersionHistorySensor(
        task_id="since", resource_id="r", since=start, deferrable=True, start_from_trigger=True, timeout=7.5
    )

with dag("policies", default_args={"retry_policy": SecodaRetryPolicy(), "retries": 3}):
    SecodaAuditLogsOperator(task_id="default")
    SecodaAuditLogsOperator(task_id="other", retry_policy=Patient(timedelta(hours=2)))
    SecodaAuditLogsOperator(task_id="none", retry_policy=None)
    SecodaVersionHistorySensor(task_id="sensor", resource_id="r")
    SecodaVersionHistorySensor.partial(task_id="sensors").expand(resource_id=["r", "s"])
    SecodaAuditLogsOperator.partial(task_id="mapped", retry_policy=Patient(timedelta(hours=3))).expand(
        filter=[people, None]
    )
    SecodaAuditLogsOperator.partial(task_id="expanded").expand_kwargs(
        [{"retry_policy": Patient(timedelta(hours=4)), "filter": people}]
    )

with dag("own_policies", default_args={"retry_policy": Patient(timedelta(hours=1))}):
    SecodaAuditLogsOperator(task_id="default")

with dag("mapped"):
    SecodaAuditLogsOperator.partial(task_id="days", output_path=path).expand_kwargs(split_window(start, end))
    SecodaAuditLogsOperator.partial(task_id="ends", start=start, settle=timedelta(0)).expand(end=[end])
    SecodaAuditLogsOperator.partial(task_id="filters", outlets=[audit_logs]).expand(filter=[people, None])
    SecodaAuditLogsOperator.partial(task_id="results", output_path=path).expand_kwargs(windows())
    SecodaVersionHistorySensor.partial(task_id="triggered", deferrable=True, start_from_trigger=True).expand(
        resource_id=["r"]
    )

if AssetWatcher:
    from airflow_provider_secoda.triggers.secoda import SecodaAuditLogEventTrigger, SecodaVersionHistoryEventTrigger

    logs = SecodaAuditLogEventTrigger(
        activity_types={"A", "B", "C", "D", "E"}, performer_types=("z", "y"), resource_ids=["b", "a"], filter=people
    )
    versions = SecodaVersionHistoryEventTrigger(resource_id="r", poke_interval=5)
    watched = Asset(
        "watched", watchers=[AssetWatcher(name="l", trigger=logs), AssetWatcher(name="v", trigger=versions)]
    )
    with DAG("watchers", schedule=[watched, audit_logs], start_date=start):
        SecodaAuditLogsOperator(task_id="fetch")
