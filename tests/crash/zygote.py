"""Import Airflow once, then fork a process for each requested task, which can be killed.

It reads requests from its standard input, one JSON object per line, and answers ``{"pid": …}`` when the task has
started and ``{"status": …}``, as ``waitpid`` returns it, when it has ended. The output of the task goes to a file.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tests.helpers import airflow_runs
from tests.helpers.file_size_limit import file_size_limit

DAGS = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Nothing(BaseOperator):
    def execute(self, context):
        pass


with DAG("nothing", schedule=None, start_date=START):
    Nothing(task_id="task")

for concurrency in (1, 4):
    with DAG(f"fetch_{concurrency}", schedule=None, start_date=START):
        SecodaAuditLogsOperator(
            task_id="task",
            start="{{ dag_run.conf['start'] }}",
            end="{{ dag_run.conf['end'] }}",
            output_path="{{ dag_run.conf['output_path'] }}",
            concurrency=concurrency,
        )

for patience in (5, 1000):
    with DAG(f"wait_{patience}", schedule=None, start_date=START):
        SecodaVersionHistorySensor(
            task_id="task",
            resource_id="{{ dag_run.conf['resource_id'] }}",
            since="{{ dag_run.conf['since'] }}",
            poke_interval=0.2,
            max_consecutive_failures=patience,
        )
"""


def main() -> None:
    """Serve until the input ends."""
    airflow_runs.isolate()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # for all other output
    try:
        dags = airflow_runs.load(DAGS)
        warm(dags["nothing"])
        for line in sys.stdin:
            pid = os.fork()
            if pid == 0:
                os._exit(run(dags, json.loads(line)))
            answers.write(json.dumps({"pid": pid}) + "\n")
            answers.write(json.dumps({"status": os.waitpid(pid, 0)[1]}) + "\n")
    finally:
        airflow_runs.remove()
    os._exit(0)  # there are threads that would be waited for


def warm(nothing: Any) -> None:
    """Run a task, so that everything that takes seconds the first time is done before the forks."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    for name in ("client.sync", "hooks.secoda", "_storage.write", "operators._fetch", "signing"):
        importlib.import_module(f"airflow_provider_secoda.{name}")
    for name in ("airflow.providers.amazon.aws.fs.s3", "s3fs", "pyarrow.parquet"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signing = sys.modules["airflow_provider_secoda.signing"]
    signing.PrivateKeySigner.from_pem(signing.generate_key())  # imports what signs
    ObjectStoragePath("s3://bucket/key")  # registers the file systems of all schemes
    airflow_runs.run_dag(nothing)
    if airflow_runs.version() >= (3,):
        from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
        from airflow.sdk.execution_time import supervisor

        # Its threads do not run in a fork, but the app that they serve can be used again.
        api = InProcessExecutionAPI(app=supervisor.in_process_api_server().app)
        supervisor.in_process_api_server = lambda: api
    gc.collect()
    gc.freeze()  # otherwise the collector of each fork visits all of it, and so copies it


def run(dags: dict[str, Any], job: dict[str, Any]) -> int:
    """Run one task in this process; return the exit status: 0, or 1 when the task failed."""
    from airflow import settings

    settings.engine.dispose(close=False)  # its connections are the parent's
    os.environ |= job["environment"]
    tempfile.tempdir = os.environ["TMPDIR"]  # set explicitly: Python chooses another directory if this one is full
    from tests.crash.crash_points import Points, die, interrupt

    points = Points(job["at"] and tuple(job["at"]), {"die": die, "interrupt": interrupt}[job["act"]])
    if job["watch"]:
        points.watch()
    try:
        with file_size_limit(job["file_size"] or resource.RLIM_INFINITY):
            ran = airflow_runs.run_dag(dags[job["dag"]], run_conf=job["conf"])
        left = {"state": ran.state, "log": ran.log, "returned": ran.xcoms.get("task")}
    except BaseException:  # noqa: BLE001 - some versions raise what the task raised
        left = {"state": "failed", "log": traceback.format_exc(), "returned": None}
    sys.settrace(None)
    left |= {"points": [[*line, times] for line, times in points.seen.items()], "turns": points.turns}
    Path(job["report"]).write_text(json.dumps(left))
    return 0 if left["state"] == "success" else 1


if __name__ == "__main__":
    main()
