"""
Read a resource's version histories: all of them, whatever order the pages come in.

The order of the entries is not documented and neither is what ``count`` counts, so completeness is shown by
reading: the first and the last page, read again after the others, must be what they were.
"""

from __future__ import annotations

from functools import partial

from airflow_provider_secoda.client.errors import SecodaError, SecodaIncompleteError
from airflow_provider_secoda.client.messages import Call, Flow, Request, once, several
from airflow_provider_secoda.client.schema import VersionPage, read_resource_logs

RESOURCE_LOGS_PATH = "/api/v1/activity_log/resource_logs/"
MAX_READS = 6


def resource_logs_call(resource_id: str, number: int) -> Call:
    """Return the call that reads one page of a resource's logs."""
    params = (("resource_id", resource_id), ("page", str(number)))
    return Call(Request(RESOURCE_LOGS_PATH, params), partial(read_resource_logs, number=number))


def read_version_histories(resource_id: str) -> Flow[list[bytes]]:
    """
    Return every version history that the API shows for a resource, each once, as sent, in the order shown.

    :raises SecodaIncompleteError: when the pages never hold still
    """
    first: VersionPage = yield from once(resource_logs_call(resource_id, 1))
    found: dict[str, bytes] = {}
    for _ in range(MAX_READS):
        pages = [first]
        if first.total_pages > 1:
            calls = [resource_logs_call(resource_id, number) for number in range(2, first.total_pages + 1)]
            pages += yield from several(calls)
        for page in pages:
            if isinstance(page, SecodaError):
                raise page
            for id_, raw in page.versions:
                found[id_] = raw
        if len(pages) == 1:
            return list(found.values())
        ends = [resource_logs_call(resource_id, number) for number in (1, pages[-1].number)]
        again, last = yield from several(ends)
        for page in (again, last):
            if isinstance(page, SecodaError):
                raise page
        if (again.versions, last.versions, again.total_pages) == (
            first.versions,
            pages[-1].versions,
            first.total_pages,
        ):
            return list(found.values())
        first = again
    raise SecodaIncompleteError(f"the logs of resource {resource_id} never held still in {MAX_READS} reads")
