"""With public keys every manifest must have a signature by one of them; without, nothing changes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._checks import signature
from airflow_provider_secoda.verify._cli import main
from tests.verify.output_files import DAY, UNTIL, manifest_of, write, write_days

ROOT = Path(__file__).parents[2]
SIGNERS = {kind: PrivateKeySigner.from_pem(generate_key(kind)) for kind in ("ed25519", "p256")}
SIGNER, OTHER = SIGNERS.values()
KEY, OTHER_KEY = (signer.public_key.decode() for signer in SIGNERS.values())


def kinds(result):
    """Return the kinds of all findings of files."""
    return [finding.kind for file in result.files for finding in file.findings.listed]


def signature_of(path):
    return manifest_of(path).with_name(f"{manifest_of(path).name}.sig")


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_signed_files(tmp_path, signer):
    """Signed files have no findings, with the key and without it; signatures are not among the other files."""
    write_days(tmp_path, signer=signer)
    name = key_id(signer.public_key)
    result = verify([str(tmp_path)], public_keys=[signer.public_key.decode()])
    assert (result.exit_code, kinds(result), result.other_files, result.public_keys) == (0, [], 0, (name,))
    assert [file.signing_key for file in result.files] == [name] * 3
    unchecked = verify([str(tmp_path)])
    assert (unchecked.exit_code, unchecked.other_files, unchecked.public_keys) == (0, 0, None)
    assert [file.signing_key for file in unchecked.files] == [None] * 3


def test_keys_of_a_rotation(tmp_path):
    """Each manifest may have another key; one whose key was not passed is a finding that names the key."""
    _, second, _ = write_days(tmp_path, signer=SIGNER)
    write(second, UNTIL - 2 * DAY, UNTIL - DAY, signer=OTHER)
    assert verify([str(tmp_path)], public_keys=[KEY, OTHER_KEY]).exit_code == 0
    result = verify([str(tmp_path)], public_keys=[KEY])
    assert [file.findings.counts for file in result.files] == [{}, {"unknown_key": 1}, {}]
    assert key_id(OTHER_KEY) in result.files[1].findings.listed[0].text


def test_a_file_that_is_not_signed(tmp_path):
    """A manifest without a signature is a finding, only if a key is passed."""
    first, *_ = write_days(tmp_path, signer=SIGNER)
    signature_of(first).unlink()
    result = verify([str(tmp_path)], public_keys=[KEY])
    assert [file.findings.counts for file in result.files] == [{"unsigned": 1}, {}, {}]
    assert verify([str(tmp_path)]).exit_code == 0


@pytest.mark.parametrize("size", [1, signature._MAX_MEMORY_BYTES])
def test_a_manifest_of_any_size(tmp_path, monkeypatch, size):
    """The signature is checked in memory, or for a large manifest in a temporary file."""
    monkeypatch.setattr(signature, "_MAX_MEMORY_BYTES", size)
    first, *_ = write_days(tmp_path, signer=SIGNER)
    assert verify([str(tmp_path)], public_keys=[KEY]).exit_code == 0
    manifest = manifest_of(first)
    manifest.write_bytes(manifest.read_bytes().replace(b'"secoda_default"', b'"secoda_other"'))
    assert "bad_signature" in kinds(verify([str(tmp_path)], public_keys=[KEY]))


@pytest.mark.parametrize("broken", ["directory", "manifest of a later version"])
def test_what_cannot_be_read_is_not_signed(tmp_path, broken):
    """A signature that cannot be read is reported as not checked; a manifest of a later version has no known key."""
    first, *_ = write_days(tmp_path, signer=SIGNER)
    if broken == "directory":
        signature_of(first).unlink()
        signature_of(first).mkdir()
        result = verify([str(tmp_path)], public_keys=[KEY])
        assert (result.exit_code, result.files[0].signing_key) == (2, None)
    else:
        manifest_of(first).write_bytes(manifest_of(first).read_bytes().replace(b'version": 1', b'version": 9'))
        assert kinds(verify([str(tmp_path)], public_keys=[KEY])) == ["manifest_invalid", "bad_signature"]


def test_only_a_signature_is_left(tmp_path):
    """A day of which only the signature is left is a finding: file and manifest are missing."""
    first, *_ = write_days(tmp_path, signer=SIGNER)
    first.unlink()
    manifest_of(first).unlink()
    result = verify([str(tmp_path)])
    assert result.files[0].findings.counts == {"manifest_missing": 1, "file_missing": 1}
    assert "only its signature exists" in result.files[0].findings.listed[1].text


@pytest.mark.parametrize("path", ["file", "manifest", "signature"])
def test_a_pair_can_be_named_by_each_of_its_files(tmp_path, path):
    """The path of a file, of its manifest or of its signature is checked as one pair."""
    first, *_ = write_days(tmp_path, signer=SIGNER)
    named = {"file": first, "manifest": manifest_of(first), "signature": signature_of(first)}[path]
    result = verify([str(named)], public_keys=[KEY])
    assert (result.exit_code, [file.path for file in result.files]) == (0, [str(first)])


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    """``--public-key`` can be passed several times; the report names the keys, in text and in JSON."""
    write_days(tmp_path / "logs", signer=OTHER)
    for name, key in (("a.pem", KEY), ("b.pem", OTHER_KEY)):
        (tmp_path / name).write_text(key)
    keys = ["--public-key", str(tmp_path / "a.pem")]
    assert main([str(tmp_path / "logs"), *keys]) == 1
    assert "unknown_key" in capsys.readouterr().out
    keys += ["--public-key", str(tmp_path / "b.pem")]
    assert main([str(tmp_path / "logs"), *keys]) == 0
    assert f"signatures by key {key_id(OTHER_KEY)}" in capsys.readouterr().out
    assert main([str(tmp_path / "logs"), *keys, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["public_keys"] == [key_id(KEY), key_id(OTHER_KEY)]
    assert {file["signing_key"] for file in report["files"]} == {key_id(OTHER_KEY)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (generate_key(), "it must be PEM with a PUBLIC KEY, not PRIVATE KEY"),
        (b"key", "it is not PEM"),
    ],
    ids=["missing", "private", "not PEM"],
)
def test_a_wrong_public_key_is_an_error(tmp_path, capsys, content, message):
    """A file that is not a public key is an error with its path, before anything is checked."""
    write_days(tmp_path, signer=SIGNER)
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    assert main([str(tmp_path), "--public-key", str(path)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert str(path) in output.err
    assert message in output.err
    with pytest.raises(ValueError, match="must contain at least one key"):
        verify([str(tmp_path)], public_keys=[])


@pytest.mark.parametrize("kind", SIGNERS)
def test_keygen_makes_a_pair(tmp_path, capsys, kind):
    """The keys that ``keygen`` makes sign and verify; only the owner can read the private one, which is not printed."""
    private, public = tmp_path / "audit-key.pem", tmp_path / "audit-key.pub.pem"
    assert main(["keygen", str(private), "--kind", kind]) == 0
    printed = capsys.readouterr().out
    signer = PrivateKeySigner.from_pem(private.read_bytes())
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public.read_bytes() == signer.public_key
    assert key_id(signer.public_key) in printed
    assert "airflow connections add audit_key --conn-type secoda_signing_key" in printed
    assert not any(line in printed for line in private.read_text().splitlines()[1:-1])
    write_days(tmp_path / "logs", signer=signer)
    assert main([str(tmp_path / "logs"), "--public-key", str(public)]) == 0


@pytest.mark.parametrize("existing", ["audit-key.pem", "audit-key.pub.pem"])
def test_keygen_overwrites_nothing(tmp_path, capsys, existing):
    """If one of the two files exists, even as a link, it is left as it is, and the other one is not written."""
    (tmp_path / existing).symlink_to(tmp_path / "nowhere")
    assert main(["keygen", str(tmp_path / "audit-key.pem")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert "nothing is overwritten" in capsys.readouterr().err


# --- openssl --------------------------------------------------------------------------------------------------------


def commands(mark):
    """Return the command in docs/explanation/evidence.md that follows a mark."""
    document = (ROOT / "docs" / "explanation" / "evidence.md").read_text()
    (command,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)\n```", document, re.DOTALL)
    return command


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command openssl is not installed")
@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_openssl_verifies_a_manifest(tmp_path, signer):
    """The commands of the document verify a manifest of each kind of key with ``openssl`` alone, and no other one."""
    day = UNTIL.replace(month=3, day=1)
    path = write(tmp_path / "2026-03-01.jsonl", day, day + DAY, [], signer=signer)
    folder = manifest_of(path).parent
    (folder / "audit-key.pub.pem").write_bytes(signer.public_key)

    def run(mark):
        done = subprocess.run(commands(mark), shell=True, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    status, output = run("openssl")
    assert (status, "Signature Verified Successfully" in output) == (0, True), output
    assert run("key id")[1].split()[0] == json.loads(manifest_of(path).read_bytes())["signing_key"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == json.loads(manifest_of(path).read_bytes())["file"]["sha256"]
    with manifest_of(path).open("ab") as manifest:
        manifest.write(b"\n")
    status, output = run("openssl")
    assert (status != 0, "Signature Verification Failure" in output) == (True, True), output


def test_keygen_as_a_process(tmp_path):
    """``python -m airflow_provider_secoda.verify keygen`` is the documented command."""
    command = [sys.executable, "-m", "airflow_provider_secoda.verify", "keygen", "audit-key.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"audit-key.pem", "audit-key.pub.pem"}
