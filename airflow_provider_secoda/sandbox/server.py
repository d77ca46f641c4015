"""The sandbox itself: a real HTTP server on loopback, in a thread of this process."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_secoda.sandbox.faults import Faults
from airflow_provider_secoda.sandbox.workspace import Workspace

try:
    from airflow_provider_secoda.sandbox.app import build
    from airflow_provider_secoda.sandbox.loopback import Server, is_loopback, listen
    from airflow_provider_secoda.sandbox.stage import Stage
except ImportError as error:
    raise ImportError(
        f"the sandbox needs {error.name}: install airflow-provider-secoda[sandbox]", name=error.name
    ) from error

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from airflow_provider_secoda.sandbox.traffic import RequestRecord

API_KEY = "sandbox-key-not-a-secret-0000"
_START_SECONDS = 10.0


class Sandbox:
    """A server shaped like Secoda's API, for as long as the ``with`` block lasts.

    :param workspace: what it serves; default: a generated one with 5,000 logs of the last 90 days.
    :param api_key: the admin's key.
    :param member_key: a second key, whose owner is no admin: 403 on audit logs.
    :param host: a loopback address; others are refused, since the control API asks for no key.
    :param port: 0 takes a free one.
    :param page_size: logs a page.
    :param faults: what goes wrong; can be changed while serving.
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
            raise ValueError(f"the sandbox serves on loopback only, not on {host}")
        if page_size < 1:
            raise ValueError(f"page_size must be at least 1, not {page_size}")
        self._stage = Stage(
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
        """Listen, and return when requests are answered.

        :raises OSError: the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is running already")
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        server = self._server = Server(build(self._stage))
        self._thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])),
            name=f"secoda-sandbox-{self._port}",
            daemon=True,
        )
        self._thread.start()
        if not server.ready.wait(_START_SECONDS):
            raise RuntimeError(f"the sandbox did not start in {_START_SECONDS:g} s")

    def stop(self) -> None:
        """Close all connections and wait for the server's thread to end."""
        if self._thread is not None and self._server is not None:
            self._server.stop()
            self._thread.join()
        self._thread = self._server = None

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:41234``; no slash at the end."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The admin's key."""
        return self._stage.api_key

    @property
    def member_key(self) -> str | None:
        """The key whose owner is no admin."""
        return self._stage.member_key

    @property
    def page_size(self) -> int:
        """Logs a page."""
        return self._stage.page_size

    @property
    def workspace(self) -> Workspace:
        """What is served; assign another one to serve that from the next request on."""
        return self._stage.workspace

    @workspace.setter
    def workspace(self, workspace: Workspace) -> None:
        self._stage.workspace = workspace

    @property
    def faults(self) -> Faults:
        """What goes wrong; set its switches, or assign another one."""
        return self._stage.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._stage.use(faults)

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests since the start or the last reset, as they arrived; not those of the control API.

        It is the list itself: it grows while you look, and clearing it begins a new count.
        """
        return self._stage.traffic.requests

    @property
    def stats(self) -> dict[str, Any]:
        """The counts: ``requests``, ``by_path`` (path to status to number), ``peak_in_flight``."""
        return self._stage.traffic.stats()

    def reset(self) -> None:
        """Forget all requests and turn every fault off; the workspace stays."""
        self._stage.traffic.reset()
        self._stage.use(Faults())

    @property
    def connection_json(self) -> str:
        """The Airflow connection as JSON: a value for ``AIRFLOW_CONN_SECODA_DEFAULT``."""
        return json.dumps({"conn_type": "secoda", "host": self.url, "password": self.api_key})

    @property
    def connection_uri(self) -> str:
        """The Airflow connection as a URI: a value for ``AIRFLOW_CONN_SECODA_DEFAULT``."""
        return f"secoda://:{quote(self.api_key, safe='')}@{quote(self.url, safe='')}"
