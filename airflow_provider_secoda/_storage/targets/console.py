"""Find the page of a cloud's web console that shows an object."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

_AWS = re.compile(r"s3(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com")


def console_url(store: Any, path: str) -> str | None:
    """Return the address of the page of the cloud's console that shows an object; None if there is no such page.

    Stores that only implement the protocol of a cloud (MinIO, an emulator, a private endpoint) have another console or
    none, so the host that the store connects to decides. Airflow's own links use the same addresses
    (``apache-airflow-providers-amazon``, ``links/emr.py``; ``apache-airflow-providers-google``, ``links/storage.py``).

    :param store: an fsspec file system
    :param path: bucket and key, as the store writes them
    """
    bucket, _, key = path.partition("/")
    protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    if "s3" in protocols:
        # Only the store's client knows the endpoint that arguments, environment and configuration files result in.
        endpoint = getattr(getattr(getattr(store, "_s3", None), "meta", None), "endpoint_url", None)
        found = _AWS.fullmatch(urlsplit(endpoint or "").hostname or "")
        if found:
            region = f"region={found[1]}&" if found[1] else ""
            return f"https://console.aws.amazon.com/s3/object/{quote(bucket)}?{region}prefix={quote(key, safe='')}"
    if "gs" in protocols and str(getattr(store, "base", "")).startswith("https://storage.googleapis.com/"):
        return f"https://console.cloud.google.com/storage/browser/_details/{quote(bucket)}/{quote(key)}"
    return None
