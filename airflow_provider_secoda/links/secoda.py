"""Links of a task in Airflow's web UI: to its output file or report, to its resource in Secoda."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_secoda._compat import is_serialized, push_to_web_ui

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SecodaOutputLink", "SecodaReportLink", "SecodaResourceLink"]


class _Link(BaseOperatorLink):
    """Link whose URL the task itself computes, because only the task has the connection.

    The URL is stored as an XCom: by Airflow 3 when the task ends, and by :func:`push_link` as soon as the URL is known,
    for a task that is still waiting and for Airflow 2.
    """

    @property
    def xcom_key(self) -> str:
        """The key of the XCom that contains the URL."""
        return f"_link_{type(self).__name__}"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL, or an empty string: no link is better than a wrong one."""
        if is_serialized(operator, "link_url"):
            url = XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""
            # A web server without the XCom backend of the workers reads the address of a file of that backend.
            return url if url.startswith(("https://", "http://")) else ""
        return operator.link_url() or ""


class SecodaOutputLink(_Link):
    """Link to the output file, in the console of its cloud."""

    name = "Output"


class SecodaReportLink(_Link):
    """Link to the report of a verification, in the console of its cloud."""

    name = "Report"


class SecodaResourceLink(_Link):
    """Link to the resource, in Secoda's web app."""

    name = "Resource in Secoda"


def push_link(link: BaseOperatorLink, url: str | None, context: Mapping[str, Any]) -> None:
    """Store the URL of a link, if there is one, where the web UI reads it before the task ends."""
    instance: Any = context.get("ti")
    if url and hasattr(instance, "xcom_push"):
        push_to_web_ui(instance, link.xcom_key, url)
