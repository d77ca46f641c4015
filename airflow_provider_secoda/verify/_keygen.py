"""Make a pair of keys: ``python -m airflow_provider_secoda.verify keygen KEY.PEM``."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = 2
_NEXT = """\
private key  {private}, readable by you only: store it in an Airflow connection, then delete the file
public key   {public}: give it to those who verify
key id       {name}

Create the connection, in your secrets backend or with
  airflow connections add {conn_id} --conn-type secoda_signing_key --conn-password "$(cat {private})"
sign with
  SecodaAuditLogsOperator(..., signing_conn_id="{conn_id}")
and verify with
  python -m airflow_provider_secoda.verify PATH --public-key {public}
"""


def keygen(arguments: Sequence[str]) -> int:
    """Write a new private key and its public key, print what to do with them, and return the exit status."""
    options = _parser().parse_args(arguments)
    private = Path(options.path)
    public = private.with_name(f"{private.name.removesuffix('.pem')}.pub.pem")
    pem = generate_key(options.kind)
    signer = PrivateKeySigner.from_pem(pem)
    written: list[Path] = []
    try:
        for path, mode, content in ((private, 0o600, pem), (public, 0o644, signer.public_key)):
            _create(path, mode, content)
            written.append(path)
    except OSError as exc:
        for path in written:
            with suppress(OSError):
                path.unlink()
        sys.stderr.write(f"keygen: cannot write {exc.filename}: {exc.strerror}; nothing is overwritten\n")
        return _FAILED
    conn_id = "".join(character if character.isalnum() else "_" for character in private.name.removesuffix(".pem"))
    sys.stdout.write(_NEXT.format(private=private, public=public, name=key_id(signer.public_key), conn_id=conn_id))
    return 0


def _create(path: Path, mode: int, content: bytes) -> None:
    """Write a new file with these permissions.

    :raises OSError: it exists, or it cannot be written
    """
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_secoda.verify keygen",
        description="Make a private key that signs manifests, and its public key KEY.pub.pem that verifies them.",
    )
    parser.add_argument("path", metavar="KEY.PEM", help="the file of the private key; it must not exist")
    parser.add_argument(
        "--kind",
        choices=("ed25519", "p256"),
        default="ed25519",
        help="Ed25519, or ECDSA on the curve P-256 (default %(default)s)",
    )
    return parser
