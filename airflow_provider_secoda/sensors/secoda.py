"""The sensor that waits for a new version history entry of a resource in Secoda."""

from __future__ import annotations

import inspect
import math
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_secoda._arguments import (
    ArgumentError,
    check_bool,
    check_count,
    check_match,
    check_seconds,
    check_text,
    is_computed,
    is_known,
    parse_datetime,
)
from airflow_provider_secoda._compat import AirflowRescheduleException, starts_from_trigger
from airflow_provider_secoda._lineage.tasks import ResourceLineage
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.links.secoda import SecodaResourceLink, push_link
from airflow_provider_secoda.retries import DEFAULT_POLICY, retry_policy_kwargs, unwrap_errors_for_retry_policy
from airflow_provider_secoda.sensors._arguments import RUN_DUE_AT, run_due_at
from airflow_provider_secoda.sensors._failures import apply_soft_fail, raised_in_trigger, timed_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._compat import RetryPolicy
    from airflow_provider_secoda.client._versions.history import Match
    from airflow_provider_secoda.sensors._poller import WorkerPoller

__all__ = ["SecodaVersionHistorySensor"]


class SecodaVersionHistorySensor(ResourceLineage, BaseSensorOperator):
    """Wait until a resource has a new version history entry; return the new entries, oldest first.

    An entry is new if it was created at or after ``since``. By default that is when the run was due: the end of its
    data interval, else its ``run_after``, else its start. So a change between the schedule and the first poll is found,
    and a retry, a cleared task and every mode return the same entries.

    The result is a list of entries, in all modes: ``id``, ``resource_id``, ``created_at``, ``updated_at``,
    ``latest_activity_logged_at``, ``performers`` (``id``, ``type``, ``name``), ``activity_types``,
    ``changed_properties``, ``definition_diff``, ``description_diff``, and ``record``, the entry as the API sent it. An
    entry with values that Airflow cannot store lists those that were replaced in ``_replaced``.

    401, 403, 404 and wrong arguments fail the task without a retry; after a 401 the connection is read again first, as
    the key may have been rotated. After 429, 5xx and connection errors polling continues; ``Retry-After`` is obeyed.
    Pauses have a jitter of up to 10 %; with ``exponential_backoff`` each is twice as long as the one before. The last
    poll is when ``timeout`` has passed.

    ``soft_fail`` skips the task after a timeout and after errors that fail it without a retry, ``never_fail`` after
    every error, in all modes. ``retry_policy`` decides only about errors that are not skipped.

    :param secoda_conn_id: the Airflow connection (templated)
    :param resource_id: the resource in Secoda (templated)
    :param since: an aware datetime or an ISO 8601 string (templated)
    :param since_version_id: instead of ``since``: return versions newer than this one, and others created at the same
        time (templated)
    :param match: ``new_version``; or ``any_activity``, which also returns versions that were extended at or after
        ``since`` (with ``since_version_id``: after the run was due)
    :param deferrable: whether to wait in the triggerer, without a worker slot
    :param max_consecutive_failures: consecutive failed polls after which the sensor fails, with the last error; with
        ``silent_fail`` there is no limit
    :param wait_for_resource: whether to wait for a resource that does not exist yet
    :param start_from_trigger: with ``deferrable``, on Airflow 3.3 and later, for a sensor without ``outlets``: start in
        the triggerer, so that a worker only returns the entries, and is not used at all with ``do_xcom_push=False``.
        Otherwise the sensor starts on a worker
    :param retry_policy: which errors are retried, and when (Airflow 3.3 and later, ignored before); None: errors that
        a retry cannot fix are not retried, all others as the DAG says
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
        match: Match = "new_version",
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
        self._given = {name: getattr(self, name) for name in self.template_fields}
        # A mapped task is created when it starts. No DAG is parsed then, and the first poll checks the arguments.
        is_parsing = not getattr(self, "_BaseOperator__from_mapped", False)
        if is_parsing:
            self._check_arguments()
        self.start_trigger_args = self._start_trigger_args() if start_from_trigger and is_parsing else None
        self.start_from_trigger = self.start_trigger_args is not None
        self._poller: WorkerPoller | None = None
        self._started = math.inf  # not yet

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Wait; return the new entries."""
        self._poller, self._started = None, time.monotonic()
        with unwrap_errors_for_retry_policy(self), apply_soft_fail(self):
            self._keep_texts()
            return self._poll_and_defer(context) if self.deferrable else self._poll_until_found(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the triggerer; an error of the trigger is raised here as the same error."""
        kwargs = next_kwargs or {}
        with unwrap_errors_for_retry_policy(self), apply_soft_fail(self):
            self._keep_texts()
            if next_method == "__fail__" and "event" in kwargs:
                # The trigger's deadline and Airflow's timeout are the same moment, and Airflow does not lock the task.
                # So it can have the method of the timeout and the arguments of the event.
                next_method = "execute_complete"
            if next_method == "__fail__":
                if timed_out(kwargs):
                    # The triggerer may have been down, so poll once more if time is left.
                    may_poll = not self._execution_timeout_is_shorter()
                    return (may_poll and self._poll(context)) or self._end_deferral(context)
                error = raised_in_trigger(kwargs)
                if error is not None:
                    raise error
            # Not the method of the base sensor, which applies soft_fail differently from version to version.
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Any = None) -> list[dict[str, Any]]:
        """Return the entries that the trigger found.

        :raises ValueError: for an event that the sensor's trigger does not yield
        """
        from airflow_provider_secoda._polling.wait import read_event  # noqa: PLC0415

        return read_event(event) or self._end_deferral(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once."""
        entries = self._poll(context)
        return PokeReturnValue(is_done=bool(entries), xcom_value=entries or None)

    def link_url(self) -> str | None:
        """Return the address of the resource's page in Secoda, if the connection has a template for it."""
        if self._poller is not None:
            return self._poller.link
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - DAG files are parsed often

        with suppress(Exception):  # the wait reports errors in a connection, a link does not
            return SecodaHook(self.secoda_conn_id).resource_url(self.resource_id)
        return None

    def _poll(self, context: Context) -> list[dict[str, Any]]:
        from airflow_provider_secoda.hooks._errors import final_errors_fail  # noqa: PLC0415 - DAG files are parsed often

        context = context or {}  # a unit test may pass None
        with final_errors_fail():
            self._poller = poller = self._poller or self._make_poller(context)
            pushed = poller.link
            entries = poller.poll()
        if pushed is None:
            push_link(SecodaResourceLink(), poller.link, context)
        return entries

    def _make_poller(self, context: Context) -> WorkerPoller:
        """Return what polls in this process.

        :raises SecodaConfigurationError: when a rendered argument is wrong; the message names it
        """
        from airflow_provider_secoda.sensors._poller import WorkerPoller  # noqa: PLC0415 - DAG files are parsed often

        try:
            self._check_arguments()
        except ValueError as error:
            raise SecodaConfigurationError(" ".join(str(error).split())) from None
        return WorkerPoller(
            self._wait_arguments(run_due_at(context) if self.since is None else self.since),
            self.log,
            timeout=self.timeout,
            store=context.get("task_state_store") if self.reschedule and not self.deferrable else None,
            try_number=getattr(context.get("ti"), "try_number", None),
        )

    def _poll_until_found(self, context: Context) -> list[dict[str, Any]]:
        """Poll in Airflow's loop for the modes poke and reschedule."""
        try:
            while True:
                try:
                    # Without Airflow 2's check of nested operators, which this call is not.
                    entries: list[dict[str, Any]] = inspect.unwrap(BaseSensorOperator.execute)(self, context)
                    break
                except AirflowRescheduleException as reschedule:
                    # Failures that no store keeps are counted in this process, so this process must not end.
                    if self._poller is None or not self._poller.must_keep_process or self._waited() > self.timeout:
                        raise
                    time.sleep(max(0.0, (reschedule.reschedule_date - _now()).total_seconds()))
                except (AirflowSensorTimeout, AirflowSkipException) as end:
                    # Airflow's messages for a timeout and for soft_fail differ from those of a deferred sensor.
                    if end.__cause__ is not None:
                        raise end.__cause__ from end.__cause__.__cause__
                    self._time_out(context)
        except AirflowRescheduleException:
            raise
        except Exception:
            self._delete_state()
            raise
        self._delete_state()
        return entries

    def _delete_state(self) -> None:
        if self._poller is not None:
            self._poller.store.delete()

    def _poll_and_defer(self, context: Context) -> list[dict[str, Any]]:
        """Poll once on the worker; defer only if there is no new entry and no error yet."""
        from airflow_provider_secoda.client._api.timestamps import format_datetime, format_instant  # noqa: PLC0415
        from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger  # noqa: PLC0415

        started_at = _now()
        entries = self._poll(context)
        if entries:
            return entries
        if self._waited() > self.timeout:
            self._time_out(context)
        assert self._poller is not None
        progress = self._poller.state.to_json()
        del progress["retry_at"]  # the first pause obeys it
        deadline = started_at + self._deferral_timeout()
        self.defer(
            trigger=SecodaVersionHistoryTrigger(
                **self._wait_arguments(format_instant(self._poller.spec.baseline.since)),
                **progress,
                started_at=format_datetime(started_at),
                first_poll_at=format_datetime(_now() + timedelta(seconds=self._poller.pause(0.0))),
                deadline=format_datetime(deadline),
            ),
            method_name="execute_complete",
            timeout=max(deadline - _now(), timedelta(0)),
        )
        return None  # type: ignore[unreachable,unused-ignore]

    def _time_out(self, context: Context) -> NoReturn:
        raise AirflowSensorTimeout(f"No {self._waited_for(context)} within {self.timeout:.15g} s")

    def _waited_for(self, context: Context) -> str:
        from airflow_provider_secoda._polling.wait import WaitSpec  # noqa: PLC0415 - DAG files are parsed often

        return str(WaitSpec(**self._wait_arguments(run_due_at(context or {}) if self.since is None else self.since)))

    def _end_deferral(self, context: Context) -> NoReturn:
        """Raise the error of the timeout that ended a deferral, as in the other modes."""
        if self._execution_timeout_is_shorter():
            limit = self.execution_timeout
            raise AirflowTaskTimeout(f"No {self._waited_for(context)} within execution_timeout, {limit}")
        self._time_out(context)

    def _execution_timeout_is_shorter(self) -> bool:
        """Return whether a deferred sensor reaches ``execution_timeout`` before ``timeout``; both start together."""
        limit: timedelta | None = self.execution_timeout
        return limit is not None and limit.total_seconds() < self.timeout

    def _deferral_timeout(self) -> timedelta:
        """Return how long a deferred sensor waits, from its start: until its ``timeout`` or ``execution_timeout``.

        At most 100 years: a datetime cannot hold a deadline that is much later.
        """
        limit = math.inf if self.execution_timeout is None else self.execution_timeout.total_seconds()
        return timedelta(seconds=min(self.timeout, limit, 100 * 365 * 86_400.0))

    def _waited(self) -> float:
        return time.monotonic() - self._started

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Return the pause for the modes poke and reschedule: the same as in the triggerer."""
        del started_at, poke_count
        assert self._poller is not None
        waited = max(run_duration(), self._waited())
        return self._poller.pause(waited, self.timeout - waited)

    def _keep_texts(self) -> None:
        from airflow_provider_secoda._native_templates import keep_texts  # noqa: PLC0415 - DAG files are parsed often

        try:
            keep_texts(self, self._given)
        except ArgumentError as error:
            raise SecodaConfigurationError(str(error)) from None

    def _check_arguments(self) -> None:
        """Check arguments, except templates and results of other tasks: they are checked when the task starts.

        :raises ValueError: when an argument is wrong; the message names it
        """
        if self.since is not None and self.since_version_id is not None:
            raise ValueError("`since` and `since_version_id` exclude each other: pass one of them")
        for name in ("secoda_conn_id", "resource_id", "since_version_id"):
            value = getattr(self, name)
            if is_known(value) and not (name == "since_version_id" and value is None):
                check_text(name, value)
        if self.since is not None and is_known(self.since):
            parse_datetime("since", self.since)
        check_match(self.match)
        check_count("max_consecutive_failures", self.max_consecutive_failures)
        check_seconds("poke_interval", self.poke_interval)
        check_bool("deferrable", self.deferrable)
        check_bool("wait_for_resource", self.wait_for_resource)

    def _wait_arguments(self, since: datetime | str) -> dict[str, Any]:
        """Return what specifies the wait: arguments of ``WaitSpec`` and of the trigger."""
        max_wait = self.max_wait
        return {
            "secoda_conn_id": self.secoda_conn_id,
            "resource_id": self.resource_id,
            "since": since,
            "since_from": "`since`" if self.since is not None else "when the run was due",
            "since_version_id": self.since_version_id,
            "match": self.match,
            "wait_for_resource": self.wait_for_resource,
            "poke_interval": self.poke_interval,
            "exponential_backoff": bool(self.exponential_backoff),
            "max_wait": max_wait.total_seconds() if isinstance(max_wait, timedelta) else max_wait,
            "max_consecutive_failures": None if self.silent_fail else self.max_consecutive_failures,
        }

    def _start_trigger_args(self) -> Any:
        """Return Airflow's ``StartTriggerArgs``; None if the task has to start on a worker.

        Airflow can start a task in the triggerer since 3.3. It renders templates there, but does not resolve results of
        other tasks.
        """
        since = self.since.isoformat() if isinstance(self.since, datetime) else self.since
        wait = self._wait_arguments(RUN_DUE_AT if since is None else since)
        needs_worker = not self.deferrable or not self.timeout or bool(self.outlets)
        if needs_worker or not starts_from_trigger() or any(is_computed(value) for value in wait.values()):
            return None
        from airflow.triggers.base import StartTriggerArgs  # noqa: PLC0415 - DAG files are parsed often

        return StartTriggerArgs(
            trigger_cls="airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger",
            # An XCom that the triggerer pushes is pulled as a JSON string (Airflow 3.3.2), so a worker does it.
            trigger_kwargs={**wait, "end_task": not self.do_xcom_push},
            next_method="execute_complete",
            timeout=self._deferral_timeout(),
        )


def _now() -> datetime:
    return datetime.now(timezone.utc)
