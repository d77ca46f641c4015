"""The name that OpenLineage gives to a file, from its path or URL."""

from __future__ import annotations

import os
import re

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
#: Other schemes of a store, and the one that OpenLineage uses.
_STORES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def file_names(path: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a file, as Airflow's own asset converters do.

    An Airflow connection in a URL is not part of the name: it only says how the file is accessed.
    """
    url = _URL.match(path)
    if url is None:
        return "file", os.path.abspath(path)  # noqa: PTH100 - pathlib would keep dots or follow links
    scheme, rest = url[1].lower(), path[url.end() :]
    if scheme in {"file", "local"}:
        return "file", os.path.normpath("/" + rest.lstrip("/"))
    bucket, _, key = rest.removeprefix("/").partition("/")
    return f"{_STORES.get(scheme, scheme)}://{bucket.rpartition('@')[2]}", key.lstrip("/")
