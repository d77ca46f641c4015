"""Airflow's HttpOperator with a pagination function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.http.operators.http import HttpOperator
from readers.requests_loop import NEWEST_FIRST, PATH, reaches, within, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from requests import Response


def make(job: dict[str, Any]) -> Callable[[datetime, datetime, Path], None]:
    """Return a function that builds the operator and executes it, as each run of a DAG does."""
    key = job["sandbox"]["api_key"]

    def read(start: datetime, end: datetime, output: Path) -> None:
        def following(response: Response) -> dict[str, Any] | None:
            body = response.json()
            page = body["meta"]["page"]
            if reaches(body["results"], start) or page >= body["total_pages"]:
                return None
            return {"data": {"page": page + 1}}

        def pick(responses: list[Response]) -> list[dict[str, Any]]:
            return [log for response in responses for log in within(response.json()["results"], start, end)]

        audit_logs = HttpOperator(
            task_id="audit_logs",
            http_conn_id="benchmark_http",
            method="GET",
            endpoint=PATH,
            data={"sort": NEWEST_FIRST, "page": 1},
            headers={"Authorization": f"Bearer {key}"},
            pagination_function=following,
            response_filter=pick,
        )
        write(audit_logs.execute({}), output)

    return read
