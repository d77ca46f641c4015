"""What OpenLineage calls a file, of the path or URL that people wrote."""

from __future__ import annotations

import os
import re

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
#: Names of the same store, and the one that OpenLineage knows it by.
_STORES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def file_names(path: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a file, by OpenLineage's naming and as Airflow's asset converters do.

    An Airflow connection in a URL is how somebody came to the file, and no part of its name.
    """
    url = _URL.match(path)
    if url is None:
        return "file", os.path.abspath(path)  # noqa: PTH100 - pathlib would keep dots or follow links
    scheme, rest = url[1].lower(), path[url.end() :]
    if scheme in {"file", "local"}:
        return "file", os.path.normpath("/" + rest.lstrip("/"))
    place, _, key = rest.removeprefix("/").partition("/")
    return f"{_STORES.get(scheme, scheme)}://{place.rpartition('@')[2]}", key.lstrip("/")
