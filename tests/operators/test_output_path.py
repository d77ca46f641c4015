"""Placeholders in ``output_path``: the known ones are replaced, all others are refused as early as they are known."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace

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
