"""The sensor: wait for a resource in Secoda to have a new version history entry."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_secoda._compat import AirflowRescheduleException
from airflow_provider_secoda.sensors.arguments import check_arguments, due, seconds, start_args, timeout, trigger_args

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.sensors.memory import Memory

#: Seconds between two looks at least.
MIN_PAUSE = 0.1


class SecodaVersionHistorySensor(BaseSensorOperator):
    """
    Wait until a resource has a new version history entry; return the entries that count, oldest first.

    An entry counts when it was created at or after ``since``, which by default is the moment at which the run was due:
    the end of its data interval, else its ``run_after``, else its start. So a change between the schedule and the first
    look counts, and every retry, cleared task and mode gives the same answer.

    Returned is a list of entries, in all modes: ``id``, ``resource_id``, ``created_at``, ``updated_at``,
    ``latest_activity_logged_at``, ``performers`` (``id``, ``type``, ``name``), ``activity_types``,
    ``changed_properties``, ``definition_diff``, ``description_diff``, and ``record``, the entry as the API sent it.

    401, 403, 404 and wrong arguments fail at once. 429, 5xx and broken connections are waited out; ``Retry-After`` is
    obeyed. Pauses are up to a tenth longer than asked for; with ``exponential_backoff`` each is twice the last.

    :param secoda_conn_id: the Airflow connection (templated)
    :param resource_id: the resource in Secoda (templated)
    :param since: an aware datetime or ISO 8601 text (templated)
    :param since_version_id: instead of ``since``: entries count that are others than this one and not older (templated)
    :param match: ``new_version``; or ``any_activity``, which also counts a version that grew at or after ``since``
        (with ``since_version_id``: after the run was due)
    :param deferrable: whether to wait in the triggerer, which needs no worker slot
    :param max_consecutive_failures: how many looks in a row may fail, the last of them not; without limit when
        ``silent_fail`` is set
    :param wait_for_resource: whether to wait for a resource that does not exist yet
    :param start_from_trigger: with ``deferrable``, on Airflow 3.3 and later, for a sensor without ``outlets``: begin
        and end in the triggerer, so that no worker slot is used at all. Elsewhere it begins on a worker all the same
    """

    template_fields: Sequence[str] = ("secoda_conn_id", "resource_id", "since", "since_version_id")
    ui_color = "#e6e9f7"

    def __init__(
        self,
        *,
        secoda_conn_id: str = "secoda_default",
        resource_id: str,
        since: datetime | str | None = None,
        since_version_id: str | None = None,
        match: str = "new_version",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_consecutive_failures: int = 5,
        wait_for_resource: bool = False,
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.secoda_conn_id = secoda_conn_id
        self.resource_id = resource_id
        self.since = since
        self.since_version_id = since_version_id
        self.match = match
        self.deferrable = deferrable
        self.max_consecutive_failures = max_consecutive_failures
        self.wait_for_resource = wait_for_resource
        check_arguments(self)
        self.start_trigger_args = start_args(self) if start_from_trigger else None
        self.start_from_trigger = self.start_trigger_args is not None
        self._memory: Memory | None = None

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Wait; return the entries that count."""
        self._memory = None  # a try begins, perhaps in a process that saw another one
        if self.deferrable:
            return self._soften(lambda: self._look_and_defer(context))
        return self._soften(lambda: super(SecodaVersionHistorySensor, self).execute(context))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take over from the triggerer; what was raised there is raised here as what it was."""
        return self._soften(lambda: self._resume(next_method, next_kwargs or {}, context))

    def execute_complete(self, context: Context, event: Any = None) -> list[dict[str, Any]]:
        """
        Return the entries that the trigger found.

        :raises ValueError: for an event that is not the trigger's
        """
        from airflow_provider_secoda.triggers.wait import read_event  # noqa: PLC0415

        del context
        entries = read_event(event)
        if entries is None:
            raise AirflowSensorTimeout(f"No new version of resource {self.resource_id} within {self.timeout:g} s")
        self.log.info("Resource %s: %s", self.resource_id, ", ".join(entry["id"] for entry in entries))
        return entries

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Look once; where Airflow cannot remember failures from one process to the next, until a look works."""
        began = time.monotonic()
        while True:
            entries = self._look(context)
            if entries:
                return PokeReturnValue(is_done=True, xcom_value=entries)
            memory = self._memory
            waited = time.monotonic() - began
            if memory is None or not memory.must_stay or waited > self.timeout:
                return False
            time.sleep(min(self._pause(waited), max(0.0, self.timeout - waited) + MIN_PAUSE))

    def _look(self, context: Context) -> list[dict[str, Any]]:
        """Look once, or not at all while the server asked to be left alone; return the entries that count."""
        from airflow_provider_secoda.client.errors import SecodaError, SecodaNotFoundError  # noqa: PLC0415

        memory = self._memory = self._memory or self._remember(context)
        wait = memory.wait
        if memory.asked_to_wait > 0:
            return []
        try:
            poll = memory.hook.poll_versions(wait.resource_id, wait.baseline, memory.learned)
            learned, entries = poll.learned, poll.entries
        except SecodaError as error:
            wait.name_in(error)
            if not (self.wait_for_resource and isinstance(error, SecodaNotFoundError)):
                if memory.fail(error):
                    self.log.warning("%s; going on", error)
                return []
            learned, entries = None, ()
        if memory.succeed(learned):
            self.log.info("Secoda answers again about resource %s", wait.resource_id)
        if entries:
            self.log.info("%s", wait.describe(entries))
            memory.forget()
        return [entry.summary() for entry in entries]

    def _remember(self, context: Context) -> Memory:
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - DAG files are parsed often
        from airflow_provider_secoda.sensors.memory import Memory  # noqa: PLC0415
        from airflow_provider_secoda.triggers.wait import Wait  # noqa: PLC0415

        since = due(context) if self.since is None else self.since
        wait = Wait.of(self.secoda_conn_id, self.resource_id, since, self.since_version_id, self.match)
        limit = None if self.silent_fail else self.max_consecutive_failures
        store = context.get("task_state_store") if self.reschedule and not self.deferrable else None
        return Memory(wait, SecodaHook(self.secoda_conn_id), limit, store, moves=self.reschedule)

    def _look_and_defer(self, context: Context) -> list[dict[str, Any]]:
        """Look once on the worker, which is enough when the entry is there already, or when nothing can come of it."""
        from airflow_provider_secoda.client.schema import format_instant  # noqa: PLC0415
        from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger  # noqa: PLC0415

        started = datetime.now(timezone.utc)
        entries = self._look(context)
        if entries:
            return entries
        memory = self._memory
        assert memory is not None
        since = format_instant(memory.wait.baseline.since)
        self.defer(
            trigger=SecodaVersionHistoryTrigger(
                **trigger_args(self, since),
                started=started.isoformat(),
                deadline=(started + timeout(self)).isoformat(),
                first_look=(datetime.now(timezone.utc) + timedelta(seconds=self._pause(0.0))).isoformat(),
                failures=memory.patience.failures,
                learned=None if memory.learned is None else memory.learned.to_json(),
            ),
            method_name="execute_complete",
            timeout=timeout(self),
        )
        return None

    def _resume(self, next_method: str, next_kwargs: dict[str, Any], context: Context) -> Any:
        from airflow_provider_secoda.sensors.failures import raised_in_trigger, timed_out  # noqa: PLC0415

        if next_method == "__fail__":
            if timed_out(next_kwargs):
                return self.execute_complete(context, {"status": "timeout"})
            error = raised_in_trigger(next_kwargs)
            if error is not None:
                raise error
        # Not the sensors' own, which makes skips of errors in a way that differs from version to version.
        return BaseOperator.resume_execution(self, next_method, next_kwargs, context)

    def _soften(self, wait: Callable[[], Any]) -> Any:
        """Turn errors into what Airflow makes of them, ``soft_fail`` and ``never_fail`` alike in all modes."""
        from airflow_provider_secoda.client.errors import SecodaConfigurationError, SecodaFatalError  # noqa: PLC0415

        try:
            try:
                return wait()
            except (SecodaFatalError, SecodaConfigurationError) as error:
                raise AirflowFailException(str(error)) from error
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except Exception as error:
            soft = self.soft_fail and isinstance(error, AirflowSensorTimeout | AirflowFailException)
            if soft or self.never_fail:
                name = "soft_fail" if soft else "never_fail"
                raise AirflowSkipException(f"Skipped, as {name} is set: {error}") from error
            raise

    def _pause(self, waited: float) -> float:
        """Return the pause before the next look, in seconds."""
        from airflow_provider_secoda.client.waiting import Pace  # noqa: PLC0415

        pace = Pace(float(self.poke_interval), bool(self.exponential_backoff), seconds(self.max_wait))
        asked = self._memory.asked_to_wait if self._memory is not None else 0.0
        return max(pace.pause(waited, random.random()), asked)  # noqa: S311 - jitter, no secret

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Return the pause for the modes that Airflow runs: the trigger's, cut so that the last look is in time."""
        del started_at, poke_count
        waited = run_duration()
        return max(min(self._pause(waited), self.timeout - waited), MIN_PAUSE)
