"""Differences between the supported Airflows that common-compat does not bridge at its lowest allowed version.

Each entry says when it can go. No other module of the package asks which Airflow this is, or what it has: a test holds
that. What is heavy is imported where it is asked for, since DAG files import this module.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.triggers.base import BaseTrigger

__all__ = [
    "AirflowRescheduleException",
    "RetryDecision",
    "RetryPolicy",
    "asset_state_of",
    "core_timetable",
    "datetime_trigger",
    "delta_of",
    "event_trigger_base",
    "lacks",
    "mask_secret",
    "read_state",
    "retry_policy_of",
    "run_fact",
    "run_type_of",
    "starts_from_trigger",
    "stream_producer_base",
    "write_state",
]

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
except ImportError:  # stands in for what is not asked there
    RetryDecision = RetryPolicy = object  # type: ignore[assignment,misc]


def datetime_trigger(moment: datetime) -> BaseTrigger:
    """Return a trigger that fires at a moment. Goes when Airflow 2.11 does: there it lives in the core."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger  # noqa: PLC0415
    except ImportError:
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef]  # noqa: PLC0415

    return DateTimeTrigger(moment=moment)


def starts_from_trigger() -> bool:
    """Return whether the scheduler starts tasks in the triggerer, templates and all. Goes with Airflow before 3.3."""
    from airflow import __version__  # noqa: PLC0415

    return tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 3)


# --- triggers ------------------------------------------------------------------------------------------------------


def event_trigger_base() -> type:
    """Return the base class of event triggers. Goes when Airflow 2.11 does: there it is that of all triggers.

    A function, as DAG files that have no triggers import this module, too, and ``airflow.triggers`` is slow to import.
    """
    from airflow.triggers import base  # noqa: PLC0415

    return getattr(base, "BaseEventTrigger", base.BaseTrigger)


def stream_producer_base() -> type:
    """Return the base class of what polls for several triggers. Goes with Airflow before 3.3: there is none there."""
    try:
        from airflow.triggers.shared_stream import SharedStreamProducer  # noqa: PLC0415
    except ImportError:
        return object
    return SharedStreamProducer


def asset_state_of(trigger: Any) -> Any:
    """Return the state store of a trigger's assets, or None. Goes with Airflow before 3.3: there is none there."""
    return getattr(trigger, "asset_state_store", None)


async def read_state(store: Any, key: str) -> Any:
    """Read from a state store. Goes with Airflow 3.3.0 and 3.3.1: there it blocks, and belongs into a thread."""
    return await (store.aget(key) if hasattr(store, "aget") else asyncio.to_thread(store.get, key))


async def write_state(store: Any, key: str, value: Any) -> None:
    """Write into a state store. Goes with Airflow 3.3.0 and 3.3.1: there it blocks, and belongs into a thread."""
    await (store.aset(key, value) if hasattr(store, "aset") else asyncio.to_thread(store.set, key, value))


# --- tasks, runs, timetables ---------------------------------------------------------------------------------------


def retry_policy_of(task: Any) -> Any:
    """Return a task's retry policy, or None. Goes with Airflow before 3.3: tasks have none there."""
    return getattr(task, "retry_policy", None)


def lacks(operator: Any, method: str) -> bool:
    """Return whether an operator is without a method of its class, being what its DAG was serialized to.

    Goes when Airflow 2.11 does: its web server asks extra links for the address, and has no other operators.
    """
    return not hasattr(operator, method)


def run_fact(context: Mapping[str, Any], name: str) -> Any:
    """Return a fact about the run of a task, or None: from the context, or where it lacks the key, from the run itself.

    ``partition_key`` and ``partition_date``: goes with Airflow before 3.3, where only 3.2 has the key, at the run.
    ``run_after``: goes when Airflow 2.11 does, whose runs have none.
    """
    value = context.get(name)
    return value if value is not None else getattr(context.get("dag_run"), name, None)


def run_type_of(run: Any) -> str:
    """Return a run's type as text. Goes when Airflow 2.11 does: there it is text, later an enumeration."""
    kind = getattr(run, "run_type", "")
    return str(getattr(kind, "value", kind))


def core_timetable(timetable: Any) -> Any:
    """Return the timetable that can tick: since Airflow 3.2 a task is given a mere description.

    Airflow's own LatestOnlyOperator turns the one into the other in the same way. The question goes with Airflow
    before 3.2, the answer stays.
    """
    if hasattr(timetable, "next_dagrun_info"):
        return timetable
    from airflow.serialization.encoders import coerce_to_core_timetable  # noqa: PLC0415

    return coerce_to_core_timetable(timetable)


def delta_of(timetable: Any) -> Any:
    """Return the step of a timetable of steps. Goes with Airflow before 3.2: its name there is not public."""
    return getattr(timetable, "delta", None) or core_timetable(timetable)._delta  # noqa: SLF001
