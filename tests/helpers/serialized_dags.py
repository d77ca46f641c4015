"""Serialize the DAGs of files as Airflow stores them, and print each with its hash as JSON.

``python tests/helpers/serialized_dags.py FILE …``. The hash decides whether a DAG has a new version.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any


def parsed(file: Path) -> dict[str, Any]:
    """Return the DAGs of a file by id."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

        bag = DagBag(file, include_examples=False)
    else:
        bag = DagBag(file)
    if bag.import_errors:
        raise ImportError("\n".join(bag.import_errors.values()))
    return dict(bag.dags)


def serializer() -> Any:
    """Return the class that Airflow serializes DAGs with."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serialized_objects import SerializedDAG

        return SerializedDAG
    return DagSerialization


def dag_hash(serialized: dict[str, Any]) -> str:
    """Return the hash of a serialized DAG, as Airflow calculates it."""
    from airflow.models.serialized_dag import SerializedDagModel

    if hasattr(SerializedDagModel, "hash"):
        return str(SerializedDagModel.hash(serialized))
    text = json.dumps(serialized, sort_keys=True).encode()  # Airflow 2
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def serialize(files: list[str]) -> dict[str, Any]:
    """Return ``hash`` and ``document`` of each DAG of the files, by its id, as JSON values."""
    documents = {dag_id: serializer().to_dict(dag) for file in files for dag_id, dag in parsed(Path(file)).items()}
    found = {dag_id: {"hash": dag_hash(one), "document": one} for dag_id, one in documents.items()}
    return dict(json.loads(json.dumps(found)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(f"\n{json.dumps(serialize(sys.argv[1:]))}\n")
