"""An S3 on loopback, its buckets as another client sees them, and the Airflow connection to it."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    #: A request as WSGI passes it; the status and code of the refusal, or None if the request is allowed.
    Refuses = Callable[[Mapping[str, Any]], tuple[str, str] | None]

KNOWN = {"aws_access_key_id": "someone-known", "aws_secret_access_key": "s3cr3t-of-the-store"}
SECRETS = tuple(KNOWN.values())
_REGION = "us-east-1"


@dataclass(frozen=True)
class Bucket:
    """A bucket, read by a client other than the provider's.

    :ivar url: its URL with the connection ``s3_local``
    :ivar client: the bucket of boto3
    """

    url: str
    client: Any

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects in it, in order."""
        return [entry.key for entry in self.client.objects.filter(Prefix=prefix)]

    def read(self, key: str) -> bytes:
        """Return the content of an object."""
        return self.client.Object(key).get()["Body"].read()

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        self.client.put_object(Key=key, Body=content)

    def unfinished(self) -> list[Any]:
        """Return the uploads that were started and neither finished nor cancelled."""
        return list(self.client.multipart_uploads.all())


@dataclass
class Server:
    """The server, which runs until the process ends.

    :ivar url: where it listens
    :ivar refuses: decides about each request
    :ivar requests: the requests while :meth:`refusing` was used: method and path, also of those that were refused
    """

    url: str = ""
    refuses: Refuses | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.url.rpartition(":")[2])

    def connection(self, url: str | None = None, known: Mapping[str, str] = KNOWN) -> str:
        """Return an Airflow connection to the server, or to a given URL, as JSON."""
        login = {"login": known["aws_access_key_id"], "password": known["aws_secret_access_key"]}
        return json.dumps(
            {"conn_type": "aws", **login, "extra": {"endpoint_url": url or self.url, "region_name": _REGION}}
        )

    @contextmanager
    def refusing(self, refuses: Refuses) -> Iterator[list[tuple[str, str]]]:
        """Refuse requests while the context is open; its value is the list of the requests."""
        self.refuses, self.requests = refuses, []
        try:
            yield self.requests
        finally:
            self.refuses = None

    def answer(self, application: Any, environ: Any, start_response: Any) -> Any:
        """Answer a request, as WSGI does: refuse it, or pass it to the application."""
        if self.refuses is not None:
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            if refused := self.refuses(environ):
                status, code = refused
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(status, [("Content-Type", "application/xml")])
                body = f"<Error><Code>{code}</Code><Message>{code} by the test</Message></Error>".encode()
                return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        return application(environ, start_response)

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        import boto3

        return boto3.client(service, endpoint_url=self.url, region_name=_REGION, **KNOWN)

    def bucket(self, name: str) -> Bucket:
        """Return a bucket; create it if it does not exist."""
        import boto3

        found = boto3.resource("s3", endpoint_url=self.url, region_name=_REGION, **KNOWN)
        return Bucket(f"s3://s3_local@{name}", found.create_bucket(Bucket=name))


@cache
def serve() -> Server:
    """Start the server, once per process; skip the test if a required package is not installed."""
    for name in ("boto3", "s3fs"):
        pytest.importorskip(name, reason="needs apache-airflow-providers-amazon[s3fs]")
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a server's log lines are not its client's
    server, application = Server(), moto.DomainDispatcherApplication(moto.create_backend_app)

    def answer(environ: Any, start_response: Any) -> Any:
        return server.answer(application, environ, start_response)

    handler = getattr(moto, "MotoRequestHandler", None)  # moto for Airflow 2.11 has none of its own
    listening = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{listening.server_port}"
    return server


# --- what servers refuse -------------------------------------------------------------------------------------------


def no_delete(environ: Mapping[str, Any]) -> tuple[str, str] | None:
    """Refuse to delete objects, as for a role without that permission."""
    return ("403 Forbidden", "AccessDenied") if environ["REQUEST_METHOD"] == "DELETE" else None


def write_once(environ: Mapping[str, Any]) -> tuple[str, str] | None:
    """Refuse to delete, and to write without the condition that the object is new, as the policy of a bucket can."""
    method, query = environ["REQUEST_METHOD"], environ["QUERY_STRING"]
    is_write = (method == "PUT" and "partNumber" not in query) or (method == "POST" and "uploadId" in query)
    is_object = "/" in environ["PATH_INFO"].strip("/")
    if is_write and is_object and environ.get("HTTP_IF_NONE_MATCH") != "*":
        return "403 Forbidden", "AccessDenied"
    return no_delete(environ)


def no_unknown_checksums(environ: Mapping[str, Any]) -> tuple[str, str] | None:
    """Refuse the checksums that clients of AWS send by default, as older stores with S3's protocol do."""
    names = [name for name in environ if name.startswith(("HTTP_X_AMZ_CHECKSUM_", "HTTP_X_AMZ_SDK_CHECKSUM"))]
    names = [name for name in names if name != "HTTP_X_AMZ_CHECKSUM_MODE"]
    return ("400 Bad Request", "InvalidArgument") if names or "HTTP_X_AMZ_TRAILER" in environ else None


def checksum_required(environ: Mapping[str, Any]) -> tuple[str, str] | None:
    """Refuse objects and parts without a checksum, as S3 does for a bucket with Object Lock and a retention period."""
    is_body = environ["REQUEST_METHOD"] == "PUT" and "/" in environ["PATH_INFO"].strip("/")
    known = "HTTP_CONTENT_MD5" in environ or any(name.startswith("HTTP_X_AMZ_CHECKSUM_") for name in environ)
    return ("400 Bad Request", "InvalidRequest") if is_body and not known else None


def connected(patch: pytest.MonkeyPatch) -> Server:
    """Return the server, and set the Airflow connection that the URLs of its buckets contain."""
    patch.setenv("AIRFLOW_CONN_S3_LOCAL", serve().connection())
    return serve()
