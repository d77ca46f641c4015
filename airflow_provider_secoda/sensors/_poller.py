"""Poll on a worker: one poll after another, each when the sensor's loop calls for it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling import pauses
from airflow_provider_secoda._polling.spec import WaitSpec
from airflow_provider_secoda._polling.version_poller import SensorState, VersionPoller
from airflow_provider_secoda.client.errors import SecodaError
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.sensors._state import StateStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._versions.poll import Poll


class WorkerPoller:
    """The polls of one process; it continues with the state of an earlier one.

    :param wait: the rendered arguments that specify the wait
    :param store: Airflow's task state store, or None
    :param try_number: the task's try
    :raises SecodaConfigurationError: when an argument is wrong; the message names it
    """

    def __init__(self, wait: Mapping[str, Any], log: Any, *, store: Any, try_number: int | None) -> None:
        self.spec = spec = WaitSpec.parse(**wait)
        waiting_for = [spec.secoda_conn_id, spec.resource_id, spec.baseline.version_id]
        self.store = StateStore(store, waiting_for, try_number)
        #: Address of the resource's page in Secoda's web app, once the connection was read.
        self.link: str | None = None
        self._poller = VersionPoller(spec, self.store.load())
        self._hook = SecodaHook(spec.secoda_conn_id)
        self._log = log

    @property
    def state(self) -> SensorState:
        """What to keep for the next poll."""
        return self._poller.state

    @property
    def must_stay(self) -> bool:
        """Whether failures were counted that would be lost with this process."""
        counts = self.spec.max_consecutive_failures is not None and self.state.consecutive_failures > 0
        return counts and not self.store.available

    def poll(self) -> list[dict[str, Any]]:
        """Poll once, unless the server must not be polled yet; return the new entries.

        :raises SecodaError: the error that ends the wait
        """
        if self._retry_after() > 0:
            return []
        outcome: Poll | SecodaError
        try:
            outcome = self._poll()
        except SecodaError as error:
            outcome = error
        decision = self._poller.decide(outcome, time.time())
        self.store.save(self.state)
        for level, text in decision.log:
            self._log.log(level, "%s", text)
        return decision.entries

    def pause(self, waited: float, left: float = math.inf) -> float:
        """Return the pause before the next poll in seconds.

        :param waited: seconds since the wait began
        :param left: seconds until the timeout
        """
        return max(self.spec.interval.pause(waited, self._retry_after(), left), pauses.MIN_PAUSE)

    def _retry_after(self) -> float:
        """Return for how many more seconds the server must not be polled."""
        return max(0.0, self.state.retry_at - time.time())

    def _poll(self) -> Poll:
        try:
            return self._request()
        except SecodaError as error:
            if not self._poller.should_reread(error) or not self._reread():
                raise
        return self._request()

    def _request(self) -> Poll:
        self.link = self._hook.resource_url(self.spec.resource_id)
        return self._hook.poll_versions(self.spec.resource_id, self.spec.baseline, self.state.page_order)

    def _reread(self) -> bool:
        """Read the connection again; return whether it has changed."""
        hook = SecodaHook(self.spec.secoda_conn_id)
        if hook.settings == self._hook.settings:
            return False
        self._hook = hook
        return True
