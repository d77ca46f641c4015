"""The floor: the window's pages and no others, known by number beforehand, their bodies thrown away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import requests
from readers.requests_loop import NEWEST_FIRST, PATH
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


def make(job: dict[str, Any]) -> Callable[[datetime, datetime, Path], None]:
    """Return a function that reads the job's ``pages``, ``concurrency`` at once, over kept connections."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=job["concurrency"]))
    session.headers["Authorization"] = f"Bearer {job['sandbox']['api_key']}"
    url = job["sandbox"]["url"] + PATH
    pool = ThreadPoolExecutor(job["concurrency"])

    def get(page: int) -> None:
        session.get(url, params={"sort": NEWEST_FIRST, "page": page}, timeout=60).raise_for_status()

    def read(_start: datetime, _end: datetime, _output: Path) -> None:
        for _ in pool.map(get, job["pages"]):
            pass

    return read
