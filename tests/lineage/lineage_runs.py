"""Run the DAG of ``lineage_dags`` with OpenLineage's provider writing to a file.

It is a process of its own because OpenLineage listens to all tasks of a process or to none.
usage: lineage_runs.py FOLDER  (settings as JSON on standard input; the events are written to FOLDER/events.json*)
"""

import json
import os
import sys
from pathlib import Path

from tests.helpers import airflow_runs

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    airflow_runs.isolate()
    os.environ |= json.load(sys.stdin) | {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(folder / "events.json"), "append": True}
        ),
        # On a busy machine its timeout of ten seconds for an event can be too short.
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "120",
    }
    ran = airflow_runs.run_dag(Path(__file__).with_name("lineage_dags.py"))
    airflow_runs.remove()
    (folder / "ran.json").write_text(json.dumps({"tasks": ran.tasks, "xcoms": ran.xcoms, "log": ran.log}, default=str))
