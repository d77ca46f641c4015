"""Run real DAGs in a throw-away Airflow, as every kind of run that Airflow knows.

A DAG file is put into the dags folder, parsed and stored as the DAG processor does it. A run is created by
Airflow's own code (its scheduler, its backfill, its trigger function, the model of its REST API) and
executed by ``dag.test()`` against the metadata database: tests never build the row of a run themselves.

Importing this module imports nothing of Airflow, so that tests of the client run without it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(tempfile.gettempdir()) / f"airflow-runs-{os.getpid()}"
DAGS = HOME / "dags"
_numbers = itertools.count(1)


def isolate() -> None:
    """Set a new, empty home for Airflow; must be called before anything imports Airflow."""
    if sys.modules.get("airflow"):  # None: a test has blocked its import
        raise RuntimeError("Airflow was imported before its home was set")
    for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "1000",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def remove() -> None:
    """Delete the throw-away home."""
    shutil.rmtree(HOME, ignore_errors=True)


@cache
def start() -> None:
    """Create the metadata database, once per process."""
    DAGS.mkdir(parents=True, exist_ok=True)
    # Each dag.test() would parse and store all files of the folder again; load() has done it for each file.
    (DAGS / ".airflowignore").write_text(".*\n" if version() < (3,) else "*\n")
    from airflow.utils.db import initdb

    with contextlib.redirect_stdout(io.StringIO()):
        initdb()


@cache
def version() -> tuple[int, ...]:
    """Return the version of Airflow, for example ``(3, 3, 2)``."""
    from importlib.metadata import version

    return tuple(int(part) for part in version("apache-airflow").split(".")[:3])


@dataclass(frozen=True)
class Ran:
    """The result of a run.

    :param state: of the run: ``success``, ``failed``.
    :param tasks: the state of each task by its id (a list for a mapped task).
    :param xcoms: the return value of each task that has one, by its id (a list for a mapped task).
    :param log: all that the run printed and logged.
    """

    dag_id: str
    run_id: str
    run_type: str
    state: str
    tasks: dict[str, Any]
    xcoms: dict[str, Any]
    log: str


def load(source: str | Path) -> dict[str, Any]:
    """Put a DAG file, given as text or path, into the dags folder and store its DAGs; return them by id."""
    start()
    text = source.read_text() if isinstance(source, Path) else textwrap.dedent(source)
    file = DAGS / f"dags_{next(_numbers)}.py"
    file.write_text(text)
    if version() >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag
    else:
        from airflow.models.dagbag import DagBag
    bag = DagBag(file) if version() >= (3, 2) else DagBag(file, include_examples=False)
    if bag.import_errors:
        raise ImportError("\n".join(bag.import_errors.values()))
    _store(bag)
    return dict(bag.dags)


def _store(bag: Any) -> None:
    """Store parsed DAGs in the metadata database, as the DAG processor does."""
    if version() < (3,):
        bag.sync_to_db()
        return
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()
    if version() >= (3, 2):
        from airflow.dag_processing.dagbag import sync_bag_to_db
    elif version() >= (3, 1):
        from airflow.models.dagbag import sync_bag_to_db
    else:
        bag.sync_to_db("dags-folder", None)
        return
    bag.bundle_path = DAGS
    sync_bag_to_db(bag, "dags-folder", None)


def run_dag(source: str | Path | Any, dag_id: str | None = None, **how: Any) -> Ran:
    """Run a DAG (a file's text, its path, or a loaded DAG) by ``dag.test(**how)``; return what is left.

    :param dag_id: which DAG of the file, if it has several.
    :param how: arguments of ``dag.test``: ``logical_date``, ``run_conf``; on Airflow 3 also ``run_after``.
    """
    if isinstance(source, (str, Path)):
        dags = load(source)
        source = dags[dag_id] if dag_id else next(iter(dags.values()))
    if version() < (3,) and "logical_date" in how:
        how["execution_date"] = how.pop("logical_date")
    with _recorded() as log:
        run = source.test(**how)
    return _left(source.dag_id, run.run_id, log.getvalue())


def execute(dag: Any, run_id: str) -> Ran:
    """Execute a run of a loaded DAG that Airflow created already, also again; return the result.

    ``dag.test()`` runs the tasks as usual, but it takes this run instead of making a new, manual one.
    """

    def existing(*, dag: Any, session: Any, **_: Any) -> Any:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.state import DagRunState

        run = session.query(DagRun).filter_by(dag_id=dag.dag_id, run_id=run_id).one()
        clear_task_instances(run.get_task_instances(session=session), session)
        run.dag, run.state = dag, DagRunState.RUNNING
        session.commit()
        return run

    maker = "airflow.models.dagrun.get_or_create_dagrun"
    if version() < (3, 1):
        maker = "airflow.models.dag._get_or_create_dagrun"
    with _recorded() as log, patch(maker, existing):
        dag.test()
    return _left(dag.dag_id, run_id, log.getvalue())


@contextlib.contextmanager
def _recorded() -> Iterator[io.StringIO]:
    """Collect what is printed and logged in ``dag.test()``, in any version of Airflow."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield text
    finally:
        logging.getLogger().removeHandler(handler)


def _left(dag_id: str, run_id: str, log: str) -> Ran:
    """Read the result of a run from the metadata database."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XCOM_RETURN_KEY
    from airflow.utils.session import create_session

    tasks: dict[str, Any] = {}
    xcoms: dict[str, Any] = {}
    with create_session() as session:
        run = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
        for ti in sorted(run.get_task_instances(session=session), key=lambda ti: ti.map_index):
            _add(tasks, ti, str(getattr(ti.state, "value", ti.state)))
            value = ti.xcom_pull(
                task_ids=ti.task_id,
                map_indexes=ti.map_index,
                key=XCOM_RETURN_KEY,
                default=NOTHING,
                session=session,
            )
            if value is not NOTHING:
                _add(xcoms, ti, value)
        kind, state = (str(getattr(value, "value", value)) for value in (run.run_type, run.state))
    return Ran(dag_id, run_id, kind, state, tasks, xcoms, log)


NOTHING = object()


def _add(found: dict[str, Any], ti: Any, value: Any) -> None:
    """Add a value of a task instance; those of a mapped task make a list."""
    if ti.map_index < 0:
        found[ti.task_id] = value
    else:
        found.setdefault(ti.task_id, []).append(value)
