"""Search for a secret, and for parts of it, in all files and tables that a run wrote."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The shortest part that is found, in characters.
PART = 8


class Search:
    """Find a secret or a part of it (8 characters) in bytes, plain or in any common encoding of text.

    :param secret: at least 16 characters
    """

    def __init__(self, secret: str) -> None:
        #: Name of an encoding -> (the encoded secret, the length in bytes of a part).
        self.spellings: dict[str, tuple[bytes, int]] = {}
        escaped = json.dumps(secret)[1:-1]
        for name, text in {
            "plain": secret,
            "reversed": secret[::-1],
            "url": quote(secret, safe=""),
            "url twice": quote(quote(secret, safe=""), safe=""),
            "url in lower case": quote(secret, safe="")
            .replace("%2F", "%2f")
            .replace("%2B", "%2b")
            .replace("%3D", "%3d"),
            "json": escaped.replace("/", "\\/"),
            "json in json": json.dumps(escaped)[1:-1].replace("/", "\\\\/"),
            "json by number": "".join(char if char.isalnum() else f"\\u{ord(char):04x}" for char in secret),
            "html": secret.replace("&", "&amp;").replace("=", "&#61;").replace("+", "&#43;").replace("/", "&#47;"),
            "repr": repr(secret)[1:-1],
        }.items():
            self.spellings[name] = text.encode(), PART
        self.spellings["utf-16"] = secret.encode("utf-16-le"), 2 * PART
        self.spellings["hex"] = secret.encode().hex().encode(), 2 * PART
        self.spellings["HEX"] = secret.encode().hex().upper().encode(), 2 * PART
        for shift in range(3):  # its offset within the groups of three bytes
            for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                text = encode(b"\0" * shift + secret.encode())
                self.spellings[f"{name} {shift}"] = text[4:-4], 12

    def find(self, data: bytes) -> list[str]:
        """Return the names of the encodings in which data contains the secret or a part of it."""
        return [name for name, (text, size) in self.spellings.items() if _has_part(data, text, size)]


def _has_part(data: bytes, text: bytes, size: int) -> bool:
    """Return whether data contains any `size` consecutive bytes of `text`.

    Each such part contains at least one complete step of half that size, so only the steps are searched for.
    """
    step = (size + 1) // 2
    for at in range(0, len(text) - step + 1, step):
        found = data.find(text[at : at + step])
        while found >= 0:
            for start in range(max(0, at + step - size), min(at, len(text) - size) + 1):
                begin = found - (at - start)
                if begin >= 0 and data[begin : begin + size] == text[start : start + size]:
                    return True
            found = data.find(text[at : at + step], found + 1)
    return False


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of all files of a folder, also decompressed, and their names."""
    for path in sorted(folder.rglob("*")):
        yield f"name of {path.name}", str(path).encode(errors="surrogateescape")
        if not path.is_file() or path.suffix == ".pyc":
            continue
        data = path.read_bytes()
        yield str(path.relative_to(folder)), data
        if data.startswith(b"\x1f\x8b"):
            yield f"{path.name}, unpacked", gzip.decompress(data)


def cells(database: Path, fernet_key: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield every cell of an SQLite database as ``table.column``: as stored, and decompressed or decrypted if possible.

    :param fernet_key: of Airflow, which also encrypts the arguments of triggers
    """
    from cryptography.fernet import Fernet, InvalidToken

    fernet = Fernet(fernet_key) if fernet_key else None
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        connection.text_factory = bytes
        tables = [row[0].decode() for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    data = value if isinstance(value, bytes) else str(value).encode()
                    yield f"{table}.{name}", data
                    try:
                        yield f"{table}.{name}, unpacked", zlib.decompress(data)
                    except zlib.error:
                        pass
                    token = data.strip(b'"')
                    if fernet and token.startswith(b"gAAAA"):
                        try:
                            yield f"{table}.{name}, decrypted", fernet.decrypt(token)
                        except InvalidToken:
                            pass
