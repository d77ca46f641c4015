"""Keys are read as people store them, and a signature passes for the same bytes and the same key only."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airflow_provider_secoda import signing

KINDS = ("ed25519", "p256")
DATA = b'{"manifest_version": 1}\n'
OTHER_KEYS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "DSA": lambda: dsa.generate_private_key(1024),
}


def signer_of(kind="ed25519"):
    return signing.PrivateKeySigner.from_pem(signing.generate_key(kind))


def keys_of(*signers):
    return signing.load_public_keys(signer.public_key.decode() for signer in signers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_is_of_these_bytes_by_this_key(kind):
    """A signature passes for its bytes and its key, and for no other bytes, key or signature."""
    signer, other = signer_of(kind), signer_of(kind)
    name, keys = signing.key_id(signer.public_key), keys_of(signer, other)
    signature = signing.sign(signer, DATA)
    assert kind != "ed25519" or len(signature) == 64
    signing.verify_signature(keys, name, DATA, signature)
    for wrong in (
        (name, DATA + b" ", signature),
        (name, DATA, signature + b"\0"),
        (name, DATA, signature[:-1]),
        (name, DATA, b""),
        (name, DATA, signing.sign(other, DATA)),
        (signing.key_id(other.public_key), DATA, signature),
    ):
        with pytest.raises(signing.BadSignatureError):
            signing.verify_signature(keys, *wrong)
    for unknown in (None, "", name.upper(), "0" * 64):
        with pytest.raises(signing.UnknownKeyError):
            signing.verify_signature(keys, unknown, DATA, signature)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_read_as_it_is_stored(kind):
    """Line breaks may be those of Windows, escaped, spaces, or missing; a file may have more around the key."""
    pem = signing.generate_key(kind).decode()
    name = signing.key_id(signing.PrivateKeySigner.from_pem(pem).public_key)
    shapes = [
        pem.encode(),
        pem.replace("\n", "\r\n"),
        pem.replace("\n", "\\n"),
        pem.replace("\n", "\\r\\n"),
        pem.replace("\n", " "),
        pem.replace("\n", ""),
        f"  notes\n\n{pem}\n",
    ]
    assert {signing.key_id(signing.PrivateKeySigner.from_pem(shape).public_key) for shape in shapes} == {name}


def test_a_key_of_openssl_is_read():
    """A key in the format of ``openssl ecparam`` is read: the parameters, then the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    signer = signing.PrivateKeySigner.from_pem(parameters + pem)
    signing.sign(signer, DATA)


@pytest.mark.parametrize("make", OTHER_KEYS.values(), ids=OTHER_KEYS)
def test_another_kind_of_key_is_refused(make):
    """A key of another kind or curve is refused as a private and as a public key; the message says what to use."""
    key = make()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for read in (lambda: signing.PrivateKeySigner.from_pem(private), lambda: signing.load_public_keys([public])):
        with pytest.raises(signing.KeyFormatError, match="use an Ed25519 key, or an ECDSA key on the curve P-256"):
            read()


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("line_break", ["\n", " "])
def test_an_encrypted_key_is_refused(form, line_break):
    """An encrypted private key is refused; the message says how to decrypt it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"pass")).decode()
    with pytest.raises(signing.KeyFormatError, match="is encrypted: decrypt it with `openssl pkey"):
        signing.PrivateKeySigner.from_pem(pem.replace("\n", line_break))


def test_what_is_not_a_key_is_refused_without_its_text():
    """Messages, and the errors they come from, contain nothing of the text that was passed as a private key."""
    pem = signing.generate_key().decode()
    body = pem.splitlines()[1]
    public = signing.PrivateKeySigner.from_pem(pem).public_key.decode()
    for text in ("", body, pem.replace(body, body[:-8]), pem.replace(body, f"!{body[1:]}"), public, pem[:-20]):
        with pytest.raises(signing.KeyFormatError) as caught:
            signing.PrivateKeySigner.from_pem(text)
        assert body[:20] not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert body[:20] not in repr(signing.PrivateKeySigner.from_pem(pem))


def test_public_keys_are_files_or_text(tmp_path):
    """Public keys are read from files, several in one file too, or are passed as PEM."""
    first, second, third = signer_of(), signer_of("p256"), signer_of()
    path = tmp_path / "keys.pem"
    path.write_bytes(first.public_key + second.public_key)
    found = signing.load_public_keys([path, third.public_key.decode()])
    assert found == {signing.key_id(signer.public_key): signer.public_key for signer in (first, second, third)}


def test_a_wrong_public_key_is_named(tmp_path):
    """A private key, or a file without a key, is an error that names the path."""
    path = tmp_path / "key.pem"
    path.write_bytes(signing.generate_key())
    with pytest.raises(signing.KeyFormatError, match=rf"{path}.*not PRIVATE KEY.*-pubout"):
        signing.load_public_keys([path])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(signing.KeyFormatError, match=rf"{path}.*not PEM"):
        signing.load_public_keys([path])
    with pytest.raises(signing.KeyFormatError, match=r"none\.pem' cannot be read: No such file or directory"):
        signing.load_public_keys([tmp_path / "none.pem"])


def test_a_signer_that_signs_something_else_is_an_error():
    """What a signer returns is verified, and an object without a usable public key is an error."""

    class Wrong:
        public_key = signer_of("p256").public_key

        def sign(self, data):
            return hashlib.sha256(data).digest()

    assert isinstance(Wrong(), signing.Signer)
    with pytest.raises(signing.BadSignatureError, match="signer Wrong returned a signature"):
        signing.sign(Wrong(), DATA)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command openssl is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_the_key_id_is_the_digest_of_the_public_key(kind):
    """The id of a key is what ``openssl pkey -pubin -outform DER | sha256sum`` prints."""
    signer = signer_of(kind)
    command = ["openssl", "pkey", "-pubin", "-outform", "DER"]
    der = subprocess.run(command, input=signer.public_key, capture_output=True, check=True).stdout
    assert signing.key_id(signer.public_key) == hashlib.sha256(der).hexdigest()
