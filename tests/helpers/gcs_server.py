"""A Google Cloud Storage on loopback, direct access to its buckets, and the Airflow connection to it.

The objects are stored by the emulator of the package ``gcp-storage-emulator``. A request handler adds what the emulator
lacks: it requires a token, issues one for the key of a service account as Google does, can refuse requests, checks the
condition that an object must be new, and lets clients cancel an upload.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from dataclasses import dataclass
from functools import cache
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = "t0ken-of-the-store"
SECRETS = (_TOKEN, "PRIVATE KEY", "iam.gserviceaccount.com")


@dataclass(frozen=True)
class Bucket:
    """A bucket of the emulator.

    :ivar url: its URL with the connection ``gcs_local``
    :ivar name: its name
    """

    url: str
    name: str
    _storage: Any

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects in it, in order."""
        found, _ = self._storage.get_file_list(self.name, prefix)
        return sorted(entry["name"] for entry in found)

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        return self._storage.get_file(self.name, key)

    def facts(self, key: str) -> dict[str, Any]:
        """Return the metadata of an object."""
        return self._storage.get_file_obj(self.name, key)

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._storage.create_file(self.name, key, content, {"bucket": self.name, "name": key, "size": len(content)})

    def unfinished(self) -> list[Any]:
        """Return the uploads that were started and neither finished nor cancelled."""
        return list(self._storage.resumable)


@dataclass
class Server:
    """The server, which runs until the process ends.

    :ivar url: where it listens
    :ivar refuses: called with the method and path of each request; if it returns true, the response is 403
    """

    storage: Any
    url: str = ""
    refuses: Callable[[str, str], bool] | None = None

    def connection(self) -> str:
        """Return an Airflow connection to the server, with the key of a service account, as JSON."""
        account = {
            "type": "service_account",
            "project_id": "a-project",
            "private_key": _private_key(),
            "client_email": "somebody@a-project.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }
        extra = {"keyfile_dict": json.dumps(account), "project": "a-project", "gcs.endpoint": self.url}
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def bucket(self, name: str) -> Bucket:
        """Return a bucket; create it if it does not exist."""
        from gcp_storage_emulator.handlers.buckets import create_bucket

        create_bucket(name, self.storage)
        return Bucket(f"gs://gcs_local@{name}", name, self.storage)


@cache
def serve() -> Server:
    """Start the server, once per process; skip the test if a required package is not installed."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
    pytest.importorskip("gcsfs", reason="needs gcsfs")
    pytest.importorskip("airflow.providers.google", reason="needs apache-airflow-providers-google")
    from gcp_storage_emulator.storage import Storage

    logging.getLogger("gcp_storage_emulator").setLevel(logging.WARNING)  # a server's log lines are not its client's
    server = Server(Storage(use_memory_fs=True))

    class Handler(emulator.RequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(server.storage, *args)

        def parse_request(self) -> bool:
            return super().parse_request() and self._is_allowed()

        def _is_allowed(self) -> bool:
            if self.path == "/token":
                answer = {"access_token": _TOKEN, "expires_in": 3600, "token_type": "Bearer"}
                return self._answer(200, answer)
            if self.headers.get("Authorization") != f"Bearer {_TOKEN}":
                return self._answer(401, {"error": {"code": 401, "message": "invalid_token"}})
            if status := _refusal(server, self.command, self.path, self.rfile):
                return self._answer(status, {"error": {"code": status, "message": "refused"}})
            if self.command == "DELETE" and self.path.startswith("/upload/"):
                server.storage.resumable.pop(parse_qs(urlsplit(self.path).query)["upload_id"][0])
                return self._answer(499, {})  # how Google reports success
            return True

        def _answer(self, status: int, body: Any) -> bool:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return False

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{listening.server_port}"
    return server


def _refusal(server: Server, method: str, path: str, body: Any) -> int | None:
    """Return the status for a request that is refused: by the test, or because an object exists that must be new."""
    if server.refuses is not None and server.refuses(method, path):
        return 403
    if "ifGenerationMatch=0" not in path or method == "DELETE":
        return None
    target, begin = urlsplit(path), body.peek(2048).decode("latin-1")
    name = parse_qs(target.query).get("name") or re.findall(r'"name": "([^"]*)"', begin)
    return 412 if name[0] in server.storage.objects.get(target.path.split("/")[-2], {}) else None


def connected(patch: pytest.MonkeyPatch) -> Server:
    """Return the server, and set the Airflow connection that the URLs of its buckets contain."""
    patch.setenv("AIRFLOW_CONN_GCS_LOCAL", serve().connection())
    return serve()


@cache
def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*how).decode()
