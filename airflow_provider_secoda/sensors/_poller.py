"""Poll on a worker, each time the sensor's loop calls for it, and keep the state for the task's next process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_secoda._persisted import SENSOR_STATE_KEY
from airflow_provider_secoda._polling.wait import SensorState, VersionPoller, WaitSpec
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.hooks.secoda import SecodaHook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._versions.poll import Poll


class WorkerPoller(VersionPoller):
    """The polls of one process; it continues with the state of an earlier one.

    :param wait: the arguments of :class:`WaitSpec`
    :param timeout: of the sensor, in seconds
    :param store: Airflow's task state store, or None
    :param try_number: the task's try
    :raises SecodaConfigurationError: when an argument is wrong; the message names it
    """

    def __init__(
        self, wait: Mapping[str, Any], log: Any, *, timeout: float, store: Any, try_number: int | None
    ) -> None:
        spec = WaitSpec(**wait)
        waiting_for = [spec.secoda_conn_id, spec.resource_id, spec.baseline.version_id]
        self.store = StateStore(store, waiting_for, try_number)
        super().__init__(spec, log, self.store.load())
        #: Address of the resource's page in Secoda's web app, once the connection was read.
        self.link: str | None = None
        self._hook = SecodaHook(spec.secoda_conn_id)
        self._timeout = timeout
        self._announced = self.store.continues

    @property
    def must_keep_process(self) -> bool:
        """Whether failures were counted that would be lost with this process."""
        counts = self.spec.max_consecutive_failures is not None and self.state.consecutive_failures > 0
        return counts and not self.store.available

    def poll(self) -> list[dict[str, Any]]:
        """Poll once, unless the server must not be polled yet; return the new entries.

        :raises SecodaError: the error that ends the wait
        """
        if self.retry_after() > 0:
            return []
        outcome: Poll | SecodaError
        try:
            outcome = self._poll()
        except SecodaError as error:
            outcome = error
        entries = self.decide(outcome)
        self.store.save(self.state)
        return entries

    def _poll(self) -> Poll:
        try:
            return self._request()
        except SecodaError as error:
            hook = SecodaHook(self.spec.secoda_conn_id)
            if not self.should_reread(error) or hook.settings == self._hook.settings:
                raise
            self._hook = hook
        return self._request()

    def _request(self) -> Poll:
        self.link = self._hook.resource_url(self.spec.resource_id)
        self.announce(self._hook.settings.base_url, self._timeout)
        return self._hook.poll_versions(self.spec.resource_id, self.spec.baseline, self.state.page_order)


class StateStore:
    """Where a task's :class:`SensorState` is kept between its processes: Airflow's task state store.

    :param store: that store (3.3 and later), or None: then nothing is kept
    :param waiting_for: what the task waits for, as JSON values; a state of another wait is ignored
    :param try_number: the task's try; failures of another try do not count
    """

    def __init__(self, store: Any, waiting_for: list[str | None], try_number: int | None) -> None:
        self.available = store is not None
        self._store = store
        self._task = {"waiting_for": waiting_for, "try_number": try_number}
        self._saved: dict[str, Any] | None = None
        #: Whether an earlier process of this try has polled.
        self.continues = False

    def load(self) -> SensorState:
        """Return the state that an earlier process saved, or an empty one."""
        saved = self._store.get(SENSOR_STATE_KEY, None) if self.available else None
        # Another version of the DAG may have saved a state for another resource or another baseline.
        if not isinstance(saved, dict) or saved.get("waiting_for") != self._task["waiting_for"]:
            return SensorState()
        self._saved = saved
        try:
            state = msgspec.convert(saved, SensorState)
        except msgspec.ValidationError:
            return SensorState()
        if saved.get("try_number") != self._task["try_number"]:
            return SensorState(state.page_order, retry_at=state.retry_at)
        self.continues = True
        return state

    def save(self, state: SensorState) -> None:
        """Save a state, if it has changed."""
        new = {**self._task, **state.to_json()}
        if self.available and new != self._saved:
            self._store.set(SENSOR_STATE_KEY, new)
            self._saved = new

    def delete(self) -> None:
        """Delete the state: Airflow does not, not even when the task is cleared."""
        if self.available:
            self._store.delete(SENSOR_STATE_KEY)
