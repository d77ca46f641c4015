"""DAGs with every kind of schedule; each run returns its window."""

from datetime import datetime, timedelta, timezone

from airflow.timetables.events import EventsTimetable  # Airflow 3.3.2 cannot store the one of airflow.sdk

try:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
except ImportError:
    from airflow.operators.trigger_dagrun import TriggerDagRunOperator
try:
    from airflow.sdk import DAG, Asset, task
    from airflow.timetables.assets import AssetOrTimeSchedule
except ImportError:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.timetables.datasets import DatasetOrTimeSchedule as AssetOrTimeSchedule
try:
    from airflow.sdk import (
        AssetOrTimeSchedule,
        CronDataIntervalTimetable,
        CronTriggerTimetable,
        DeltaDataIntervalTimetable,
        DeltaTriggerTimetable,
    )
except ImportError:
    from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
    from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable
from airflow_provider_secoda.windows import resolve_window

asset = Asset("file:///made")
day = timedelta(days=1)
march = datetime(2025, 3, 29, tzinfo=timezone.utc)  # the clocks change on the 30th in Berlin

SCHEDULES = {
    "daily": "@daily",
    "timedelta": day,
    "delta_trigger": DeltaTriggerTimetable(day),
    "cron_trigger": CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"),
    "cron_trigger_interval": CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin", interval=day),
    "cron_interval": CronDataIntervalTimetable("0 2 * * *", timezone="Europe/Berlin"),
    "delta_interval": DeltaDataIntervalTimetable(day),
    "asset_or_time": AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"),
        **{"datasets" if AssetOrTimeSchedule.__name__.startswith("Dataset") else "assets": [asset]},
    ),
    "events": EventsTimetable([march + n * day for n in (1, 2, 4)], description="three days"),
    "once": "@once",
    "never": None,
    "assets": [asset],
}
try:
    from airflow.sdk import MultipleCronTriggerTimetable
except ImportError:
    try:
        from airflow.timetables.trigger import MultipleCronTriggerTimetable
    except ImportError:
        MultipleCronTriggerTimetable = None
if MultipleCronTriggerTimetable:
    SCHEDULES["multiple"] = MultipleCronTriggerTimetable("0 2 * * *", "30 14 * * *", timezone="Europe/Berlin")

keyed = Asset("file:///keyed")
try:
    from airflow.sdk import (
        CronPartitionTimetable,
        PartitionedAssetTimetable,
        PartitionedAtRuntime,
        StartOfDayMapper,
    )
except ImportError:
    pass
else:
    SCHEDULES |= {
        "partition": CronPartitionTimetable("0 0 * * *", timezone="Europe/Berlin", run_offset=-1),
        "partition_identity": PartitionedAssetTimetable(assets=keyed),
        "partition_day": PartitionedAssetTimetable(
            assets=keyed, default_partition_mapper=StartOfDayMapper(timezone="Europe/Berlin")
        ),
        "partition_runtime": PartitionedAtRuntime(),
    }
    with DAG("keyed_maker", schedule=CronPartitionTimetable("0 23 * * *", timezone="UTC"), start_date=march):

        @task(outlets=[keyed])
        def make_keyed():
            pass

        make_keyed()


@task
def window(**context):
    found = resolve_window(context)
    return [found.start.isoformat(), found.end.isoformat(), found.rule]


for name, schedule in SCHEDULES.items():
    with DAG(name, schedule=schedule, start_date=march, catchup=True):
        window()

with DAG("caller", schedule=None):
    TriggerDagRunOperator(task_id="call", trigger_dag_id="daily", trigger_run_id="called")

with DAG("maker", schedule=None):

    @task(outlets=[asset])
    def make():
        pass

    make()
