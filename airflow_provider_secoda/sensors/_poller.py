"""One look after the other, on a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling.spec import WaitSpec, summaries
from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaError
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.sensors._arguments import check_arguments, due
from airflow_provider_secoda.sensors._state import SensorState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._versions.poll import Poll
    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor


class Looker:
    """ResourcePoller for what a sensor waits for, in one process; what it knows from look to look is its memory.

    :param context: Airflow's context of the task
    :raises SecodaConfigurationError: naming the argument that is wrong
    """

    def __init__(self, sensor: SecodaVersionHistorySensor, context: Mapping[str, Any]) -> None:
        try:
            check_arguments(sensor)
        except ValueError as error:
            raise SecodaConfigurationError(" ".join(str(error).split())) from None
        self.wait = WaitSpec.of(
            sensor.secoda_conn_id,
            sensor.resource_id,
            due(context) if sensor.since is None else sensor.since,
            sensor.since_version_id,
            sensor.match,
            sensor.wait_for_resource,
        )
        self.memory = SensorState(
            [self.wait.secoda_conn_id, self.wait.resource_id, self.wait.baseline.version_id],
            getattr(context.get("ti"), "try_number", None),
            None if sensor.silent_fail else sensor.max_consecutive_failures,
            context.get("task_state_store") if sensor.reschedule and not sensor.deferrable else None,
        )
        self._hook = SecodaHook(self.wait.secoda_conn_id)
        self._log = sensor.log
        #: Address of the resource's page, once the connection was read.
        self.link: str | None = None

    def look(self) -> list[dict[str, Any]]:
        """Look once, or not at all while the server asked to be left alone; return the entries that count.

        :raises SecodaError: one that waiting cannot mend, or one that is one too many
        """
        if self.memory.asked_to_wait > 0:
            return []
        try:
            poll = self._poll()
        except SecodaError as error:
            self.wait.add_context(error)
            if self.memory.fail(error):
                self._log.warning("%s; going on", error)
            return []
        if self.memory.succeed(None if poll is None else poll.page_order):
            self._log.info("Secoda answers again about resource %s", self.wait.resource_id)
        if poll is None or not poll.entries:
            return []
        self._log.info("%s", self.wait.describe(poll.entries))
        return summaries(poll.entries)

    def _poll(self) -> Poll | None:
        """Ask; return None for a resource that does not exist yet and is waited for."""
        try:
            return self._ask()
        except SecodaError as error:
            if self.wait.expects(error):
                return None
            if not self.wait.doubts_connection(error) or not self._reread():
                raise
        return self._ask()

    def _ask(self) -> Poll:
        self.link = self._hook.resource_url(self.wait.resource_id)
        return self._hook.poll_versions(self.wait.resource_id, self.wait.baseline, self.memory.learned)

    def _reread(self) -> bool:
        """Read the connection again; return whether it says something else than before, as after a change of keys."""
        hook = SecodaHook(self.wait.secoda_conn_id)
        if hook.settings == self._hook.settings:
            return False
        self._hook = hook
        return True
