"""Read the JSON file of a report, and check it by itself: its layout, its signature, its HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_secoda._persisted import REPORT_VERSION
from airflow_provider_secoda._storage.manifest import load_json
from airflow_provider_secoda._storage.target import resolve_prefix
from airflow_provider_secoda.verify._checks.signature import check_signature, manifest_copy
from airflow_provider_secoda.verify._files import open_digest_reader, unreadable
from airflow_provider_secoda.verify._messages import escape, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.verify._result import Findings

#: A longer file is not read into memory. A file that a report covers takes some 800 bytes of it.
_MAX_BYTES = 256 << 20


class _Previous(msgspec.Struct):
    name: str
    sequence: int
    sha256: str


class _Html(msgspec.Struct):
    name: str
    sha256: str


class Cover(msgspec.Struct):
    """A manifest that a report covers.

    :ivar store: index of the folder in ``stores``
    :ivar path: of the file that the manifest describes, relative to the folder
    :ivar start: of its window, ISO 8601, like ``end``
    """

    store: int
    path: str
    manifest_sha256: str
    start: str | None = None
    end: str | None = None


class ReportMembers(msgspec.Struct):
    """What of a report the check of a chain reads."""

    report_version: int
    sequence: int
    previous: _Previous | None
    signing_key: str | None
    html: _Html
    checked_at: str
    stores: list[str]
    covers: list[Cover]


@dataclass(frozen=True)
class StoredReport:
    """A report as it is stored.

    :ivar sha256: of its JSON file
    :ivar members: what it says; None: it is invalid
    :ivar signing_key: id of the public key that verified its signature; None: no signature was verified
    """

    sha256: str
    members: ReportMembers | None
    signing_key: str | None = None


def read_report(path: str, public_keys: Mapping[str, bytes] | None, findings: Findings) -> StoredReport | None:
    """Read a report; None if there is no file.

    :param path: path or URL of the JSON file
    :param public_keys: one of them must have signed the report; None: the signature is not checked
    :param findings: get what is wrong with the report
    :raises UnreadableError: a file cannot be read
    """
    target = _find(path)
    if target is None:
        return None
    with manifest_copy() as copy:
        with open_digest_reader(target, copy) as reader:
            reader.read_to_end()
        try:
            if reader.size > _MAX_BYTES:
                raise ValueError(f"it is longer than {_MAX_BYTES:,} bytes")  # noqa: TRY301
            copy.seek(0)
            members = _members(copy.read())
        except (ValueError, RecursionError, msgspec.MsgspecError) as exc:
            findings.add("report_invalid", f"the report is invalid: {escape(str(exc), 300)}")
            return StoredReport(reader.sha256, None)
        key = None
        if public_keys is not None:
            key = check_signature(target, copy, reader.size, members.signing_key, public_keys, findings, "report")
    _check_html(path, members.html, findings)
    return StoredReport(reader.sha256, members, key)


def _members(text: bytes) -> ReportMembers:
    loaded = load_json(text)
    version = loaded.get("report_version") if isinstance(loaded, dict) else None
    if version != REPORT_VERSION:
        raise ValueError(f"its version is {version!r:.80}, but only version {REPORT_VERSION} is supported")
    members = msgspec.convert(loaded, ReportMembers)
    previous = members.previous
    if (1 if previous is None else previous.sequence + 1) != members.sequence:
        raise ValueError(f"its number is {members.sequence}, which is not the one after the report before it")
    for name in (members.html.name, *(() if previous is None else (previous.name,))):
        if "/" in name or not name.endswith((".html", ".json")):
            raise ValueError(f"{quote(name)} is not the name of a file of a report")
    for cover in members.covers:
        if not 0 <= cover.store < len(members.stores) or ".." in cover.path.split("/"):
            raise ValueError(f"it covers a file that is in none of its stores, {quote(cover.path)}")
    return members


def _find(path: str) -> StorageTarget | None:
    with unreadable():
        target = resolve_prefix(path)
        return target if target.exists() else None


def _check_html(path: str, html: _Html, findings: Findings) -> None:
    target = _find(path.removesuffix(path.rpartition("/")[2]) + html.name)
    if target is None:
        findings.add("report_altered", f"its HTML file {quote(html.name)} is missing")
        return
    with open_digest_reader(target) as reader:
        reader.read_to_end()
    if reader.sha256 != html.sha256:
        text = f"its HTML file {quote(html.name)} is another one: its sha256 is not the one that the report names"
        findings.add("report_altered", text)
