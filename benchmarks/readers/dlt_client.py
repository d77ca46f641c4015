"""dlt's REST client with its page-number paginator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from readers.requests_loop import NEWEST_FIRST, PATH, reaches, within, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


def make(job: dict[str, Any]) -> Callable[[datetime, datetime, Path], None]:
    """Return a loop over the client's pages; the client keeps its connections open."""
    client = RESTClient(job["sandbox"]["url"], auth=BearerTokenAuth(job["sandbox"]["api_key"]), data_selector="results")

    def read(start: datetime, end: datetime, output: Path) -> None:
        found: list[dict[str, Any]] = []
        paginator = PageNumberPaginator(base_page=1, total_path="total_pages")
        for page in client.paginate(PATH, params={"sort": NEWEST_FIRST}, paginator=paginator):
            found += within(page, start, end)
            if reaches(page, start):
                break
        write(found, output)

    return read
