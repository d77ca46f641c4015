"""The URL of a file in a cloud's console, or None: real clients of the stores, without requests."""

from __future__ import annotations

import pytest

from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda._storage.targets.console import console_url

PATH = "bucket/secoda/2026-11-22 #1.jsonl"


def s3(**how):
    s3fs = pytest.importorskip("s3fs")
    store = s3fs.S3FileSystem(key="k", secret="s", skip_instance_cache=True, **how)
    store.connect()
    return store


@pytest.mark.parametrize(
    ("region", "query"),
    [("eu-central-1", "region=eu-central-1&"), ("us-gov-west-1", "region=us-gov-west-1&")],
)
def test_a_file_on_s3(region, query):
    """An object in AWS has a page in the console, with its key encoded."""
    store = s3(client_kwargs={"region_name": region})
    assert console_url(store, PATH) == (
        f"https://console.aws.amazon.com/s3/object/bucket?{query}prefix=secoda%2F2026-11-22%20%231.jsonl"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://minio.example.com",
        "http://127.0.0.1:9000",
        "https://s3.amazonaws.com.example.com",
        "https://s3.eu-central-1.wasabisys.com",
        "https://bucket.vpce-1a2b3c-s3.us-east-1.vpce.amazonaws.com",
        "https://s3.cn-north-1.amazonaws.com.cn",
    ],
)
def test_a_compatible_store(endpoint):
    """A store that only uses the protocol of S3 has no page in AWS's console, with any configuration."""
    assert console_url(s3(endpoint_url=endpoint), PATH) is None


def test_a_store_from_the_environment(monkeypatch):
    """The host that the client really uses is decisive, also if it is not an argument."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    assert console_url(s3(), PATH) is None


def test_a_store_without_requests():
    """A client that has sent no requests yet gives no page."""
    s3fs = pytest.importorskip("s3fs")
    assert console_url(s3fs.S3FileSystem(anon=True, skip_instance_cache=True), PATH) is None


def test_a_file_on_gcs():
    """An object in Google's cloud has a page in the console; one in an emulator has none."""
    gcsfs = pytest.importorskip("gcsfs")
    store = gcsfs.GCSFileSystem(token="anon", skip_instance_cache=True)
    assert console_url(store, PATH) == (
        "https://console.cloud.google.com/storage/browser/_details/bucket/secoda/2026-11-22%20%231.jsonl"
    )
    emulator = gcsfs.GCSFileSystem(token="anon", endpoint_url="http://127.0.0.1:1", skip_instance_cache=True)
    assert console_url(emulator, PATH) is None


@pytest.mark.parametrize("path", ["/data/x.jsonl", "x.jsonl", "file:///data/x.jsonl"])
def test_a_local_file(path):
    """A local file has no page, because browsers follow no link from a web page to a local file."""
    assert resolve_target(path).console_url() is None
