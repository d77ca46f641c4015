"""Sign manifests, and verify their signatures: Ed25519, or ECDSA on the curve P-256 with SHA-256.

A signature is detached: a file with nothing but the signature of another file's bytes, 64 bytes for Ed25519 and DER for
ECDSA, as ``openssl`` reads them. A key is named by its id, the SHA-256 of the public key in DER (SubjectPublicKeyInfo).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BadSignatureError",
    "KeyFormatError",
    "PrivateKeySigner",
    "Signer",
    "UnknownKeyError",
    "generate_key",
    "key_id",
    "load_public_keys",
    "sign",
    "sign_file",
    "verify_signature",
]

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LINE_CHARACTERS = 64
_KINDS = "use an Ed25519 key, or an ECDSA key on the curve P-256"


class KeyFormatError(ValueError):
    """A key cannot be used: it is malformed, encrypted, or of another kind."""


class UnknownKeyError(Exception):
    """A signature is by a key that is not one of the public keys that were passed."""


class BadSignatureError(Exception):
    """A signature is not the one of these bytes by this key."""


@runtime_checkable
class Signer(Protocol):
    """What signs: a private key, or a client of a key management service that never returns its key."""

    @property
    def public_key(self) -> bytes:
        """The public key as PEM (``BEGIN PUBLIC KEY``)."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature of some bytes: 64 bytes for Ed25519, DER for ECDSA with SHA-256."""


class PrivateKeySigner:
    """Signs with a private key in memory."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self._public_key = _public_pem(key.public_key())

    @classmethod
    def from_pem(cls, pem: str | bytes) -> PrivateKeySigner:
        r"""Read a private key.

        :param pem: the key as PEM, not encrypted. Line breaks may be missing or written as ``\n``, as in an environment
            variable
        :raises KeyFormatError: it is not such a key; the message has nothing of the text
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - takes long to import
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        blocks = _pem_blocks(pem)
        block = next((block for label, block in blocks if label.endswith("PRIVATE KEY")), None)
        if block is None:
            found = f"a {blocks[0][0]} is not a private key" if blocks else "the text is not PEM"
            raise KeyFormatError(f"{found}: it must contain a block that begins with -----BEGIN PRIVATE KEY-----")
        if "ENCRYPTED" in block:
            raise KeyFormatError(
                "the private key is encrypted: decrypt it with `openssl pkey -in key.pem`; the secrets backend or the "
                "Fernet key of Airflow protects it"
            )
        try:
            return cls(_require_kind(load_pem_private_key(block.encode(), None)))
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            problem = str(exc) if isinstance(exc, KeyFormatError) else f"the private key cannot be read; {_KINDS}"
        raise KeyFormatError(problem)  # outside of the handler: an error of the library may contain the text

    @property
    def public_key(self) -> bytes:
        """The public key as PEM."""
        return self._public_key

    def sign(self, data: bytes | mmap.mmap, /) -> bytes:
        """Return the signature of some bytes."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(memoryview(data), ec.ECDSA(hashes.SHA256()))
        signature: bytes = self._key.sign(memoryview(data))
        return signature

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {key_id(self._public_key)}>"


def generate_key(kind: Literal["ed25519", "p256"] = "ed25519") -> bytes:
    """Return a new private key as PEM (PKCS #8)."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    key: Any = ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else ed25519.Ed25519PrivateKey.generate()
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def key_id(public_key: str | bytes) -> str:
    """Return the id of a public key: the SHA-256 of its DER, as hexadecimal digits.

    :param public_key: as PEM
    :raises KeyFormatError: it is not a public key of a kind that is used
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    der = _read_public(public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def load_public_keys(keys: Iterable[str | os.PathLike[str]]) -> dict[str, bytes]:
    """Read public keys, and return each as PEM by its id.

    :param keys: paths of PEM files, or PEM; each may contain several keys
    :raises KeyFormatError: one cannot be read, contains no public key, or something else; the message names the path
    """
    found: dict[str, bytes] = {}
    for key in keys:
        is_pem = isinstance(key, str) and "-----BEGIN " in key
        name = "public key" if is_pem else f"public key {os.fspath(key)!r}"
        try:
            blocks = _pem_blocks(str(key) if is_pem else Path(key).read_bytes())
            if not blocks:
                raise KeyFormatError("it is not PEM; it must begin with -----BEGIN PUBLIC KEY-----")  # noqa: TRY301
            for _, block in blocks:
                pem = _public_pem(_read_public(block))
                found[key_id(pem)] = pem
        except KeyFormatError as exc:
            raise KeyFormatError(f"{name}: {exc}") from None
        except OSError as exc:
            raise KeyFormatError(f"{name} cannot be read: {exc.strerror}") from exc
    return found


def sign(signer: Signer, data: bytes | mmap.mmap) -> bytes:
    """Return the signature of some bytes, after verifying it with the public key of the signer.

    :raises BadSignatureError: the signer returned something else
    :raises KeyFormatError: its public key is not one of a kind that is used
    """
    name = key_id(signer.public_key)
    signature = signer.sign(data) if isinstance(signer, PrivateKeySigner) else signer.sign(bytes(data))
    try:
        verify_signature({name: signer.public_key}, name, data, signature)
    except BadSignatureError:
        raise BadSignatureError(
            f"signer {type(signer).__name__} returned a signature that its public key {name} does not verify: it must "
            "be 64 bytes of Ed25519, or DER of ECDSA with SHA-256, over the bytes that were passed"
        ) from None
    return signature


def sign_file(signer: Signer, path: str | os.PathLike[str]) -> bytes:
    """Return the signature of a non-empty file, as :func:`sign` does; a private key does not copy it to memory.

    :param path: on this machine
    """
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sign(signer, data)


def verify_signature(
    public_keys: Mapping[str, str | bytes], signing_key: str | None, data: bytes | mmap.mmap, signature: bytes
) -> None:
    """Verify the signature of some bytes.

    :param public_keys: as :func:`load_public_keys` returns them
    :param signing_key: id of the key, as what was signed names it
    :raises UnknownKeyError: the id is not one of these keys
    :raises BadSignatureError: the signature is not the one of these bytes by this key
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    if signing_key is None or signing_key not in public_keys:
        raise UnknownKeyError(f"key {signing_key!r:.80} is not one of the {len(public_keys)} public keys")
    key = _read_public(public_keys[signing_key])
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, memoryview(data), ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, memoryview(data))
    except (InvalidSignature, TypeError, ValueError):
        raise BadSignatureError(f"the signature is not one of these bytes by key {signing_key}") from None


def _pem_blocks(pem: str | bytes) -> list[tuple[str, str]]:
    """Return label and text of the blocks of PEM, with the line breaks that a setting on one line has lost."""
    text = pem.decode("utf-8", "replace") if isinstance(pem, bytes) else pem
    blocks = []
    for match in _BLOCK.finditer(text.replace("\\r", "").replace("\\n", "\n")):
        label, body = match.groups()
        if ":" in body:  # headers, which only an encrypted key has
            label = f"ENCRYPTED {label}"
        body = "".join(body.split())
        lines = [body[at : at + _LINE_CHARACTERS] for at in range(0, len(body), _LINE_CHARACTERS)]
        blocks.append((label, "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])))
    return blocks


def _read_public(pem: str | bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    blocks = _pem_blocks(pem)
    if len(blocks) != 1 or blocks[0][0] != "PUBLIC KEY":
        labels = ", ".join(label for label, _ in blocks) or "something else"
        hint = "; write its public half with `openssl pkey -in key.pem -pubout`" if "PRIVATE" in labels else ""
        raise KeyFormatError(f"it must be PEM with a PUBLIC KEY, not {labels}{hint}")
    try:
        return _require_kind(load_pem_public_key(blocks[0][1].encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        problem = str(exc) if isinstance(exc, KeyFormatError) else f"the public key cannot be read; {_KINDS}"
    raise KeyFormatError(problem)


def _require_kind(key: Any) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415

    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return key
        kind = f"on the curve {key.curve.name}"
    else:
        kind = f"a {type(key).__name__.strip('_')}"
    raise KeyFormatError(f"the key is {kind}; {_KINDS}")


def _public_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem
