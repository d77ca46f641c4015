"""The settings of an Airflow that is small, quick, alone on the machine, and reached over loopback only."""

from __future__ import annotations

import base64
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def settings(home: Path, port: int) -> dict[str, str]:
    """Return the settings as environment variables; those that a version does not know do no harm.

    :param home: becomes ``AIRFLOW_HOME``.
    :param port: of the API server, or of the web server of 2.x.
    """
    url = f"http://127.0.0.1:{port}"
    secret = secrets.token_urlsafe(32)
    values = {
        "core": {
            "dags_folder": home / "dags",
            "plugins_folder": home / "plugins",
            "executor": "LocalExecutor",
            "parallelism": 3,
            "load_examples": False,
            "dag_discovery_safe_mode": False,
            "dags_are_paused_at_creation": False,
            "min_serialized_dag_update_interval": 0,
            "min_serialized_dag_fetch_interval": 0,
            "simple_auth_manager_all_admins": True,
            "execution_api_server_url": f"{url}/execution/",
            # Otherwise each process generates its own, or has none if it starts before the configuration is written.
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        },
        "database": {
            "sql_alchemy_conn": f"sqlite:///{home}/airflow.db",
            "load_default_connections": False,
            "check_migrations": False,
        },
        "logging": {
            "base_log_folder": home / "logs",
            "colored_console_log": False,
            "namespace_levels": "http.access=WARNING airflow.dag_processing=WARNING airflow.serialization=WARNING",
        },
        "api": {
            "host": "127.0.0.1",
            "port": port,
            "base_url": url,
            "workers": 1,
            "maximum_page_limit": 1000,
            "secret_key": secret,
            "auth_backends": "airflow.api.auth.backend.default",
        },
        "api_auth": {"jwt_secret": secret, "jwt_issuer": "tests"},  # 3.0 has an issuer that PyJWT 2.10 refuses
        "webserver": {
            "web_server_host": "127.0.0.1",
            "web_server_port": port,
            "base_url": url,
            "workers": 1,
            "secret_key": secret,
        },
        "scheduler": {
            "job_heartbeat_sec": 1,
            "scheduler_heartbeat_sec": 1,
            "scheduler_idle_sleep_time": 0.3,
            "trigger_timeout_check_interval": 1,
            "parsing_cleanup_interval": 2,
            "dag_dir_list_interval": 1,
            # A scheduler that was killed counts as gone after the threshold; only then are its tasks started again.
            "scheduler_health_check_threshold": 10,
            "orphaned_tasks_check_interval": 2,
            # Before Airflow 3, the worker of a task that ends schedules the next task, too. SQLite cannot lock rows, so
            # the worker may overwrite what the scheduler has done in the meantime, and the next task runs twice.
            "schedule_after_task_execution": False,
        },
        "dag_processor": {"refresh_interval": 1, "bundle_refresh_check_interval": 1},
        # A triggerer that was killed counts as away after the threshold; only then are its triggers taken over.
        "triggerer": {"job_heartbeat_sec": 1, "triggerer_health_check_threshold": 5},
        # The longest time until a worker notices that a task has ended (3.x). A deferred or rescheduled task that is
        # due again before that is treated as one that died in the queue, and fails.
        "workers": {"min_heartbeat_interval": 1},
        "usage_data_collection": {"enabled": False},
    }
    return {
        "AIRFLOW_HOME": str(home),
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",  # 2.x: SQLite is enough for a few parallel tasks
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **{
            f"AIRFLOW__{part.upper()}__{name.upper()}": str(value)
            for part, of in values.items()
            for name, value in of.items()
        },
    }
