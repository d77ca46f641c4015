"""Find what signs the manifest of a task: a private key of a connection, or a signer of the user's own."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError
from airflow_provider_secoda.hooks.signing_key import SecodaSigningKeyHook
from airflow_provider_secoda.signing import BadSignatureError, KeyFormatError, Signer, sign

if TYPE_CHECKING:
    from airflow_provider_secoda.hooks._connection import ConnectionSettings
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

#: What is signed before the window is read, to see whether the key can be used.
_PROBE = b"airflow-provider-secoda: test of a signer"


def find_signer(task: SecodaAuditLogsOperator, settings: ConnectionSettings) -> Signer | None:
    """Return what signs the manifest of a task that writes a file, after a test; None: the manifest is not signed.

    :param settings: of the task's connection to Secoda, which may name the connection of the key
    :raises ArgumentError: the signer cannot be used, or there is nothing to sign
    :raises SecodaConfigurationError: the connection of the key cannot be used
    """
    conn_id = task.signing_conn_id
    if task.signer is None and conn_id is None:
        conn_id = settings.signing_conn_id
        if conn_id is not None and not task.write_manifest:
            raise ArgumentError(
                f"connection {task.secoda_conn_id!r} has the extra `signing_conn_id`, but the task has "
                "write_manifest=False, so nothing would be signed: remove write_manifest=False, or use a connection "
                "without this extra"
            )
    return load_signer(conn_id, task.signer)


def load_signer(signing_conn_id: str | None, signer: str | None) -> Signer | None:
    """Return what signs, after a test; None without either.

    :param signing_conn_id: the Airflow connection of a private key
    :param signer: the dotted path of a function that returns a signer
    :raises ArgumentError: the signer cannot be used
    :raises SecodaConfigurationError: the connection cannot be used
    """
    if signing_conn_id is not None:
        return _tested(SecodaSigningKeyHook(signing_conn_id).get_conn(), f"connection {signing_conn_id!r}")
    return None if signer is None else _tested(_load(signer), f"`signer` {signer!r}")


def _load(path: str) -> Any:
    try:
        make = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ArgumentError(f"`signer` {path!r} cannot be imported: {type(exc).__name__}: {exc!s:.200}") from exc
    if not callable(make):
        raise ArgumentError(f"`signer` {path!r} must be a function or class without arguments that returns a signer")
    return make()


def _tested(signer: Any, name: str) -> Signer:
    if not isinstance(signer, Signer):
        raise ArgumentError(f"{name} returned {type(signer).__name__}, which has no `public_key` or no `sign`")
    try:
        sign(signer, _PROBE)
    except (BadSignatureError, KeyFormatError) as exc:
        raise ArgumentError(f"{name}: {exc}") from exc
    return signer
