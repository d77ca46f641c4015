"""Write the report as JSON, which names the report before it and each manifest that it covers; and read it again."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._persisted import REPORT_VERSION
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._report import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda.verify._result import FileResult, Result


@dataclass(frozen=True)
class Previous:
    """The report before this one.

    :ivar name: of its JSON file, which is in the same folder
    :ivar sha256: of its JSON file
    """

    name: str
    sequence: int
    sha256: str


@dataclass(frozen=True)
class Context:
    """What a report says besides the result.

    :ivar html_name: name of the HTML file, like those of the other two files; all are in one folder
    :ivar signing_key: id of the key that signs the report; None: it is not signed
    :ivar public_keys: ids of the keys with which signatures of manifests were checked; None: they were not checked
    :ivar command: repeats the check
    """

    sequence: int
    previous: Previous | None
    html_name: str
    json_name: str
    signature_name: str
    signing_key: str | None
    public_keys: tuple[str, ...] | None
    command: str

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what has checked the files."""
        return {"airflow_provider_secoda": __version__, "python": platform.python_version()}


def document(result: Result, context: Context, html_sha256: str) -> Iterator[str]:
    """Yield the report as JSON, in ASCII, in pieces; each file is on a line of its own.

    The two members by which the next report finds this one are the first.
    """
    members = as_dict(result)
    lists = {"covers": _covers(result), "series": members.pop("series"), "files": members.pop("files")}
    previous = context.previous
    header = {
        "report_version": REPORT_VERSION,
        "sequence": context.sequence,
        "previous": None if previous is None else vars(previous),
        "signing_key": context.signing_key,
        "html": {"name": context.html_name, "sha256": html_sha256},
        "command": context.command,
        "versions": context.versions,
        **members,
        "stores": _stores(result),
    }
    yield json.dumps(header, indent=2).removesuffix("\n}")
    for name, items in lists.items():
        yield f',\n  "{name}": [{"".join(_lines(items))}\n  ]'
    yield "\n}\n"


def _lines(items: Iterable[Any]) -> Iterator[str]:
    comma = ""
    for item in items:
        yield f"{comma}\n    {json.dumps(item)}"
        comma = ","


def _stores(result: Result) -> list[str]:
    return list(dict.fromkeys(store_of(file, result.paths)[0] for file in result.files))


def _covers(result: Result) -> Iterator[dict[str, Any]]:
    """Yield what the report says of each file with a manifest; the path of the file is relative to its store."""
    numbers = {store: number for number, store in enumerate(_stores(result))}
    for file in result.files:
        if file.manifest_sha256 is not None:
            store, path = store_of(file, result.paths)
            start, end = (None, None) if file.window is None else file.window.edges
            digest = file.manifest_sha256
            yield {"store": numbers[store], "path": path, "start": start, "end": end, "manifest_sha256": digest}


def store_of(file: FileResult, paths: Iterable[str]) -> tuple[str, str]:
    """Return the folder that was checked and contains a file, and the path of the file in it."""
    for path in paths:
        folder = path.rstrip("/")
        if file.path.startswith(f"{folder}/"):
            return folder or "/", file.path.removeprefix(f"{folder}/")
    folder, slash, name = file.path.rpartition("/")  # a file was passed, or the beginning of keys
    return folder or slash or ".", name
