"""File, manifest, signature: written in this order, and never a signature of another manifest."""

from __future__ import annotations

import json

import pytest

from airflow_provider_secoda._storage.manifest import ManifestBuilder, manifest_path, signature_path
from airflow_provider_secoda._storage.targets.local import LocalTarget
from airflow_provider_secoda._storage.write import write_atomically
from airflow_provider_secoda.signing import (
    BadSignatureError,
    PrivateKeySigner,
    generate_key,
    key_id,
    verify_signature,
)

RECORDS = [(n, f"log-{n}", b'{"id":"log-%d","n":2.50}' % n) for n in range(5)]
SIGNER = PrivateKeySigner.from_pem(generate_key())
NAME = key_id(SIGNER.public_key)


def write(path, records=RECORDS, signer=SIGNER, run=1, **options):
    """Write records with a manifest that names the file's SHA-256, the run and the key; sign it."""
    with ManifestBuilder("jsonl") as builder:

        def manifest(done):
            return builder.manifest({"file": {"sha256": done.sha256}, "run": run, "signing_key": done.signing_key})

        return write_atomically(builder.watch(records), str(path), manifest=manifest, signer=signer, **options)


def is_signed(path):
    """Return whether a manifest has a signature that verifies; raise if it has another one."""
    manifest = path.parent / "_manifests" / f"_{path.name}.manifest"
    signature = manifest.with_name(f"{manifest.name}.sig")
    if not signature.exists():
        return False
    verify_signature({NAME: SIGNER.public_key}, NAME, manifest.read_bytes(), signature.read_bytes())
    return True


def test_a_signature_is_next_to_its_manifest(tmp_path):
    """The result names the signature and its key, and so does the manifest."""
    path = tmp_path / "a.jsonl"
    written = write(path)
    assert written.manifest == manifest_path(str(path))
    assert (written.signature, written.signing_key) == (signature_path(written.manifest), NAME)
    assert json.loads((tmp_path / "_manifests" / "_a.jsonl.manifest").read_text())["signing_key"] == NAME
    assert is_signed(path)


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:2]], ids=["same records", "other records"])
@pytest.mark.parametrize("signer", [SIGNER, None], ids=["signed again", "not signed again"])
def test_a_replaced_manifest_has_a_new_signature_or_none(tmp_path, records, signer):
    """The signature of the old manifest is removed, also if the new one is not signed."""
    path = tmp_path / "a.jsonl"
    write(path)
    write(path, records, signer, run=2)
    assert is_signed(path) == (signer is not None)


@pytest.mark.parametrize("created", [True, False])
def test_the_steps_are_in_an_order_in_which_nothing_else_passes_as_signed(tmp_path, monkeypatch, created):
    """Between any two changes of the folder there is no signature, except that of the manifest and file next to it."""
    path, seen = tmp_path / "a.jsonl", []
    if not created:
        write(path)

    def watched(name):
        method = getattr(LocalTarget, name)

        def step(target, *arguments, **options):
            method(target, *arguments, **options)
            seen.append(f"{name} {target.local_path.suffix}")
            if is_signed(path):
                described = json.loads((tmp_path / "_manifests" / "_a.jsonl.manifest").read_text())
                assert described["run"] == 2

        monkeypatch.setattr(LocalTarget, name, step)

    for name in ("put", "create", "remove"):
        watched(name)
    write(path, RECORDS[:2], run=2, check=lambda: not created)
    if created:
        assert seen == ["create .jsonl", "create .manifest", "put .sig"]
    else:
        assert seen == ["remove .sig", "remove .manifest", "put .jsonl", "create .manifest", "put .sig"]


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:2]], ids=["same records", "other records"])
def test_an_error_leaves_the_old_file_signed(tmp_path, monkeypatch, records):
    """If the new file cannot be written, the old manifest and its signature are put back."""
    path = tmp_path / "a.jsonl"
    write(path)
    put = LocalTarget.put

    def refuse(target, source, **options):
        if target.local_path == path:
            raise PermissionError("denied")
        put(target, source, **options)

    monkeypatch.setattr(LocalTarget, "put", refuse)
    before = {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")}
    with pytest.raises(PermissionError):
        write(path, records, run=2)
    assert {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")} == before
    assert is_signed(path)


@pytest.mark.parametrize("suffix", [".sig", ".manifest"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interruption_leaves_the_old_file_signed(tmp_path, monkeypatch, suffix, when):
    """An exception just before or after a signature or manifest is discarded, such as a timeout, puts both back."""
    path = tmp_path / "a.jsonl"
    write(path)
    discard = LocalTarget.discard

    def interrupted(target):
        if target.local_path.suffix != suffix or when == "after":
            discard(target)
        if target.local_path.suffix == suffix:
            raise TimeoutError

    monkeypatch.setattr(LocalTarget, "discard", interrupted)
    before = {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")}
    with pytest.raises(TimeoutError):
        write(path, RECORDS[:2], run=2)
    assert {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")} == before
    assert is_signed(path)


def test_a_signer_that_fails_leaves_everything_as_it_was(tmp_path):
    """The manifest is signed before anything is replaced, and the signature is verified."""
    path = tmp_path / "a.jsonl"
    write(path)
    before = {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")}

    class Wrong:
        public_key = SIGNER.public_key

        def sign(self, data):
            return b"\0" * 64

    with pytest.raises(BadSignatureError):
        write(path, RECORDS[:2], Wrong())
    assert {entry: entry.read_bytes() for entry in tmp_path.rglob("*.*")} == before


def test_a_signer_of_a_service_gets_bytes(tmp_path):
    """A signer that a user wrote gets the manifest as bytes, and its signature is written."""

    class Service:
        public_key = SIGNER.public_key

        def sign(self, data):
            assert type(data) is bytes
            return SIGNER.sign(data)

    write(tmp_path / "a.jsonl", signer=Service())
    assert is_signed(tmp_path / "a.jsonl")
