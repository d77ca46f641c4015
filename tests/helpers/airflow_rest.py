"""The REST API of a running Airflow, of version 2 or 3."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx


class Rest:
    """A client of a server on loopback that returns decoded JSON.

    :param old: whether it is an Airflow 2.
    """

    def __init__(self, port: int, *, old: bool) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        self._root = "/api/v1" if old else "/api/v2"
        self._health = "/health" if old else "/monitor/health"
        self._old = old

    def log_in(self) -> None:
        """Get a token, which 3.x issues to everybody here; 2.x needs none."""
        if not self._old:
            token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Return a response of any status; the path begins after the API's version."""
        return self._http.request(method, f"{self._root}/{path}", **request)

    def request_json(self, method: str, path: str, **request: Any) -> Any:
        """Return the content of a response.

        :raises LookupError: on 404.
        :raises AssertionError: on other errors.
        """
        response = self.send(method, path, **request)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise LookupError(f"{method} {path}: {response.text}")
        if response.is_error:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()

    def healthy(self) -> set[str]:
        """Return the names of the healthy components (``scheduler``, ``triggerer``, …); empty while Airflow starts."""
        return {part for part, state in self._parts().items() if state.get("status") == "healthy"}

    def heartbeat(self, part: str) -> datetime | None:
        """Return the time of the latest heartbeat of a component."""
        return moment(self._parts().get(part, {}).get(f"latest_{part}_heartbeat"))

    def _parts(self) -> dict[str, dict[str, Any]]:
        with suppress(httpx.TransportError, ValueError):
            response = self._http.get(f"{self._root}{self._health}")
            return {part: state for part, state in response.json().items() if isinstance(state, dict)}
        return {}


def run_path(dag_id: str, run_id: str) -> str:
    """Return the path of a DAG run."""
    return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def moment(text: str | None) -> datetime | None:
    """Return a time of a response, which may be missing."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))
