"""What one writes first: requests, newest first from page 1 until a log is older than the window."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

PATH = "/api/v1/activity_log/audit_logs/"
NEWEST_FIRST = json.dumps({"field": "logged_at", "order": "desc"})


def make(job: dict[str, Any]) -> Callable[[datetime, datetime, Path], None]:
    """Return the loop; it keeps one connection open."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {job['sandbox']['api_key']}"
    url = job["sandbox"]["url"] + PATH

    def read(start: datetime, end: datetime, output: Path) -> None:
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = session.get(url, params={"sort": NEWEST_FIRST, "page": page}, timeout=60)
            answer.raise_for_status()
            body = answer.json()
            found += within(body["results"], start, end)
            if reaches(body["results"], start) or page >= body["total_pages"]:
                break
            page += 1
        write(found, output)

    return read


def logged_at(log: dict[str, Any]) -> datetime:
    """Return when a log happened."""
    return datetime.fromisoformat(log["logged_at"].replace("Z", "+00:00"))


def within(logs: Iterable[dict[str, Any]], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the logs of the window."""
    return [log for log in logs if start <= logged_at(log) < end]


def reaches(logs: list[dict[str, Any]], start: datetime) -> bool:
    """Return whether a page goes back beyond the window: the rule by which every rival stops."""
    return not logs or logged_at(logs[-1]) < start


def write(logs: Iterable[dict[str, Any]], output: Path) -> None:
    """Write one log a line."""
    with output.open("w") as file:
        for log in logs:
            file.write(json.dumps(log, ensure_ascii=False) + "\n")
