"""Keep the state of a waiting task in Airflow's task state store, for the task's next process."""

from __future__ import annotations

from typing import Any

from airflow_provider_secoda._persisted import SENSOR_STATE_KEY
from airflow_provider_secoda._polling.version_poller import SensorState
from airflow_provider_secoda.client._versions.page_order import PageOrder


class StateStore:
    """Where a task's :class:`~.version_poller.SensorState` is kept between its processes.

    :param store: Airflow's task state store (3.3 and later), or None: then nothing is kept
    :param waiting_for: what the task waits for, as JSON values; a state of another wait is ignored
    :param try_number: the task's try; failures of another try do not count
    """

    def __init__(self, store: Any, waiting_for: list[str | None], try_number: int | None) -> None:
        self.available = store is not None
        self._store = store
        self._waiting_for = waiting_for
        self._try_number = try_number
        self._saved: dict[str, Any] | None = None

    def load(self) -> SensorState:
        """Return the state that an earlier process saved, or an empty one."""
        saved = self._store.get(SENSOR_STATE_KEY, None) if self.available else None
        # Another version of the DAG may have saved a state for another resource or another baseline.
        if not isinstance(saved, dict) or saved.get("waiting_for") != self._waiting_for:
            return SensorState()
        self._saved = saved
        page_order, retry_at = PageOrder.from_json(saved.get("page_order")), saved.get("retry_at")
        retry_at = float(retry_at) if isinstance(retry_at, int | float) else 0.0
        failures = saved.get("consecutive_failures")
        if saved.get("try_number") != self._try_number or not isinstance(failures, int) or failures <= 0:
            return SensorState(page_order, retry_at=retry_at)
        return SensorState(page_order, failures, str(saved.get("last_error")), retry_at)

    def save(self, state: SensorState) -> None:
        """Save a state, if it has changed."""
        if not self.available:
            return
        new = {
            "waiting_for": self._waiting_for,
            "try_number": self._try_number,
            "page_order": None if state.page_order is None else state.page_order.to_json(),
            "consecutive_failures": state.consecutive_failures,
            "last_error": state.last_error,
            "retry_at": state.retry_at,
        }
        if new != self._saved:
            self._store.set(SENSOR_STATE_KEY, new)
            self._saved = new

    def delete(self) -> None:
        """Delete the state: Airflow does not, not even when the task is cleared."""
        if self.available:
            self._store.delete(SENSOR_STATE_KEY)
