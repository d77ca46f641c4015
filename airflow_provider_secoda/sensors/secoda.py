"""The sensor: wait for a resource in Secoda to have a new version history entry."""

from __future__ import annotations

import math
import random
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseOperator,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_secoda._compat import AirflowRescheduleException
from airflow_provider_secoda._lineage.sensor import ResourceLineage
from airflow_provider_secoda.links.secoda import SecodaResourceLink, push_link
from airflow_provider_secoda.retries import DEFAULT_POLICY, retry_policy_kwargs, unwrap_errors_for_retry_policy
from airflow_provider_secoda.sensors._arguments import (
    check_arguments,
    is_being_unmapped,
    seconds,
    start_args,
    timeout,
    trigger_args,
)
from airflow_provider_secoda.sensors._failures import (
    apply_soft_fail,
    check_execution_timeout,
    final_errors_fail,
    raised_in_trigger,
    timed_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._compat import RetryPolicy
    from airflow_provider_secoda.sensors._poller import Looker

#: Seconds between two looks at least.
MIN_PAUSE = 0.1


class SecodaVersionHistorySensor(ResourceLineage, BaseSensorOperator):
    """Wait until a resource has a new version history entry; return the entries that count, oldest first.

    An entry counts when it was created at or after ``since``, which by default is the moment at which the run was due:
    the end of its data interval, else its ``run_after``, else its start. So a change between the schedule and the first
    look counts, and every retry, cleared task and mode gives the same answer.

    Returned is a list of entries, in all modes: ``id``, ``resource_id``, ``created_at``, ``updated_at``,
    ``latest_activity_logged_at``, ``performers`` (``id``, ``type``, ``name``), ``activity_types``,
    ``changed_properties``, ``definition_diff``, ``description_diff``, and ``record``, the entry as the API sent it
    (integers beyond 64 bits as text, which is as far as Airflow's processes can pass them on).

    401, 403, 404 and wrong arguments fail at once, a 401 after the connection was read again, as keys are rotated. 429,
    5xx and broken connections are waited out; ``Retry-After`` is obeyed. Pauses are up to a tenth longer than asked
    for; with ``exponential_backoff`` each is twice the last. The last look is when ``timeout`` has passed.

    ``soft_fail`` makes a skip of a timeout and of what fails at once, ``never_fail`` of every error, in all modes.
    Before ``retry_policy`` is asked: it decides about what is not skipped.

    :param secoda_conn_id: the Airflow connection (templated)
    :param resource_id: the resource in Secoda (templated)
    :param since: an aware datetime or ISO 8601 text (templated)
    :param since_version_id: instead of ``since``: entries count that are others than this one and not older (templated)
    :param match: ``new_version``; or ``any_activity``, which also counts a version that grew at or after ``since``
        (with ``since_version_id``: after the run was due)
    :param deferrable: whether to wait in the triggerer, which needs no worker slot
    :param max_consecutive_failures: how many failing looks in a row end the wait, with the error of the last; with
        ``silent_fail`` none do
    :param wait_for_resource: whether to wait for a resource that does not exist yet
    :param start_from_trigger: with ``deferrable``, on Airflow 3.3 and later, for a sensor without ``outlets``: begin
        in the triggerer, so that a worker is used for no more than returning the entries, and with
        ``do_xcom_push=False`` not even for that. Elsewhere it begins on a worker all the same
    :param retry_policy: which errors are retried, and when (Airflow 3.3 and later; ignored before); None: what fails at
        once is not, everything else as the DAG says
    """

    template_fields: Sequence[str] = ("secoda_conn_id", "resource_id", "since", "since_version_id")
    operator_extra_links = (SecodaResourceLink(),)
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
        retry_policy: RetryPolicy | None = DEFAULT_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs, **retry_policy_kwargs(retry_policy))
        self.secoda_conn_id = secoda_conn_id
        self.resource_id = resource_id
        self.since = since
        self.since_version_id = since_version_id
        self.match = match
        self.deferrable = deferrable
        self.max_consecutive_failures = max_consecutive_failures
        self.wait_for_resource = wait_for_resource
        parsing = not is_being_unmapped(self)
        if parsing:
            check_arguments(self)
        self.start_trigger_args = start_args(self) if start_from_trigger and parsing else None
        self.start_from_trigger = self.start_trigger_args is not None
        self._looker: Looker | None = None
        self._link: str | None = None
        self._began = math.inf  # not yet

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Wait; return the entries that count."""
        self._looker, self._began = None, time.monotonic()
        with unwrap_errors_for_retry_policy(self), apply_soft_fail(self):
            return self._look_and_defer(context) if self.deferrable else self._poke_on(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Take over from the triggerer; what was raised there is raised here as what it was."""
        with unwrap_errors_for_retry_policy(self), apply_soft_fail(self):
            if next_method == "__fail__":
                if timed_out(next_kwargs or {}):
                    check_execution_timeout(self, next_kwargs or {})
                    # The triggerer may not have run for a while.
                    return self._look(context) or self._time_out()
                error = raised_in_trigger(next_kwargs or {})
                if error is not None:
                    raise error
            # Not the sensors' own, which makes skips of errors in a way that differs from version to version.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Any = None) -> list[dict[str, Any]]:
        """Return the entries that the trigger found.

        :raises ValueError: for an event that is not the trigger's
        """
        from airflow_provider_secoda._polling.spec import read_event  # noqa: PLC0415

        del context
        return read_event(event) or self._time_out()

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        entries = self._look(context)
        return PokeReturnValue(is_done=bool(entries), xcom_value=entries or None)

    def _look(self, context: Context) -> list[dict[str, Any]]:
        from airflow_provider_secoda.sensors._poller import Looker  # noqa: PLC0415 - DAG files are parsed often

        with final_errors_fail():
            self._looker = self._looker or Looker(self, context)
            entries = self._looker.look()
        if self._link is None:
            self._link = self._looker.link
            push_link(SecodaResourceLink(), self._link, context)
        return entries

    def link_url(self) -> str | None:
        """Return the address of the resource's page in Secoda, where the connection says how such look."""
        if self._link is None and self._looker is None:  # it waited in the triggerer
            from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415

            with suppress(Exception):  # what is wrong with a connection is told by the wait, not by a button
                self._link = SecodaHook(self.secoda_conn_id).resource_url(self.resource_id)
        return self._link

    def _poke_on(self, context: Context) -> list[dict[str, Any]]:
        try:
            while True:
                try:
                    entries: list[dict[str, Any]] = super().execute(context)
                    break
                except AirflowRescheduleException as again:
                    # Failures are counted where nothing outlives the process, and then the process has to stay.
                    looker = self._looker
                    if looker is None or not looker.memory.would_be_lost or self._waited() > self.timeout:
                        raise
                    time.sleep(max(0.0, (again.reschedule_date - _now()).total_seconds()))
        except AirflowRescheduleException:
            raise
        except Exception:
            self._forget()
            raise
        self._forget()
        return entries

    def _forget(self) -> None:
        if self._looker is not None:
            self._looker.memory.forget()

    def _look_and_defer(self, context: Context) -> list[dict[str, Any]]:
        """Look once on the worker, which is enough when the entry is there already, or when nothing can come of it."""
        from airflow_provider_secoda.client._api.timestamps import format_instant  # noqa: PLC0415
        from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger  # noqa: PLC0415

        started = _now()
        entries = self._look(context)
        if entries:
            return entries
        if self._waited() > self.timeout:
            self._time_out()
        looker = self._looker
        assert looker is not None
        memory, since = looker.memory, format_instant(looker.wait.baseline.since)
        self.defer(
            trigger=SecodaVersionHistoryTrigger(
                **trigger_args(self, since),
                started=started.isoformat(),
                deadline=(started + timeout(self)).isoformat(),
                first_look=(_now() + timedelta(seconds=self._pause(0.0))).isoformat(),
                failures=memory.patience.failures,
                said=memory.patience.said,
                learned=None if memory.learned is None else memory.learned.to_json(),
            ),
            method_name="execute_complete",
            timeout=timeout(self),
        )
        return None  # type: ignore[unreachable,unused-ignore]

    def _time_out(self) -> NoReturn:
        raise AirflowSensorTimeout(f"No new version of resource {self.resource_id} within {self.timeout:.15g} s")

    def _waited(self) -> float:
        return time.monotonic() - self._began

    def _pause(self, waited: float) -> float:
        """Return the pause before the next look, in seconds."""
        from airflow_provider_secoda._polling.pauses import PollInterval  # noqa: PLC0415

        pace = PollInterval(float(self.poke_interval), bool(self.exponential_backoff), seconds(self.max_wait))
        asked = self._looker.memory.asked_to_wait if self._looker is not None else 0.0
        return max(pace.pause(waited, random.random()), asked)  # noqa: S311 - jitter, no secret

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Return the pause for the modes that Airflow runs: the trigger's, cut so that the last look is in time."""
        del started_at, poke_count
        waited = max(run_duration(), self._waited())
        return max(min(self._pause(waited), self.timeout - waited), MIN_PAUSE)


def _now() -> datetime:
    return datetime.now(timezone.utc)
