"""Create runs of stored DAGs in each way that Airflow has, for ``airflow_runs.execute``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers.airflow_runs import version

if TYPE_CHECKING:
    from datetime import datetime


def schedule() -> dict[str, str]:
    """Create the runs that are due with Airflow's scheduler, at most one per DAG; return their ids by DAG id."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit

    runner = SchedulerJobRunner(job=Job())
    if version() < (3,):
        from airflow.models.dagbag import DagBag

        runner.dagbag = DagBag(read_dags_from_db=True, include_examples=False)
    with create_session() as session:
        known = {key for (key,) in session.query(DagRun.id)}
        with prohibit_commit(session) as guard:
            runner._create_dagruns_for_dags(guard, session)
        runs = session.query(DagRun.id, DagRun.dag_id, DagRun.run_id)
        return {dag_id: run_id for key, dag_id, run_id in runs if key not in known}


def trigger(dag_id: str, **how: Any) -> str:
    """Trigger a DAG as ``airflow dags trigger`` does; return the run's id.

    :param how: ``logical_date`` (``execution_date`` on 2.x), ``run_after``, ``partition_key``, ``conf``.
    """
    from airflow.api.common.trigger_dag import trigger_dag

    if version() >= (3,):
        from airflow.utils.types import DagRunTriggeredByType

        how["triggered_by"] = DagRunTriggeredByType.CLI
    elif "logical_date" in how:
        how["execution_date"] = how.pop("logical_date")
    return trigger_dag(dag_id, **how).run_id


def post(dag_id: str, **body: Any) -> str:
    """Create a run as ``POST …/dags/{dag_id}/dagRuns`` with this body does (Airflow 3); return its id."""
    from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    request = TriggerDAGRunPostBody.model_validate(body)
    with create_session() as session:
        dag = SerializedDagModel.get_dag(dag_id, session=session)
        facts = request.validate_context(dag)
        facts = {name: value for name, value in facts.items() if name != "note"}
        run = dag.create_dagrun(
            **facts,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.REST_API,
            state=DagRunState.QUEUED,
            session=session,
        )
        return run.run_id


def backfill(dag_id: str, first: datetime, last: datetime) -> list[str]:
    """Create the runs of ``airflow backfill create`` (Airflow 3); return their ids in order."""
    from airflow.models.backfill import _create_backfill
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    how: dict[str, Any] = {"max_active_runs": 10, "reverse": False, "dag_run_conf": None}
    if version() >= (3, 1):
        how["triggering_user_name"] = "tests"
    made = _create_backfill(dag_id=dag_id, from_date=first, to_date=last, **how)
    with create_session() as session:
        runs = session.query(DagRun.run_id).filter_by(backfill_id=made.id).order_by(DagRun.run_after)
        return [run_id for (run_id,) in runs]
