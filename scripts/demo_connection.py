"""Store a connection in Airflow's database, so that people meet it in the web UI, and the pool of the examples.

Reads the connection as JSON from standard input: a command line and its files are there for others to read.
usage: demo_connection.py CONN_ID
"""

from __future__ import annotations

import json
import sys

from airflow.configuration import write_default_airflow_configuration_if_needed
from airflow.models.connection import Connection
from airflow.models.pool import Pool
from airflow.utils.db import upgradedb
from airflow.utils.session import create_session
from sqlalchemy import delete


def main(conn_id: str) -> None:
    """Replace the connection of that id; make the database first where there is none."""
    write_default_airflow_configuration_if_needed()  # with the Fernet key that encrypts the API key
    upgradedb()
    wanted = json.load(sys.stdin)
    extra = json.dumps(wanted.pop("extra", {}))
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == conn_id))
        connection = Connection(conn_id=conn_id, description="made by scripts/demo", extra=extra, **wanted)
        if not connection.is_encrypted:
            raise SystemExit("the API key would be stored unencrypted")
        session.add(connection)
    # Some examples take their slots from it; without it their tasks would wait for ever.
    Pool.create_or_update_pool("secoda", slots=2, description="tasks that read Secoda", include_deferred=False)


if __name__ == "__main__":
    main(sys.argv[1])
