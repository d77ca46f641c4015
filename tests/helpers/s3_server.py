"""An S3 on loopback, its buckets as another client sees them, and the Airflow connection to it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

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


@dataclass(frozen=True)
class Server:
    """The server, which runs until the process ends.

    :ivar url: where it listens
    """

    url: str

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
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a server's log lines are not its client's
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return Server(f"http://{host}:{port}")


def connected(patch: pytest.MonkeyPatch) -> Server:
    """Return the server, and set the Airflow connection that the URLs of its buckets contain."""
    patch.setenv("AIRFLOW_CONN_S3_LOCAL", serve().connection())
    return serve()
