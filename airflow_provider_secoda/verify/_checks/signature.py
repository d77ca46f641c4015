"""Check the signature of a manifest or report against public keys."""

from __future__ import annotations

import mmap
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_secoda.signing import BadSignatureError, UnknownKeyError, verify_signature
from airflow_provider_secoda.verify._files import read_signature
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_secoda._storage.target import StorageTarget
    from airflow_provider_secoda.verify._result import Findings

#: No signature is longer; a longer file is read so far.
_MAX_SIGNATURE_BYTES = 256
#: A longer manifest is kept in a temporary file while it is checked.
_MAX_MEMORY_BYTES = 4 << 20


def manifest_copy() -> IO[bytes]:
    """Return a file for the bytes of a manifest, for :func:`check_signature`."""
    return tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES, prefix="verify-")


def check_signature(
    manifest: StorageTarget,
    content: IO[bytes],
    size: int,
    signing_key: Any,
    public_keys: Mapping[str, bytes],
    findings: Findings,
    noun: str = "manifest",
) -> str | None:
    """Return the id of the key whose signature a manifest has; otherwise add a finding and return None.

    :param content: the bytes that were read from the manifest, and ``size`` their number
    :param signing_key: the id of the key, as the manifest has it; any JSON value, for it may have been altered
    :param noun: what it is, for the findings
    :raises UnreadableError: the signature cannot be read
    """
    signature = read_signature(manifest, _MAX_SIGNATURE_BYTES)
    if not signature:  # an empty one was discarded, where the storage does not permit to delete
        findings.add("unsigned", f"the {noun} has no signature")
        return None
    if signing_key is None:
        findings.add("bad_signature", f"there is a signature, but the {noun} does not name its key")
        return None
    name = signing_key if isinstance(signing_key, str) else repr(signing_key)
    try:
        with _bytes(content, size) as data:
            verify_signature(public_keys, name, data, signature)
    except UnknownKeyError:
        text = f"the {noun} names the key {escape(name)}, which is not one of the public keys that were passed"
        findings.add("unknown_key", text)
        return None
    except BadSignatureError:
        text = f"the signature is not one of this {noun} by key {escape(name)}: one of the two was altered"
        findings.add("bad_signature", text)
        return None
    return name


@contextmanager
def _bytes(content: IO[bytes], size: int) -> Iterator[bytes | mmap.mmap]:
    content.seek(0)
    if size <= _MAX_MEMORY_BYTES:
        yield content.read()
        return
    content.flush()
    with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data
