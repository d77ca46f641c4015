"""
Differences between the supported Airflows that common-compat does not bridge at its lowest allowed version.

Each entry says when it can go.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

__all__ = ["datetime_trigger", "mask_secret"]

try:  # goes when common-compat >= 1.22 is the lower bound, which has it
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2.11 and 3.0
    try:
        from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]
    except ImportError:
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef,import-not-found,unused-ignore]


def datetime_trigger(moment: datetime) -> BaseTrigger:
    """Return a trigger that fires at a moment. Goes when Airflow 2.11 does: there it lives in the core."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger  # noqa: PLC0415
    except ImportError:
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef]  # noqa: PLC0415

    return DateTimeTrigger(moment=moment)
