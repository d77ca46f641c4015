"""Buttons beside a task in Airflow's web UI: the file that was written, the resource that is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_secoda._compat import lacks

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Link(BaseOperatorLink):
    """A link that the task itself makes, as it alone has the connection.

    It is kept as an XCom: by Airflow 3 when the task ends, and by :func:`push_link` as soon as it is known, for a task
    that is still waiting and for Airflow 2.
    """

    @property
    def xcom_key(self) -> str:
        """The XCom under which the address lies."""
        return f"_link_{type(self).__name__}"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, or nothing: a wrong one is worse."""
        if lacks(operator, "link_url"):
            return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""
        return operator.link_url() or ""


class SecodaOutputLink(_Link):
    """The file that was written, in the console of the cloud that it lies in."""

    name = "Output"


class SecodaResourceLink(_Link):
    """The resource, in Secoda's web app."""

    name = "Resource in Secoda"


def push_link(link: BaseOperatorLink, url: str | None, context: Mapping[str, Any]) -> None:
    """Keep an address where the web UI looks for it, before the task ends."""
    instance: Any = context.get("ti")
    if url and hasattr(instance, "xcom_push"):
        instance.xcom_push(key=link.xcom_key, value=url)
