"""The operator signs its manifest with the key of a connection or with a signer, and checks it before it reads."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id, load_public_keys, verify_signature

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
START, END = UNTIL - 5 * DAY, UNTIL - 4 * DAY
PEM = {kind: generate_key(kind).decode() for kind in ("ed25519", "p256")}
#: What fails a task at once: since Airflow 3.3 the retry policy gets the error itself.
FINAL = (AirflowFailException, SecodaConfigurationError)
SIGNER = PrivateKeySigner.from_pem(PEM["ed25519"])


@pytest.fixture
def sandbox(secoda_sandbox_factory):
    return secoda_sandbox_factory(Workspace.generate(seed=3, logs=400, days=20, until=UNTIL))


@pytest.fixture
def key(monkeypatch):
    """Return a function that makes the connection ``my_key`` with a private key."""

    def make(pem=PEM["ed25519"], **fields):
        value = {"conn_type": "secoda_signing_key", "password": pem} | fields
        monkeypatch.setenv("AIRFLOW_CONN_MY_KEY", json.dumps(value))

    return make


@pytest.fixture
def signers(monkeypatch):
    """Return a module of a user, for functions that return signers."""
    module = ModuleType("my_company_keys")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def fetch(path, **arguments):
    """Execute the operator by hand; return its summary."""
    operator = SecodaAuditLogsOperator(
        task_id="fetch", **{"start": START, "end": END, "output_path": str(path)} | arguments
    )
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    return operator.execute({"dag": dag})


def check(summary, pem):
    """Check the signature that a summary names, and that it is by this key."""
    public_key = PrivateKeySigner.from_pem(pem).public_key
    manifest = Path(summary["manifest"]).read_bytes()
    assert summary["signing_key"] == key_id(public_key) == json.loads(manifest)["signing_key"]
    signature = Path(summary["signature"]).read_bytes()
    verify_signature(load_public_keys([public_key.decode()]), summary["signing_key"], manifest, signature)


@pytest.mark.parametrize("kind", PEM)
@pytest.mark.parametrize("conn_type", ["secoda_signing_key", "generic"])
def test_a_manifest_is_signed(sandbox, key, tmp_path, kind, conn_type):
    """The manifest is signed with the key of the connection, of either kind and of any type."""
    key(PEM[kind], conn_type=conn_type)
    summary = fetch(tmp_path / "a.jsonl", signing_conn_id="my_key")
    check(summary, PEM[kind])
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "_a.jsonl.manifest",
        "_a.jsonl.manifest.sig",
        "a.jsonl",
    ]


def test_the_connection_to_secoda_names_the_key(sandbox, key, tmp_path, monkeypatch):
    """The extra ``signing_conn_id`` is the default; an argument has precedence. Without either nothing is signed."""
    assert fetch(tmp_path / "a.jsonl")["signature"] is None
    connection = json.loads(sandbox.connection_json)
    connection["extra"] = {"signing_conn_id": "my_key"}
    monkeypatch.setenv("AIRFLOW_CONN_SECODA_DEFAULT", json.dumps(connection))
    key(PEM["p256"])
    check(fetch(tmp_path / "b.jsonl"), PEM["p256"])
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_KEY", json.dumps({"conn_type": "generic", "password": PEM["ed25519"]}))
    check(fetch(tmp_path / "c.jsonl", signing_conn_id="other_key"), PEM["ed25519"])
    with pytest.raises(AirflowFailException, match="has the extra `signing_conn_id`, but the task has write_manifest="):
        fetch(tmp_path / "d.jsonl", write_manifest=False)
    assert len(fetch(None, output_path=None)) > 10, "logs that are returned have no manifest"


def test_a_user_has_a_signer(sandbox, signers, tmp_path):
    """``signer`` names a function, here of a key that is not in a connection."""
    signers.make = lambda: PrivateKeySigner.from_pem(PEM["p256"])
    check(fetch(tmp_path / "a.jsonl", signer="my_company_keys.make"), PEM["p256"])


class Wrong:
    """A signer whose signatures are of the digest, not of the bytes."""

    public_key = SIGNER.public_key

    def sign(self, data):
        return SIGNER.sign(b"digest of the data")


BAD_KEYS = {
    "": "the text is not PEM",
    "secret": "the text is not PEM",
    SIGNER.public_key.decode(): "a PUBLIC KEY is not a private key",
    PEM["p256"].replace("M", "N", 1): "the private key cannot be read",
}


@pytest.mark.parametrize("pem", BAD_KEYS, ids=BAD_KEYS.values())
def test_a_bad_key_fails_before_the_window_is_read(sandbox, key, tmp_path, pem):
    """A password that is not a key fails the task at once; the error names the connection, and no request is sent."""
    key(pem)
    with pytest.raises(FINAL, match="connection 'my_key': `password`: ") as failed:
        fetch(tmp_path / "a.jsonl", signing_conn_id="my_key")
    assert BAD_KEYS[pem] in str(failed.value)
    assert not sandbox.requests
    assert list(tmp_path.iterdir()) == []


def test_a_missing_connection_fails_before_the_window_is_read(sandbox, tmp_path):
    """The error says which connection to create."""
    with pytest.raises(FINAL, match=r"connection 'my_key' does not exist.*private key as its password"):
        fetch(tmp_path / "a.jsonl", signing_conn_id="my_key")
    assert not sandbox.requests


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "cannot be imported: AttributeError"),
        ("no function", "must be a function or class without arguments"),
        (object, "returned object, which has no `public_key` or no `sign`"),
        (Wrong, "signer Wrong returned a signature that its public key .* does not verify"),
    ],
)
def test_a_bad_signer_fails_before_the_window_is_read(sandbox, signers, tmp_path, made, message):
    """A signer that does not exist or does not sign as it must fails the task at once."""
    if made is not None:
        signers.make = made
    with pytest.raises(AirflowFailException, match=f"`signer` 'my_company_keys.make'.*{message}"):
        fetch(tmp_path / "a.jsonl", signer="my_company_keys.make")
    with pytest.raises(AirflowFailException, match="cannot be imported: ModuleNotFoundError"):
        fetch(tmp_path / "a.jsonl", signer="no_such_module.make")
    assert not sandbox.requests


def test_a_service_that_is_away_is_retried(sandbox, signers, tmp_path):
    """An error of a signer's own, such as of its network, is raised as it is: a retry may help."""

    def make():
        raise ConnectionError("the service is away")

    signers.make = make
    with pytest.raises(ConnectionError):
        fetch(tmp_path / "a.jsonl", signer="my_company_keys.make")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signing_conn_id": "k", "signer": "a.b"}, "pass `signing_conn_id` or `signer`, not both"),
        (
            {"signing_conn_id": "k", "write_manifest": False},
            "`signing_conn_id` signs the manifest, but write_manifest=",
        ),
        ({"signer": "a.b", "write_manifest": False}, "`signer` signs the manifest, but write_manifest=False"),
        ({"signing_conn_id": "k", "output_path": None}, "pass `output_path`, or remove `signing_conn_id`"),
        ({"signing_conn_id": ""}, "`signing_conn_id` must be a non-empty string"),
        ({"signer": "kms"}, "`signer` must be the dotted path of a function"),
        ({"signer": SIGNER}, "`signer` must be the dotted path of a function"),
    ],
)
def test_wrong_arguments_are_an_import_error_of_the_dag(arguments, message):
    """Arguments that contradict each other are refused when the operator is created, and when it is mapped."""
    with pytest.raises(ValueError, match=message):
        SecodaAuditLogsOperator(
            task_id="fetch", **{"start": START, "end": END, "output_path": "/logs/a.jsonl"} | arguments
        )
    with DAG("d", schedule=None), pytest.raises(ValueError, match=message):
        SecodaAuditLogsOperator.partial(task_id="fetch", **arguments)


def test_an_empty_template_does_not_turn_signing_off(sandbox, tmp_path):
    """A template that renders to nothing fails the task, instead of writing a file that is not signed."""
    operator = SecodaAuditLogsOperator(
        task_id="fetch", start=START, end=END, output_path=str(tmp_path / "a.jsonl"), signing_conn_id="{{ var.none }}"
    )
    operator.signing_conn_id = ""
    with pytest.raises(AirflowFailException, match="`signing_conn_id` must be a non-empty string"):
        operator.execute({})
