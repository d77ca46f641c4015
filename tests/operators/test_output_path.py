"""Placeholders in ``output_path``: the known ones are replaced, all others are refused as early as they are known."""

from __future__ import annotations

import re
import warnings
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.operators._output_path import replace_placeholders
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.windows import Window

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
START, END = datetime(2026, 2, 24, 5, 6, 7, tzinfo=timezone.utc), datetime(2026, 2, 25, tzinfo=timezone.utc)
BROKEN = {
    "{date}": "{date}",
    "{ds}": "{ds}",
    "{}": "{}",
    "{0}": "{0}",
    "{Start}": "{Start}",
    "{ start }": "{ start }",
    "{start.year}": "{start.year}",
    "{end!r}": "{end!r}",
    "{start:%Y-%m-%d": "{start:%Y-%m-%d.jsonl",
    "start:%Y-%m-%d}": "}",
    "{{start:%Y}": "{",
    "{start:{end}}": "{start:",
    "{start:Y-m-d}": "{start:Y-m-d}",
    "{start:%Q}": "{start:%Q}",
    "{start:%Y%}": "{start:%Y%}",
    "{start:%%Y}": "{start:%%Y}",
    "{start:%c}": "{start:%c}",
}


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(seed=3, logs=100, days=20, until=UNTIL))


def execute(operator):
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("{start}.jsonl", "2026-02-24T05-06-07.jsonl"),
        ("{start:}.jsonl", "2026-02-24T05-06-07.jsonl"),
        ("dt={start:%Y-%m-%d}/{end:%H}.jsonl", "dt=2026-02-24/00.jsonl"),
        ("{start:%Y}/{start:%-m}/{start:%j%%}.jsonl", "2026/2/055%.jsonl"),
        ("{end:%F}.jsonl", "2026-02-25.jsonl"),
    ],
)
def test_known_placeholders(sandbox, tmp_path, path, name):
    """Placeholders are replaced by the start and the end of the window in UTC."""
    operator = SecodaAuditLogsOperator(task_id="a", start=START, end=END, output_path=f"{tmp_path}/{path}")
    assert execute(operator)["path"] == f"{tmp_path}/{name}"
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize(("part", "named"), BROKEN.items())
def test_a_broken_placeholder_is_refused_when_the_dag_is_parsed(part, named):
    """A placeholder that is unknown or broken is named when the DAG is parsed, with the known ones."""
    for create in (SecodaAuditLogsOperator, SecodaAuditLogsOperator.partial):
        if part.startswith("{{"):  # that could be a template
            continue
        with pytest.raises(ValueError, match=re.escape(repr(named))) as refused:
            create(task_id="a", output_path=f"/x/{part}.jsonl")
        assert "{start:%Y-%m-%d}" in str(refused.value).partition("Placeholders are {start} and {end}")[2]


@pytest.mark.parametrize(("part", "named"), BROKEN.items())
def test_a_broken_placeholder_of_a_template_is_refused_before_any_request(sandbox, tmp_path, part, named):
    """A broken placeholder in a path that is known only after it was rendered fails before any request."""
    operator = SecodaAuditLogsOperator(task_id="a", start=START, end=END, output_path="{{ params.path }}")
    operator.output_path = f"{tmp_path}/{part}.jsonl"  # as rendered
    with pytest.raises(AirflowFailException, match=re.escape(f"`output_path`: {named!r}")):
        execute(operator)
    assert not sandbox.requests
    assert not list(tmp_path.iterdir())


def test_a_mapped_task_whose_path_cannot_vary_is_refused_when_the_dag_is_parsed():
    """A path without placeholder and template, which all mapped tasks share, is refused, except with ``overwrite``."""
    with pytest.raises(ValueError, match=r"all mapped tasks would write '/x/fixed.jsonl'.*\{\{ ti.map_index \}\}"):
        SecodaAuditLogsOperator.partial(task_id="a", output_path="/x/fixed.jsonl")
    with DAG("mapped_paths", schedule=None, start_date=UNTIL):
        for number, arguments in enumerate(
            (
                {},
                {"output_path": "/x/{start:%Y-%m-%d}.jsonl"},
                {"output_path": "/x/{{ ti.map_index }}.jsonl"},
                {"output_path": "/x/fixed.jsonl", "overwrite": True},
            )
        ):
            mapped = SecodaAuditLogsOperator.partial(task_id=f"mapped_{number}", **arguments)
            mapped.expand(start=[START, START + timedelta(hours=1)])


# --- local time ------------------------------------------------------------------------------------------------------

BERLIN = ZoneInfo("Europe/Berlin")
# Days on which the clocks change, with the one before and the one after: 23 and 25 hours long.
DAYS = [date(2026, month, day) for month, first in ((3, 28), (10, 24)) for day in range(first, first + 3)]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_a_local_day_has_its_own_date(day):
    """The window of a day in Berlin has its date with ``_local``, also where the clocks change, and not in UTC."""
    start, end = (datetime(day.year, day.month, day.day + add, tzinfo=BERLIN) for add in (0, 1))
    window = Window(start.astimezone(timezone.utc), end.astimezone(timezone.utc), "data_interval")
    path = replace_placeholders("{start_local:%Y-%m-%d}_{end_local:%Y-%m-%d}_{start:%Y-%m-%d}", window, lambda: BERLIN)
    assert path == f"{day}_{day + timedelta(days=1)}_{day - timedelta(days=1)}"


def test_an_hour_that_occurs_twice_has_two_names():
    """Without a format, local times have an offset: where clocks are set back, two hours have the same clock time."""
    first = datetime(2026, 10, 25, 0, tzinfo=timezone.utc)
    hours = [first + timedelta(hours=hour) for hour in range(4)]
    names = [
        replace_placeholders("{start_local}", Window(hour, hour + timedelta(hours=1), ""), lambda: BERLIN)
        for hour in hours
    ]
    assert names == [
        "2026-10-25T02-00-00+0200",
        "2026-10-25T02-00-00+0100",
        "2026-10-25T03-00-00+0100",
        "2026-10-25T04-00-00+0100",
    ]


DAG_FILE = """
from datetime import datetime, timedelta, timezone
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow.timetables import interval, trigger
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("{name}", schedule={schedule}, start_date={start_date}, catchup=False):
    SecodaAuditLogsOperator(task_id="fetch", output_path={path!r})
"""
UTC_START, BERLIN_START = (
    "datetime(2026, 1, 1, tzinfo=timezone.utc)",
    'datetime(2026, 1, 1, tzinfo=pendulum.timezone("Europe/Berlin"))',
)


@pytest.mark.parametrize(
    ("schedule", "start_date"),
    [
        ('interval.CronDataIntervalTimetable("@daily", timezone="Europe/Berlin")', UTC_START),
        ('trigger.CronTriggerTimetable("@daily", timezone="Europe/Berlin")', UTC_START),
        ('trigger.MultipleCronTriggerTimetable("@daily", timezone="Europe/Berlin")', UTC_START),
        ('"@daily"', BERLIN_START),
        ("timedelta(days=1)", BERLIN_START),
    ],
    ids=["data interval", "trigger", "several triggers", "daily", "duration"],
)
def test_local_is_the_time_zone_of_the_schedule(airflow, sandbox, tmp_path, schedule, start_date):
    """``{start_local}`` has the time zone of the schedule, or that of the DAG if the schedule has none."""
    if "Multiple" in schedule and airflow.version() < (3,):
        pytest.skip("Airflow 2 does not have it")
    path = f"{tmp_path}/{{start_local:%Y-%m-%dT%H%z}}.jsonl"
    source = DAG_FILE.format(name=tmp_path.name, schedule=schedule, start_date=start_date, path=path)
    ran = airflow.run_dag(source, logical_date=datetime(2026, 2, 25, tzinfo=BERLIN))
    assert ran.state == "success", ran.log
    assert ran.xcoms["fetch"]["path"] == f"{tmp_path}/2026-02-24T00+0100.jsonl"


# --- names of the run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "suggested"),
    [
        ("/x/{{ ds }}.jsonl", "/x/{start:%Y-%m-%d}.jsonl"),
        ("/x/{{ds_nodash}}.jsonl", "/x/{start:%Y%m%d}.jsonl"),
        ("/x/{{ ts }}.jsonl", "/x/{start:%Y-%m-%dT%H-%M}.jsonl"),
        ("/x/{{ ts_nodash }}.jsonl", "/x/{start:%Y%m%dT%H%M}.jsonl"),
        ("/x/{{ run_id }}.jsonl", "/x/{start:%Y-%m-%dT%H-%M}.jsonl"),
        ("/{{ params.team }}/{{ logical_date | ds }}.jsonl", "/{{ params.team }}/{start:%Y-%m-%d}.jsonl"),
        ("/x/{{ logical_date.strftime('%Y/%m/%d') }}.jsonl", "/x/{start:%Y/%m/%d}.jsonl"),
        ("/x/{{ data_interval_end | ds }}.jsonl", "/x/{end:%Y-%m-%d}.jsonl"),
        ("/x/{{ dag_run.logical_date }}.jsonl", "/x/{start:%Y-%m-%d}.jsonl"),
        ("/x/{{ macros.ds_add(ds, -1) }}.jsonl", "/x/{start:%Y-%m-%d}.jsonl"),
    ],
)
def test_a_path_with_the_name_of_the_run_gets_a_warning(path, suggested):
    """A path that varies by run and has no placeholder of the window gets a warning that shows what to write."""
    with pytest.warns(UserWarning, match=re.escape(f"Write output_path={suggested!r}")) as warned:
        SecodaAuditLogsOperator(task_id="a", output_path=path)
    assert [each.filename for each in warned] == [__file__]


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_path": "/x/{{ ds }}/{start:%Y-%m-%d}.jsonl"},
        {"output_path": "/{{ params.ds }}/{{ var.value['ts'] }}/{{ dag_run.conf['path'] }}/{{ ti.map_index }}.jsonl"},
        {"output_path": "/x/{{ ds }}.jsonl", "start": "{{ ds }}", "end": "{{ macros.ds_add(ds, 1) }}"},
        {"output_path": "/x/{{ ti.xcom_pull('path') }}.jsonl"},
        {"output_path": "/x/ds/ts/run_id.jsonl"},
        {},
    ],
)
def test_other_paths_get_no_warning(arguments):
    """There is no warning for a path with the window, for other templates, or with an explicit window."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SecodaAuditLogsOperator(task_id="a", **arguments)


@pytest.mark.filterwarnings("ignore:.output_path. contains")
def test_the_warning_is_in_the_log_of_the_task(airflow, sandbox, tmp_path):
    """The log of the task has the warning with the name that was chosen, the window, and what to write."""
    path = f"{tmp_path}/{{{{ ds }}}}.jsonl"
    source = DAG_FILE.format(name="named_by_run", schedule='"@daily"', start_date=UTC_START, path=path)
    ran = airflow.run_dag(source, logical_date=datetime(2026, 2, 25, tzinfo=timezone.utc))
    assert ran.state == "success", ran.log
    assert "is the file of [2026-02-24T00:00:00Z, 2026-02-25T00:00:00Z). Write output_path=" in ran.log
    assert f"{tmp_path}/{{start:%Y-%m-%d}}.jsonl" in ran.log


@pytest.mark.parametrize(
    ("path", "links"),
    [
        (None, 0),
        ("/logs/{start}.jsonl", 0),
        ("logs/{start}.jsonl", 0),
        ("file:///logs/{start}.jsonl", 0),
        ("FILE:///logs/{start}.jsonl", 0),
        ("s3://my_conn@bucket/{start}.jsonl", 1),
        ("gs://bucket/{start}.jsonl", 1),
        ("{{ params.path }}", 1),
    ],
)
def test_only_a_file_that_a_console_can_show_has_a_link(path, links):
    """The web UI would show a heading without a link for a local file, also of a deserialized DAG."""
    operator = SecodaAuditLogsOperator(task_id="fetch", output_path=path)
    assert len(operator.operator_extra_links) == links
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    from airflow.serialization import serialized_objects

    serializer = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)  # before 3.2
    assert ("SecodaOutputLink" in str(serializer.to_dict(dag))) == bool(links)
