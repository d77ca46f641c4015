"""Resolve a path or URL to a local file or an object.

Everything that touches files goes through here: the operator, which writes, and ``verify``, which reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from airflow_provider_secoda._storage.targets.local import LocalTarget
from airflow_provider_secoda._storage.targets.objects import ObjectTarget

StorageTarget: TypeAlias = LocalTarget | ObjectTarget

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What to install for a scheme of Airflow's object storage.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "abfss": "apache-airflow-providers-microsoft-azure",
    "adl": "apache-airflow-providers-microsoft-azure",
}


def resolve_target(path: str) -> StorageTarget:
    """Return the target of a path or URL, to write a file or to read it, without accessing the storage.

    :param path: a path, or a URL that Airflow's object storage takes (``file:///…``, ``s3://conn_id@bucket/key``)
    :raises ValueError: it is not the name of a file, contains a control character, or a segment ``..``: parts of a path
        may come from templated data, which must not decide in which directory a file is written
    """
    if ".." in re.split(r"[/\\]", path):
        raise ValueError(f"{path!r} contains `..`, which is not allowed here; write the path without it.")
    target = resolve_prefix(path)
    if target.local_path is None and not target.identity[1].endswith("/" + path.rpartition("/")[2]):
        raise ValueError(f"{path!r} is the URL of a bucket, not of a file; add the name of a file to it.")
    return target


def resolve_prefix(path: str) -> StorageTarget:
    """Return the target of a path or URL that a person typed: of a file, directory, bucket or beginning of keys.

    Here ``..`` is allowed: it is not templated data. A local path is not passed to Airflow's ``ObjectStoragePath``,
    which in some versions resolves a relative path against the root and truncates a name at ``#`` or ``?``.

    :param path: as in :func:`resolve_target`
    :raises ValueError: it contains a control character, or is a ``file:`` URL with a host
    """
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} contains a control character.")
    scheme = _SCHEME.match(path)
    if scheme is None:
        return LocalTarget(path, Path(path))
    if scheme[1].lower() in {"file", "local"}:
        local = path[scheme.end() :].removeprefix("//")
        if not local.startswith("/"):
            raise ValueError(f"{path!r} contains a host, but only files of this machine are supported: file:///path.")
        return LocalTarget(path, Path(local))
    # Imported only here: local files do not need Airflow.
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415

    try:
        found = ObjectStoragePath(path)
        store = found.fs
    except (ImportError, ValueError) as exc:
        package = _PACKAGES.get(scheme[1].lower(), "of Airflow that supports its scheme")
        raise ModuleNotFoundError(f"{path!r} needs the package {package}: install it. ({exc!s:.200})") from exc
    return ObjectTarget(path, store, found.path.rstrip("/"))
