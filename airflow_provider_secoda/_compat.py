"""
Differences between the supported Airflows that common-compat does not bridge at its lowest allowed version.

Each entry says when it can go.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

__all__ = ["AirflowRescheduleException", "datetime_trigger", "mask_secret", "starts_from_trigger"]

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
