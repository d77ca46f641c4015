"""Differences between the supported Airflows that common-compat does not bridge at its lowest allowed version.

Each entry says when it can be removed ("goes with", "goes when"). No other module of the package depends on the version
of Airflow; a test checks that. Heavy modules are imported inside functions, because DAG files import this module.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow.triggers.base import BaseTrigger

#: The names that other modules import from here, although this module only imports them.
__all__ = ["AirflowRescheduleException", "RetryDecision", "RetryPolicy", "mask_secret"]

try:  # goes when common-compat >= 1.22 is the lower bound, which has it
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2.11 and 3.0
    try:
        from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]
    except ImportError:
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef,import-not-found,unused-ignore]

try:  # goes when Airflow before 3.2 does
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:
    from airflow.exceptions import AirflowRescheduleException

try:  # goes when Airflow before 3.3 does
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # a placeholder: Airflow before 3.3 does not use it
    RetryDecision = RetryPolicy = object  # type: ignore[assignment,misc]


def datetime_trigger(moment: datetime) -> BaseTrigger:
    """Return a trigger that fires at a moment. Goes when Airflow 2.11 does: there it is in the core."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger  # noqa: PLC0415
    except ImportError:
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef]  # noqa: PLC0415

    return DateTimeTrigger(moment=moment)


def starts_from_trigger() -> bool:
    """Return whether the scheduler can start a task in the triggerer, with templates. Goes with Airflow before 3.3."""
    from airflow import __version__  # noqa: PLC0415

    return tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 3)


# --- triggers ------------------------------------------------------------------------------------------------------


def event_trigger_base() -> type:
    """Return the base class of event triggers. Goes when Airflow 2.11 does: there it is that of all triggers.

    It is a function because DAG files without triggers import this module, and ``airflow.triggers`` is slow to import.
    """
    from airflow.triggers import base  # noqa: PLC0415

    return getattr(base, "BaseEventTrigger", base.BaseTrigger)


def stream_producer_base() -> type:
    """Return the base class of the poll that triggers share. Goes with Airflow before 3.3, which has none."""
    try:
        from airflow.triggers.shared_stream import SharedStreamProducer  # noqa: PLC0415
    except ImportError:
        return object
    return SharedStreamProducer


def asset_state_of(trigger: Any) -> Any:
    """Return the state store of a trigger's assets, or None. Goes with Airflow before 3.3, which has none."""
    return getattr(trigger, "asset_state_store", None)


async def read_state(store: Any, key: str) -> Any:
    """Read from a state store. Goes with Airflow 3.3.0 and 3.3.1, where it blocks and has to run in a thread."""
    return await (store.aget(key) if hasattr(store, "aget") else asyncio.to_thread(store.get, key))


async def write_state(store: Any, key: str, value: Any) -> None:
    """Write to a state store. Goes with Airflow 3.3.0 and 3.3.1, where it blocks and has to run in a thread."""
    await (store.aset(key, value) if hasattr(store, "aset") else asyncio.to_thread(store.set, key, value))


# --- tasks, runs, timetables ---------------------------------------------------------------------------------------


def retry_policy_of(task: Any) -> Any:
    """Return a task's retry policy, or None. Goes with Airflow before 3.3, where tasks have none."""
    return getattr(task, "retry_policy", None)


def is_serialized(operator: Any, method: str) -> bool:
    """Return whether an operator is the serialized form, which does not have the methods of its class.

    Goes when Airflow 2.11 does: its web server calls extra links with serialized operators only.

    :param method: a method that the class of the operator has
    """
    return not hasattr(operator, method)


def push_to_web_ui(instance: Any, key: str, value: str) -> None:
    """Store an XCom that the web UI reads, such as the URL of a link.

    Airflow 3 reads it from the metadata database without the XCom backend, which may store the address of a file there:
    so it is not passed through the backend, as Airflow itself does when a task ends. The first branch goes when Airflow
    2.11 does, whose web server uses the backend; the check of the class stays, for a mock in a unit test.
    """
    try:
        from airflow.sdk.bases.xcom import BaseXCom  # noqa: PLC0415
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415
    except ImportError:
        instance.xcom_push(key=key, value=value)
        return
    if not isinstance(instance, RuntimeTaskInstance):
        instance.xcom_push(key=key, value=value)
        return
    place = {name: getattr(instance, name) for name in ("dag_id", "task_id", "run_id", "map_index")}
    BaseXCom.set(key=key, value=value, **place)


def run_fact(context: Mapping[str, Any], name: str) -> Any:
    """Return a value of a task's run, or None: from the context, or from the run if the context does not have the key.

    ``partition_key`` and ``partition_date``: goes with Airflow before 3.3, where only 3.2 has the key, on the run.
    ``run_after``: goes when Airflow 2.11 does, whose runs have none.
    """
    value = context.get(name)
    return value if value is not None else getattr(context.get("dag_run"), name, None)


def run_type_of(run: Any) -> str:
    """Return a run's type as a string. Goes when Airflow 2.11 does, where it is a string; later an enumeration."""
    kind = getattr(run, "run_type", "")
    return str(getattr(kind, "value", kind))


def core_timetable(timetable: Any) -> Any:
    """Return a timetable that computes runs: since Airflow 3.2 a task receives only a description of it.

    Airflow's own LatestOnlyOperator converts the description in the same way. The check goes with Airflow before 3.2,
    the conversion stays.
    """
    if hasattr(timetable, "next_dagrun_info"):
        return timetable
    from airflow.serialization.encoders import coerce_to_core_timetable  # noqa: PLC0415

    return coerce_to_core_timetable(timetable)


def timezone_of(timetable: Any) -> Any:
    """Return a timetable's time zone, also as a string, or None. Goes with Airflow before 3.2: not public there."""
    inner = getattr(timetable, "timetables", None) or getattr(timetable, "_timetables", None) or [timetable]
    return getattr(inner[0], "timezone", None) or getattr(inner[0], "_timezone", None)


def delta_of(timetable: Any) -> Any:
    """Return the step of a timetable with a fixed step. Goes with Airflow before 3.2, where its name is not public."""
    return getattr(timetable, "delta", None) or core_timetable(timetable)._delta  # noqa: SLF001
