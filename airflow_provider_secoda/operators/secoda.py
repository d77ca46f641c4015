"""The operator: the audit logs of a run's window, in a file, each once."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_secoda._lineage.operator import AuditLogsLineage
from airflow_provider_secoda._windows.resolve import Window, WindowError, resolve_window
from airflow_provider_secoda.links.secoda import SecodaOutputLink, push_link
from airflow_provider_secoda.operators._window_read import WindowRead
from airflow_provider_secoda.retries import DEFAULT_POLICY, retry_policy_kwargs, unwrap_errors_for_retry_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda._compat import RetryPolicy
    from airflow_provider_secoda.hooks.secoda import SecodaHook

#: A wait that is longer than this is handed to the triggerer.
_SHORT_WAIT = timedelta(seconds=5)
#: How long after the moment a deferred task may wait for a triggerer before it fails.
_TRIGGER_GRACE = timedelta(minutes=10)
_PLACEHOLDER = re.compile(r"\{(start|end)(?::([^{}]*))?\}")


class SecodaAuditLogsOperator(AuditLogsLineage, BaseOperator):
    """Fetch the workspace's audit logs of the run's window: every one that the API shows, each once, or fail.

    Which window: ``start`` and ``end``; else the run's data interval; else, where Airflow gives an empty one or none,
    the last full period of the DAG's schedule (see :func:`~.window.resolve_window`). The window is half-open,
    ``[start, end)``, and read no earlier than ``end + settle``.

    With ``output_path`` the logs are written to a file, in ascending order of (timestamp, id), each as the bytes that
    the API sent, and a summary is returned: ``path``, ``format``, ``count``, ``start``, ``end``, ``window_rule``,
    ``timestamp_field``, ``first`` and ``last`` (timestamps of the first and the last log, or None), ``pages``,
    ``requests``, ``repeats_dropped``, ``bytes``, ``sha256``, ``max_lag_seconds`` (largest ``created_at - logged_at``,
    or None), ``history_from`` (oldest log that the API shows, or None). Without, the list of logs is returned.

    :param secoda_conn_id: the Airflow connection (templated)
    :param start: beginning of the window, an aware datetime or ISO 8601 text; goes with ``end`` (templated)
    :param end: end of the window, exclusive (templated)
    :param filter: only logs that match: a mapping or JSON text of Secoda's filter grammar (templated)
    :param timestamp_field: which timestamp places a log in the window: ``logged_at`` or ``created_at``
    :param output_path: path or URL of the file, with the format as its suffix: ``.jsonl``, ``.ndjson``,
        ``.jsonl.gz``, ``.ndjson.gz``, ``.parquet``; ``{start:%Y-%m-%d}`` and ``{end:…}`` in it stand for the window's
        edges in UTC (templated)
    :param settle: how long after the end of the window late logs are waited for
    :param concurrency: how many pages are read at once
    :param skip_if_empty: skip the task, and write nothing, when the window holds no log
    :param require_history: fail when the oldest log that the API shows is younger than ``start``
    :param xcom_limit_bytes: without ``output_path``, the most that may be returned
    :param write_manifest: whether to write ``<file>.manifest.json`` beside the file, last of all, which says what the
        file holds and where it came from: ``python -m airflow_provider_secoda.verify`` checks one against the other
    :param deferrable: whether a long wait for ``settle`` is handed to the triggerer; it needs one that runs
    :param retry_policy: which errors are retried, and when (Airflow 3.3 and later; ignored before); None: what no retry
        mends is not, everything else as the DAG says
    """

    template_fields: Sequence[str] = ("secoda_conn_id", "start", "end", "filter", "output_path")
    template_fields_renderers: ClassVar[dict[str, str]] = {"filter": "json"}
    operator_extra_links = (SecodaOutputLink(),)
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
        settle: timedelta = timedelta(minutes=1),
        concurrency: int = 4,
        skip_if_empty: bool = False,
        require_history: bool = False,
        xcom_limit_bytes: int = 1_000_000,
        write_manifest: bool = True,
        deferrable: bool = True,
        retry_policy: RetryPolicy | None = DEFAULT_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs, **retry_policy_kwargs(retry_policy))
        if timestamp_field not in ("logged_at", "created_at"):
            raise ValueError(f"`timestamp_field` must be logged_at or created_at, not {timestamp_field!r}")
        if concurrency < 1:
            raise ValueError(f"`concurrency` must be at least 1, not {concurrency}")
        if settle < timedelta(0):
            raise ValueError(f"`settle` must not be negative: {settle}")
        self.secoda_conn_id = secoda_conn_id
        self.start = start
        self.end = end
        self.filter = filter
        self.timestamp_field = timestamp_field
        self.output_path = output_path
        self.settle = settle
        self.concurrency = concurrency
        self.skip_if_empty = skip_if_empty
        self.require_history = require_history
        self.xcom_limit_bytes = xcom_limit_bytes
        self.write_manifest = write_manifest
        self.deferrable = deferrable
        #: Of what was fetched, the summary.
        self._told: dict[str, Any] | None = None
        self._window: Window | None = None
        self._hook: SecodaHook | None = None

    def execute(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        """Wait until the window has settled, and fetch it."""
        with unwrap_errors_for_retry_policy(self):
            return self._wait_and_fetch(context)

    def _wait_and_fetch(self, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        try:
            window = resolve_window(context, start=self.start, end=self.end, timetable=context["dag"].timetable)
        except WindowError as exc:
            raise AirflowFailException(f"Task {self.task_id!r}: {exc}") from exc
        hook = self._ready(window)
        settled = window.end + self.settle
        wait = settled - datetime.now(timezone.utc)
        if self.deferrable and wait > _SHORT_WAIT:
            from airflow_provider_secoda._compat import datetime_trigger  # noqa: PLC0415 - only where it is used

            self.log.info("The window %s settles at %s; the task is deferred until then", window, settled)
            self.defer(
                trigger=datetime_trigger(settled),
                method_name="execute_settled",
                kwargs={
                    "window": {
                        "start": window.start.isoformat(),
                        "end": window.end.isoformat(),
                        "rule": window.rule,
                    }
                },
                timeout=wait + _TRIGGER_GRACE,
            )
        return self._fetch(hook, window, context)

    def execute_settled(
        self, context: Context, event: Any = None, *, window: dict[str, str] | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Fetch the window that was decided on before the task was deferred."""
        del event
        with unwrap_errors_for_retry_policy(self):
            if window is None:
                # ``dag.test()`` loses what was handed over; the window of a run is the same whenever it is decided on.
                return self._wait_and_fetch(context)
            start, end = datetime.fromisoformat(window["start"]), datetime.fromisoformat(window["end"])
            decided = Window(start, end, window["rule"])
            return self._fetch(self._ready(decided), decided, context)

    def _ready(self, window: Window) -> SecodaHook:
        """Check all that can be checked before a wait: connection, filter, format; return the hook."""
        from airflow_provider_secoda._storage.formats import format_of, require_format  # noqa: PLC0415
        from airflow_provider_secoda._storage.target import resolve_target  # noqa: PLC0415
        from airflow_provider_secoda.client.errors import SecodaConfigurationError  # noqa: PLC0415
        from airflow_provider_secoda.client.filters import Filter  # noqa: PLC0415
        from airflow_provider_secoda.hooks.secoda import SecodaHook  # noqa: PLC0415 - DAG files are parsed often

        hook = SecodaHook(self.secoda_conn_id)
        try:
            Filter.parse(self.filter)
            if self.output_path is not None:
                path = _fill_in(self.output_path, window)
                require_format(format_of(path))
                resolve_target(path)
            hook.get_conn()
        except SecodaConfigurationError as exc:
            raise AirflowFailException(str(exc)) from exc
        except (ValueError, ModuleNotFoundError) as exc:
            raise AirflowFailException(f"`output_path`: {exc}") from exc
        self._hook, self._window, self._told = hook, window, None
        return hook

    def _fetch(self, hook: SecodaHook, window: Window, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        wait = (window.end + self.settle - datetime.now(timezone.utc)).total_seconds()
        if wait > 0:
            self.log.info("Waiting %.1f s for the window to settle", wait)
            time.sleep(wait)
        return self._read(WindowRead(hook, self, window), context)

    def _read(self, read: WindowRead, context: Context) -> dict[str, Any] | list[dict[str, Any]]:
        from airflow_provider_secoda.operators._fetch import return_logs, write_file  # noqa: PLC0415
        from airflow_provider_secoda.operators._outlets import add_outlet_event_extra  # noqa: PLC0415

        result: dict[str, Any] | list[dict[str, Any]]
        if self.output_path is None:
            result, self._told = return_logs(read)
        else:
            result = self._told = write_file(read, _fill_in(self.output_path, read.window), context)
        push_link(SecodaOutputLink(), self.link_url(), context)
        add_outlet_event_extra(self.outlets, self._told, context)
        return result

    def link_url(self) -> str | None:
        """Return the address of the file that was written, where people can look at it in their browser."""
        from airflow_provider_secoda._storage.target import resolve_target  # noqa: PLC0415 - DAG files are parsed often

        path = None if self._told is None else self._told.get("path")
        return None if path is None else resolve_target(path).console_url()


def _fill_in(path: str, window: Window) -> str:
    """Replace ``{start}`` and ``{end}``, with or without a format, by the window's edges in UTC."""
    edges = {"start": window.start, "end": window.end}
    return _PLACEHOLDER.sub(lambda found: edges[found[1]].strftime(found[2] or "%Y-%m-%dT%H-%M-%S"), path)
