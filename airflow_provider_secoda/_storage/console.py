"""Where people look at a file of an object store in their browser: the cloud's own console, or nowhere."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

_AWS = re.compile(r"s3(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com")


def console_url(store: Any, path: str) -> str | None:
    """Return the address of the page on which the cloud's console shows an object, or None where there is no such page.

    Stores that only speak a cloud's protocol (MinIO, an emulator, a private endpoint) have another console or none, so
    what counts is the host that the store has really spoken to. Addresses as Airflow's own links have them
    (``apache-airflow-providers-amazon``, ``links/emr.py``; ``apache-airflow-providers-google``, ``links/storage.py``).

    :param store: an fsspec file system
    :param path: bucket and key, as the store names them
    """
    bucket, _, key = path.partition("/")
    spoken = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    if "s3" in spoken:
        # The store's own client alone knows what became of arguments, environment and configuration files.
        endpoint = getattr(getattr(getattr(store, "_s3", None), "meta", None), "endpoint_url", None)
        found = _AWS.fullmatch(urlsplit(endpoint or "").hostname or "")
        if found:
            region = f"region={found[1]}&" if found[1] else ""
            return f"https://console.aws.amazon.com/s3/object/{quote(bucket)}?{region}prefix={quote(key, safe='')}"
    if "gs" in spoken and str(getattr(store, "base", "")).startswith("https://storage.googleapis.com/"):
        return f"https://console.cloud.google.com/storage/browser/_details/{quote(bucket)}/{quote(key)}"
    return None
