"""The operators that read the audit logs of a run's window, and verify files of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, BaseOperator

from airflow_provider_secoda._arguments import ArgumentError, check_duration, parse_datetime
from airflow_provider_secoda._execution_timeout import (
    apply_execution_deadline,
    execution_deadline,
    execution_timeout_passed,
)
from airflow_provider_secoda.links.secoda import SecodaOutputLink, push_link
from airflow_provider_secoda.operators._arguments import check_arguments
from airflow_provider_secoda.operators._missing_windows import missing_windows
from airflow_provider_secoda.operators._output_path import check_shared_path, may_have_console, warn_of_run_names
from airflow_provider_secoda.operators._verification.operator import SecodaVerifyOperator
from airflow_provider_secoda.retries import DEFAULT_POLICY, retry_policy_kwargs, unwrap_errors_for_retry_policy
from airflow_provider_secoda.windows import Window, WindowError, resolve_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_secoda._compat import RetryPolicy
    from airflow_provider_secoda.operators._read import WindowRead

__all__ = ["SecodaAuditLogsOperator", "SecodaVerifyOperator", "missing_windows"]


class SecodaAuditLogsOperator(BaseOperator):
    """Fetch the audit logs of a run's window: every log that the API returns, exactly once, or fail.

    The window is given by ``start`` and ``end``; otherwise it is the run's data interval; otherwise, where Airflow
    gives the run an empty data interval or none, the last complete period of the DAG's schedule (see
    :func:`airflow_provider_secoda.windows.resolve_window`). It is half-open, ``[start, end)``, and it is read no
    earlier than ``end + settle``.

    With ``output_path`` the logs are written to a file, in ascending order of (timestamp, id), each as the bytes that
    the API sent. The task returns a summary: ``path``, ``format``, ``count``, ``start``, ``end``, ``window_rule``,
    ``timestamp_field``, ``first_timestamp`` and ``last_timestamp`` (of the first and the last log, or None), ``pages``,
    ``requests``, ``duplicates_dropped``, ``max_lag_seconds`` (largest ``created_at - logged_at``, or None),
    ``history_from`` (timestamp of the oldest log that the API returns, or None), ``bytes``, ``sha256``, ``manifest``,
    ``manifest_sha256``, ``signature`` and ``signing_key`` (path of the manifest's signature and id of its key, or None)
    and ``untyped_values`` (of Parquet: how many values are not as they were sent, by field and reason). Without
    ``output_path`` the task returns the list of logs; a log with values that Airflow cannot store lists those that were
    replaced in ``_replaced``.

    :param secoda_conn_id: the Airflow connection (templated)
    :param start: start of the window, inclusive: an aware datetime or an ISO 8601 string; requires ``end`` (templated)
    :param end: end of the window, exclusive (templated)
    :param filter: return only logs that match: a mapping or JSON string in Secoda's filter grammar (templated)
    :param timestamp_field: the timestamp that decides whether a log is in the window: ``logged_at`` or ``created_at``
    :param output_path: path or URL of the file. Its suffix is the format: ``.jsonl``, ``.ndjson``, ``.jsonl.gz``,
        ``.ndjson.gz`` or ``.parquet``. ``{start:%Y-%m-%d}`` and ``{end:…}`` are replaced by the start and the end of
        the window in UTC, ``{start_local:…}`` and ``{end_local:…}`` in the time zone of the schedule (templated)
    :param overwrite: whether to replace a file of another window, filter, timestamp field, connection or host, or one
        without a manifest; otherwise the task fails. A file of the same query is replaced by one that has all its logs,
        with ``overwrite`` or without
    :param on_change: what to do if a window that was written before has logs that its file lacks: ``replace`` the file
        by one that has all logs, or write these logs only to a ``supplement``, a file of its own with its own manifest:
        ``2026-03-01.late-1.jsonl`` next to ``2026-03-01.jsonl``. Then nothing is ever replaced or removed, and the
        summary also has ``paths``, ``written``, ``late_logs``, ``altered_logs`` and ``expired_logs``
    :param settle: how long to wait for late logs after the end of the window: a timedelta, or a number of seconds
    :param concurrency: how many pages to read at the same time
    :param skip_if_empty: skip the task, and write nothing, if the window contains no logs
    :param require_history: fail if the oldest log that the API returns is not older than ``start``
    :param xcom_limit_bytes: without ``output_path``: how many bytes of logs the task may return
    :param write_manifest: whether to write ``_manifests/_<file>.manifest`` after the file. It records what the file
        contains and where the logs came from; ``python -m airflow_provider_secoda.verify`` checks the file against it
    :param signing_conn_id: the Airflow connection whose password is the private key that signs the manifest: Ed25519 or
        ECDSA P-256, as PEM. With None it is the one that the extra ``signing_conn_id`` of the Secoda connection names,
        and without that the manifest is not signed (templated)
    :param signer: instead, for a key that a key management service keeps: the dotted path of a function without
        arguments that returns a :class:`~airflow_provider_secoda.signing.Signer`
    :param deferrable: whether to wait for ``settle`` in the triggerer if the wait is long
    :param retry_policy: which errors are retried, and when (Airflow 3.3 and later; ignored before). With None, errors
        that a retry cannot fix fail the task at once, and all others are retried as the DAG says
    """

    template_fields: Sequence[str] = ("secoda_conn_id", "start", "end", "filter", "output_path", "signing_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"filter": "json"}
    operator_extra_links: Sequence[SecodaOutputLink] = (SecodaOutputLink(),)
    ui_color = "#e6e9f7"

    def __init__(
        self,
        *,
        secoda_conn_id: str = "secoda_default",
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: Literal["logged_at", "created_at"] = "logged_at",
        output_path: str | None = None,
        overwrite: bool = False,
        on_change: Literal["replace", "supplement"] = "replace",
        settle: timedelta | float = timedelta(minutes=1),
        concurrency: int = 4,
        skip_if_empty: bool = False,
        require_history: bool = False,
        xcom_limit_bytes: int = 1_000_000,
        write_manifest: bool = True,
        signing_conn_id: str | None = None,
        signer: str | None = None,
        deferrable: bool = True,
        retry_policy: RetryPolicy | None = DEFAULT_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs, **retry_policy_kwargs(retry_policy))
        self.secoda_conn_id = secoda_conn_id
        self.start = start
        self.end = end
        self.filter = filter
        self.timestamp_field = timestamp_field
        self.output_path = output_path
        self.overwrite = overwrite
        self.on_change = on_change
        self.settle = check_duration("settle", settle, allow_zero=True)
        self.concurrency = concurrency
        self.skip_if_empty = skip_if_empty
        self.require_history = require_history
        self.xcom_limit_bytes = xcom_limit_bytes
        self.write_manifest = write_manifest
        self.signing_conn_id = signing_conn_id
        self.signer = signer
        self.deferrable = deferrable
        #: What to write instead of a path that has the name of the run and not that of the window; None: nothing.
        self.suggested_path = warn_of_run_names(output_path) if start is None and end is None else None
        self._given = {name: getattr(self, name) for name in self.template_fields}
        if not may_have_console(output_path):
            self.operator_extra_links = ()  # the web UI would show their heading without a link
        # A mapped task is created when it starts. No DAG is parsed then, and `prepare` checks the arguments.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            check_arguments(vars(self))
        #: What :meth:`get_openlineage_facets_on_complete` and :meth:`link_url` report.
        self._read: WindowRead | None = None
        self._summary: dict[str, Any] | None = None

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check what all mapped tasks share, and do what Airflow does."""
        check_arguments(kwargs)
        check_shared_path(kwargs.get("output_path"), overwrite=kwargs.get("overwrite", False))
        return super().partial(**kwargs)

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Wait until the window has settled, then write its logs to a file or return them."""
        context = context or {}  # a unit test may pass None
        deadline = execution_deadline(self)
        self._keep_texts()
        with unwrap_errors_for_retry_policy(self):
            return self._fetch(self._resolve_window(context), context, deferrable=self.deferrable, deadline=deadline)

    def execute_settled(
        self, context: Context, event: Any = None, *, window: dict[str, str] | None = None, deadline: str | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Continue after the deferral, with the window that was resolved before it.

        :param window: what :meth:`.Window.as_dict` returned
        :param deadline: ISO 8601; when the execution timeout ends
        :raises AirflowTaskTimeout: the execution timeout has ended
        """
        del event
        apply_execution_deadline(None if deadline is None else parse_datetime("deadline", deadline), self._timed_out())
        self._keep_texts()
        with unwrap_errors_for_retry_policy(self):
            # ``dag.test()`` and ``airflow tasks test`` drop the arguments. If `end` is a template that renders to the
            # present, the window settles later each time, so the task waits in place after one deferral.
            resolved = self._resolve_window(context) if window is None else Window.from_dict(window)
            return self._fetch(resolved, context, deferrable=False)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the deferral; raise ``AirflowTaskTimeout`` if the execution timeout ended it."""
        if next_method == "__fail__" and execution_timeout_passed(self, context):
            raise AirflowTaskTimeout(self._timed_out())
        return super().resume_execution(next_method, next_kwargs, context)

    def _timed_out(self) -> str:
        return f"Task {self.task_id!r} was not done within execution_timeout, {self.execution_timeout}"

    def _fetch(
        self, window: Window, context: Context, *, deferrable: bool, deadline: datetime | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        from airflow_provider_secoda.operators._prepare import prepare  # noqa: PLC0415 - DAG files are parsed often
        from airflow_provider_secoda.operators._settling import wait_until_settled  # noqa: PLC0415

        read, replace, signer = prepare(self, window, context)
        self._read, self._summary = read, None
        wait_until_settled(self, window, deferrable=deferrable, deadline=deadline)
        from airflow_provider_secoda.operators import _fetch  # noqa: PLC0415 - a task that is deferred does not need it

        logs = None
        if replace is None:
            logs, self._summary = _fetch.return_logs(read, limit_bytes=self.xcom_limit_bytes)
        elif self.on_change == "supplement":
            self._summary = _fetch.write_late_logs(read, replace, context, settle=self.settle, signer=signer)
        else:
            self._summary = _fetch.write_file(
                read, replace, context, settle=self.settle, write_manifest=self.write_manifest, signer=signer
            )
        push_link(SecodaOutputLink(), self.link_url(), context)
        _fetch.add_outlet_event_extra(self.outlets, self._summary, context)
        return self._summary if logs is None else logs

    def _keep_texts(self) -> None:
        from airflow_provider_secoda._native_templates import keep_texts  # noqa: PLC0415 - DAG files are parsed often

        try:
            keep_texts(self, self._given)
        except ArgumentError as exc:
            raise AirflowFailException(f"Task {self.task_id!r}: {exc}") from exc

    def _resolve_window(self, context: Context) -> Window:
        try:
            return resolve_window(context, start=self.start, end=self.end)
        except WindowError as exc:
            raise AirflowFailException(f"Task {self.task_id!r}: {exc}") from exc

    def link_url(self) -> str | None:
        """Return the address of a web page that shows the file which was written; None if there is no such page."""
        from airflow_provider_secoda._storage.target import resolve_target  # noqa: PLC0415 - DAG files are parsed often

        if self._summary is None or "path" not in self._summary:
            return None
        return resolve_target(self._summary["path"]).console_url()

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return the audit logs as input. The file has no name yet."""
        from airflow_provider_secoda._lineage.tasks import lineage_on_start  # noqa: PLC0415

        return lineage_on_start(self.secoda_conn_id)

    def get_openlineage_facets_on_complete(self, ti: Any) -> OperatorLineage[Any, Any] | None:
        """Return the audit logs as input and the file as output, with what is known of the run.

        OpenLineage also calls this after the task has failed or was skipped: then there is an input, and no output. If
        the connection could not be used, there is no lineage: reading it again, in the process that OpenLineage forks,
        would fail again at best.
        """
        del ti
        if self._read is None:
            return None
        from airflow_provider_secoda._lineage.tasks import lineage_on_complete  # noqa: PLC0415

        return lineage_on_complete(self._read.hook.settings, self._read.query, self._summary)
