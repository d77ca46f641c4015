"""The operator that verifies files of audit logs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_secoda.links.secoda import SecodaReportLink, push_link
from airflow_provider_secoda.operators._output_path import may_have_console
from airflow_provider_secoda.operators._verification.arguments import check_arguments
from airflow_provider_secoda.retries import DEFAULT_POLICY, retry_policy_kwargs, unwrap_errors_for_retry_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_secoda._compat import RetryPolicy
    from airflow_provider_secoda.verify import Result


class SecodaVerifyOperator(BaseOperator):
    """Verify files that :class:`.SecodaAuditLogsOperator` has written, and fail if something is wrong with them.

    The task checks the same as ``python -m airflow_provider_secoda.verify``: each file against its manifest, the
    windows for gaps and overlaps, ids against each other and, if requested, signatures and the API.
    :mod:`airflow_provider_secoda.verify` lists the kinds of findings. Memory does not grow with the number of records.

    The task returns a summary: ``status`` (``ok`` or ``failed``), ``start`` and ``end`` (of the span, or None),
    ``files``, ``records``, ``findings`` and ``notes`` (numbers), ``counts`` (the number of findings and notes of each
    kind), ``first_findings`` (the first 20, each with ``path``, ``kind`` and ``text``), ``supplements`` (paths of the
    files that were written), ``report``, ``report_sha256``, ``report_json_sha256`` (by which the next report names this
    one), ``signature`` and ``signing_key``. If the task fails for its findings, the summary is the XCom ``summary``,
    and the report has been written before.

    :param path: files, folders or URLs, one or a list; the files are found at any depth (templated)
    :param start: start of the span that the windows must cover: an aware datetime or an ISO 8601 string; requires
        ``end``. Windows outside of the span are not checked (templated)
    :param end: end of the span, exclusive (templated)
    :param last: instead of both: check the last N periods of the DAG's schedule, of which the last one is the window
        of the run (see :func:`airflow_provider_secoda.windows.resolve_window`). The span may begin before the first
        window. With None of all three, everything at ``path`` is checked
    :param against_source: whether to read the windows again from the API, and to compare
    :param secoda_conn_id: the Airflow connection for that; None: the one that each manifest names (templated)
    :param public_keys: paths of PEM files, or PEM: each manifest must be signed by one of these keys; None: signatures
        are not checked (templated)
    :param on_finding: ``fail`` fails the task, ``warn`` logs the findings. ``supplement`` writes logs that the API
        shows now and the files lack to supplements, as ``on_change="supplement"`` of :class:`.SecodaAuditLogsOperator`
        does, and fails the task for all other findings; it requires ``against_source``
    :param report_path: path or URL of a report, such as ``…/reports/{sequence}.html``; the same as JSON is written next
        to it. ``{sequence}`` is replaced by the number of the report, ``{start:%Y-%m-%d}`` and ``{end:…}`` by the edges
        of the span, or of the window of the run if there is no span. A report is never overwritten, so a task that is
        cleared fails without ``{sequence}`` (templated)
    :param signing_conn_id: the Airflow connection with the private key that signs report and supplements (templated)
    :param signer: instead of it: the dotted path of a function that returns a
        :class:`airflow_provider_secoda.signing.Signer`
    :param max_findings: how many findings of each kind are listed per file and series; all are counted
    :param retry_policy: which errors are retried, and when, as of :class:`.SecodaAuditLogsOperator`
    :raises AirflowFailException: there are findings, which a retry cannot fix
    :raises AirflowException: something could not be checked, such as storage or the API that cannot be read
    """

    template_fields: Sequence[str] = (
        "path",
        "start",
        "end",
        "secoda_conn_id",
        "public_keys",
        "report_path",
        "signing_conn_id",
    )
    operator_extra_links: Sequence[SecodaReportLink] = (SecodaReportLink(),)
    ui_color = "#e6e9f7"

    def __init__(
        self,
        *,
        path: str | list[str],
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        last: int | None = None,
        against_source: bool = False,
        secoda_conn_id: str | None = None,
        public_keys: list[str] | None = None,
        on_finding: Literal["fail", "supplement", "warn"] = "fail",
        report_path: str | None = None,
        signing_conn_id: str | None = None,
        signer: str | None = None,
        max_findings: int = 100,
        retry_policy: RetryPolicy | None = DEFAULT_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs, **retry_policy_kwargs(retry_policy))
        self.path = path
        self.start = start
        self.end = end
        self.last = last
        self.against_source = against_source
        self.secoda_conn_id = secoda_conn_id
        self.public_keys = public_keys
        self.on_finding = on_finding
        self.report_path = report_path
        self.signing_conn_id = signing_conn_id
        self.signer = signer
        self.max_findings = max_findings
        self._given = {name: getattr(self, name) for name in self.template_fields}
        if not may_have_console(report_path):
            self.operator_extra_links = ()  # the web UI would show their heading without a link
        # A mapped task is created when it starts. No DAG is parsed then, and `execute` checks the arguments.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            check_arguments(vars(self))
        #: What :meth:`get_openlineage_facets_on_complete` and :meth:`link_url` report.
        self._result: Result | None = None
        self._report: str | None = None

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check what all mapped tasks share, and do what Airflow does."""
        check_arguments(kwargs)
        return super().partial(**kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify, write the report, and fail if there are findings."""
        from airflow_provider_secoda.operators._verification.task import prepare  # noqa: PLC0415 - DAG files are parsed often

        self._result = self._report = None
        with unwrap_errors_for_retry_policy(self):
            task = prepare(self, context or {})
            self._result = task.verify()
            self._report = task.write_report(self._result)
            push_link(SecodaReportLink(), self.link_url(), context or {})
            return task.finish(self._result)

    def link_url(self) -> str | None:
        """Return the address of a web page that shows the report; None if there is no such page."""
        from airflow_provider_secoda._storage.target import resolve_target  # noqa: PLC0415 - DAG files are parsed often

        return None if self._report is None else resolve_target(self._report).console_url()

    def get_openlineage_facets_on_complete(self, ti: Any) -> OperatorLineage[Any, Any] | None:
        """Return the files as inputs, with what was found in each; OpenLineage also calls this for a failed task.

        Findings of a series, such as gaps, are those of ``path``.
        """
        del ti
        if self._result is None:
            return None
        from airflow_provider_secoda._lineage.tasks import lineage_of_verification  # noqa: PLC0415
        from airflow_provider_secoda.operators._verification.task import kinds_by_path  # noqa: PLC0415

        return lineage_of_verification(kinds_by_path(self._result))
