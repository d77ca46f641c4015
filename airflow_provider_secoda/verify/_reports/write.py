"""Write the report of a check, and name the report before it."""

from __future__ import annotations

import errno
import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.manifest import signature_path
from airflow_provider_secoda._storage.target import resolve_prefix, resolve_target
from airflow_provider_secoda.signing import key_id, sign_file
from airflow_provider_secoda.verify._files import unreadable
from airflow_provider_secoda.verify._reports.changes import changes_since
from airflow_provider_secoda.verify._reports.document import Context, Previous, document
from airflow_provider_secoda.verify._reports.page import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.signing import Signer
    from airflow_provider_secoda.verify._result import Result

_SUFFIX = ".html"
#: Is replaced by the number of the report in the name of a file.
_PLACEHOLDER = "{sequence}"
_HEAD = re.compile(rb'\{\s*"report_version": \d{1,9},\s*"sequence": (\d{1,9}),')
_HEAD_BYTES = 200
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 20
_EXISTS = "A report with this name exists, and reports are never overwritten. Use another name"


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written; SHA-256 in hexadecimal digits.

    :ivar path: path or URL of the HTML file
    :ivar json_path: of the JSON file
    :ivar sha256: of the HTML file
    :ivar json_sha256: of the JSON file
    :ivar sequence: its number, from 1
    :ivar previous_sha256: of the JSON file of the report before; None: this is the first
    :ivar signature: path or URL of the signature of the JSON file; None: it is not signed
    :ivar signing_key: id of the key of the signature
    """

    path: str
    json_path: str
    sha256: str
    json_sha256: str
    sequence: int
    previous_sha256: str | None
    signature: str | None = None
    signing_key: str | None = None


def check_report_path(path: str) -> None:
    """Check that a report can be written to a path or URL, before a long check begins; parameter as below.

    :raises ValueError: it is not the name of an HTML file
    :raises FileExistsError: there is a report
    """
    folder, _, name = path.rpartition("/")
    if not name.endswith(_SUFFIX) or name == _SUFFIX:
        raise ValueError(f"report {path!r} must end in .html; the JSON file gets the same name with .json")
    if _PLACEHOLDER in folder:
        raise ValueError(
            f"report {path!r} may have {_PLACEHOLDER} in the name of the file only, not in that of a folder"
        )
    if _PLACEHOLDER not in name:
        _require_none(_names(path, 0))
    else:
        resolve_target(path)


def write_report(result: Result, path: str, *, command: str, signer: Signer | None = None) -> WrittenReport:
    """Write the report of a check: an HTML file, the same as JSON, and the signature of the JSON file.

    The JSON file names the SHA-256 of the JSON file of the report before: the one in the same folder with the highest
    number (``sequence``), and of several with the same number the one whose name sorts first. A report is never
    overwritten. If several are written to a folder at the same time, ``{sequence}`` in their names makes them wait for
    each other: only one can create the JSON file of a number, and the others get the next number. With other names
    they can get the same number, which ``--chain`` reports as ``forked``.

    The JSON file is written first, then the HTML file, then the signature.

    :param result: gets ``changes``, the findings of what was removed or replaced since the report before
    :param path: path or URL of the HTML file; ``{sequence}`` in its name is replaced by the number, six digits
    :param command: repeats the check, as in a shell; is in the report
    :param signer: None: the report is not signed
    :raises ValueError: the path does not end in ``.html``
    :raises FileExistsError: there is a report with this name
    :raises OSError: a report cannot be written
    :raises UnreadableError: the folder cannot be listed, or a report in it cannot be read
    """
    check_report_path(path)
    folder = path.removesuffix(path.rpartition("/")[2])
    attempts = _ATTEMPTS if _PLACEHOLDER in path else 1
    while True:
        attempts -= 1
        with unreadable():
            previous = find_last(folder)
        sequence = 1 if previous is None else previous.sequence + 1
        result.changes = None if previous is None else changes_since(previous, folder + previous.name, result)
        names = _names(path, sequence)
        html_name, json_name, signature_name = (name.rpartition("/")[2] for name in names)
        context = Context(
            sequence,
            previous,
            html_name,
            json_name,
            signature_name,
            None if signer is None else key_id(signer.public_key),
            result.public_keys,
            command,
        )
        try:
            return _write(result, context, names, signer)
        except FileExistsError:
            if not attempts:
                raise


def find_last(folder: str) -> Previous | None:
    """Return the report with the highest number in a folder, of several the one whose name sorts first.

    :raises OSError: the folder cannot be listed, or a report cannot be read
    """
    numbers = sorted(report_numbers(folder), key=lambda each: (-each[1], each[0]))
    if not numbers:
        return None
    name, sequence, target = numbers[0]
    with target.open() as file:
        return Previous(name, sequence, _digest(iter(lambda: file.read(_CHUNK_BYTES), b"")))


def report_numbers(folder: str) -> Iterator[tuple[str, int, StorageTarget]]:
    """Yield the name of each JSON file in a folder that begins like a report, its number, and its target.

    :param folder: need not exist
    :raises OSError: it cannot be listed, or a file cannot be read
    """
    folder = folder.rstrip("/") or ("/" if folder else ".")
    target = resolve_prefix(folder)
    if target.local_path is not None and not target.local_path.is_dir():
        return
    for file in target.files():
        parent, _, name = file.name.rpartition("/")
        if parent == folder.rstrip("/") and name.endswith(".json"):
            with file.open() as opened:
                match = _HEAD.match(opened.read(_HEAD_BYTES))
            if match is not None:
                yield name, int(match[1]), file


def _names(path: str, sequence: int) -> tuple[str, str, str]:
    """Return paths or URLs of the HTML file, the JSON file and its signature."""
    html = path.replace(_PLACEHOLDER, f"{sequence:06}")
    document_path = f"{html.removesuffix(_SUFFIX)}.json"
    return html, document_path, signature_path(document_path)


def _require_none(names: Iterable[str]) -> None:
    for name in names:
        if resolve_target(name).exists():
            raise FileExistsError(
                errno.EEXIST,
                "A report with this name exists, and reports are never overwritten. Use another name",
                name,
            )


def _write(result: Result, context: Context, names: tuple[str, str, str], signer: Signer | None) -> WrittenReport:
    _require_none(names)
    html, json_, signature = map(resolve_target, names)
    with tempfile.TemporaryDirectory(prefix="secoda-") as directory:
        html_file, json_file, signature_file = (Path(directory, name) for name in ("html", "json", "sig"))
        sha256 = _write_local(html_file, page(result, context))
        json_sha256 = _write_local(json_file, document(result, context, sha256))
        if signer is not None:
            signature_file.write_bytes(sign_file(signer, json_file))
        _create(json_, json_file)
        _create(html, html_file)
        if signer is not None:
            _create(signature, signature_file)
    return WrittenReport(
        names[0],
        names[1],
        sha256,
        json_sha256,
        context.sequence,
        None if context.previous is None else context.previous.sha256,
        None if signer is None else names[2],
        context.signing_key,
    )


def _create(target: StorageTarget, file: Path) -> None:
    try:
        target.create(file)
    except FileExistsError:
        raise
    except OSError as exc:  # it names the argument of an operator
        text = str(exc.strerror or exc).replace("`output_path` ", "")
        raise (type(exc)(text) if exc.errno is None else OSError(exc.errno, text)) from exc


def _write_local(path: Path, pieces: Iterable[str]) -> str:
    with path.open("wb") as file:
        return _digest(piece for text in pieces if file.write(piece := text.encode()))


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
