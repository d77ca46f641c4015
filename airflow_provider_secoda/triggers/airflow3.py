"""What event triggers stand on: Airflow has it since 3.0 or 3.3; before, stand-ins that can be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = ["BaseEventTrigger", "BaseTrigger", "SharedStreamProducer", "TriggerEvent"]

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger
    from airflow.triggers.shared_stream import SharedStreamProducer
else:
    try:  # goes when Airflow 2.11 does
        from airflow.triggers.base import BaseEventTrigger
    except ImportError:
        BaseEventTrigger = BaseTrigger
    try:  # goes when Airflow before 3.3 does
        from airflow.triggers.shared_stream import SharedStreamProducer
    except ImportError:

        class SharedStreamProducer:
            """Stands in for the class of Airflow 3.3, where nothing uses it."""
