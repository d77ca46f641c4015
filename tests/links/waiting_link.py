"""Run a sensor that waits, in this process; print the URLs of its button while it waited and when it had ended.

``python -m tests.links.waiting_link DAG_FILE``, with the settings of Airflow in the environment.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.helpers.serialized_dags import parsed, serializer

NAME = "Resource in Secoda"


def shown(operator: Any, dag_id: str) -> Any:
    """Return the URL of the sensor's button, as the web server gets it: with the serialized operator."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        instance = session.query(TaskInstance).filter_by(dag_id=dag_id).first()
        if instance is None:
            return None
        key = SimpleNamespace(
            dag_id=dag_id, task_id="wait", run_id=instance.run_id, map_index=instance.map_index, key=instance.key
        )
    key = key.key if hasattr(operator, "operator_extra_link_dict") else key
    (link,) = operator.operator_extra_link_dict.values()
    return link.get_link(operator, ti_key=key)


def main(file: str) -> None:
    """Run the DAG of the file, and read the URL of the button in another thread until the run ends."""
    ((dag_id, dag),) = parsed(Path(file)).items()
    operator = serializer().from_dict(serializer().to_dict(dag)).get_task("wait")
    seen, ended = set(), threading.Event()

    def observe() -> None:
        while not ended.wait(0.05):
            seen.add(shown(operator, dag_id))

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        dag.test()
    finally:
        ended.set()
        thread.join()
    sys.stdout.write(f"\n{json.dumps([sorted(filter(None, seen)), shown(operator, dag_id)])}\n")


if __name__ == "__main__":
    main(sys.argv[1])
