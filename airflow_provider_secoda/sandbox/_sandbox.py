"""Sandbox: an HTTP server on loopback, in a thread of this process."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_secoda.sandbox._faults import Faults
from airflow_provider_secoda.sandbox._workspace.workspace import Workspace

try:
    from airflow_provider_secoda.sandbox._server.app import make_app
    from airflow_provider_secoda.sandbox._server.state import ServerState
    from airflow_provider_secoda.sandbox._server.uvicorn_server import Server, is_loopback, listen
except ImportError as error:
    raise ImportError(
        f"the sandbox needs {error.name}: install it, or airflow-provider-secoda with its extra `sandbox`",
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_provider_secoda.sandbox._server.request_log import RequestRecord

API_KEY = "sandbox-key-not-a-secret-0000"
_START_SECONDS = 10.0


class Sandbox:
    """Test server with Secoda's API, which runs during a ``with`` block.

    :param workspace: workspace to serve; default: a generated one with 5,000 logs of the last 90 days.
    :param api_key: API key of an admin.
    :param member_key: second API key, of a user who is not an admin: audit logs return 403.
    :param host: a loopback address. Other addresses raise, because the control API needs no key.
    :param port: 0 selects a free port.
    :param page_size: logs per page.
    :param faults: faults to begin with; they can be changed while the sandbox runs.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        *,
        api_key: str = API_KEY,
        member_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        page_size: int = 100,
        faults: Faults | None = None,
    ) -> None:
        if not is_loopback(host):
            raise ValueError(f"the sandbox serves on loopback only; {host!r} is not a loopback address")
        if page_size < 1:
            raise ValueError(f"page_size must be at least 1, not {page_size}")
        self._state = ServerState(
            Workspace.generate() if workspace is None else workspace, Faults(), api_key, member_key, page_size
        )
        self.faults = faults or Faults()
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server; return when it accepts requests.

        :raises OSError: the port is in use.
        :raises RuntimeError: the sandbox is running.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is running; call stop() first")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        server = self._server = Server(make_app(self._state))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])),
            name=f"secoda-sandbox-{self._port}",
            daemon=True,
        )
        self._thread.start()
        if not server.ready.wait(_START_SECONDS):
            raise RuntimeError(f"the sandbox did not start in {_START_SECONDS:g} s")

    def stop(self) -> None:
        """Close all connections and wait for the end of the server thread."""
        if self._thread is not None and self._server is not None:
            self._server.stop()
            self._thread.join()
        self._thread = self._server = None

    @property
    def url(self) -> str:
        """The base URL without a slash at the end, for example ``http://127.0.0.1:41234``."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The API key of the admin."""
        return self._state.api_key

    @property
    def member_key(self) -> str | None:
        """The API key of a user who is not an admin."""
        return self._state.member_key

    @property
    def page_size(self) -> int:
        """Logs per page."""
        return self._state.page_size

    @property
    def workspace(self) -> Workspace:
        """The workspace; assign another one to serve it from the next request."""
        return self._state.workspace

    @workspace.setter
    def workspace(self, workspace: Workspace) -> None:
        self._state.workspace = workspace

    @property
    def faults(self) -> Faults:
        """The faults; set their switches, or assign other ones."""
        return self._state.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._state.set_faults(faults)

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests since the start or the last reset, without those of the control API.

        This is the list itself: it grows while requests arrive, and clearing it restarts the count.
        """
        return self._state.request_log.requests

    @property
    def stats(self) -> dict[str, Any]:
        """The numbers: ``requests``, ``by_path`` (path to status to number), ``peak_in_flight``."""
        return self._state.request_log.stats()

    def reset(self) -> None:
        """Clear the requests and turn all faults off; the workspace stays."""
        self._state.request_log.reset()
        self._state.set_faults(Faults())

    @property
    def connection_json(self) -> str:
        """The Airflow connection as JSON: a value for ``AIRFLOW_CONN_SECODA_DEFAULT``."""
        return json.dumps({"conn_type": "secoda", "host": self.url, "password": self.api_key})

    @property
    def connection_uri(self) -> str:
        """The Airflow connection as a URI: a value for ``AIRFLOW_CONN_SECODA_DEFAULT``."""
        return f"secoda://:{quote(self.api_key, safe='')}@{quote(self.url, safe='')}"
