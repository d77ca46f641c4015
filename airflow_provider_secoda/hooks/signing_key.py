"""The hook for a private key that signs manifests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_secoda._compat import mask_secret
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_secoda.signing import PrivateKeySigner

__all__ = ["SecodaSigningKeyHook"]

#: The first and the last line of PEM, which are not secret: messages contain them.
_LABEL = re.compile(r"-----[A-Z0-9 ]+-----")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")
_LINE_CHARACTERS = 64
#: In characters; a shorter text would be masked in unrelated log lines too.
_SHORTEST_SECRET = 8


class SecodaSigningKeyHook(BaseHook):
    """Sign with the private key that is the password of an Airflow connection.

    :param signing_conn_id: the connection's id; its type does not matter
    """

    conn_name_attr = "signing_conn_id"
    default_conn_name = "secoda_signing_key"
    conn_type = "secoda_signing_key"
    hook_name = "Secoda signing key"

    def __init__(self, signing_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.signing_conn_id = signing_conn_id
        self._signer: PrivateKeySigner | None = None

    def get_conn(self) -> PrivateKeySigner:
        """Return the key, which is read once.

        :raises SecodaConfigurationError: the connection does not exist, or its password is not a key that can be used
        """
        from airflow_provider_secoda.signing import KeyFormatError, PrivateKeySigner  # noqa: PLC0415 - not for parsing

        if self._signer is None:
            try:
                self._signer = PrivateKeySigner.from_pem(_mask_key(self._find_connection()).password or "")
            except KeyFormatError as exc:
                problem = f"connection {self.signing_conn_id!r}: `password`: {exc}"
            else:
                return self._signer
            # Outside of the handler: some error reporters show local variables, and those of `from_pem` have the key.
            raise SecodaConfigurationError(problem)
        return self._signer

    def _find_connection(self) -> Connection:
        try:
            return self.get_connection(self.signing_conn_id)
        except AirflowNotFoundException as missing:
            raise SecodaConfigurationError(
                f"connection {self.signing_conn_id!r} does not exist, or its secrets backend cannot be read: create it "
                "with the private key as its password, or correct `signing_conn_id`"
            ) from missing

    def test_connection(self) -> tuple[bool, str]:
        """Sign something and verify it; return whether that succeeded, and a message with the id of the key."""
        from airflow_provider_secoda.signing import key_id, sign  # noqa: PLC0415 - not for parsing

        try:
            signer = self.get_conn()
            sign(signer, b"test of the connection")
        except SecodaConfigurationError as exc:
            # Airflow tests a copy of the connection with a random id, which is of no use in the message.
            return False, str(exc).removeprefix(f"connection {self.signing_conn_id!r}: ")
        return True, f"The private key signs. The id of its public key is {key_id(signer.public_key)}"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form shows the standard fields, for Airflow before 3.2."""
        info: dict[str, Any] = get_provider_info()  # type: ignore[no-untyped-call]
        forms = {form["connection-type"]: form for form in info["connection-types"]}
        behaviour = forms[cls.conn_type]["ui-field-behaviour"]
        return {name.replace("-", "_"): behaviour[name] for name in ("hidden-fields", "relabeling", "placeholders")}


def _mask_key(connection: Connection) -> Connection:
    """Mask a private key in logs, complete and by line; return the connection, so that the caller has no variable."""
    text = (connection.password or "").strip()
    lines = _BASE64.findall(_LABEL.sub(" ", text.replace("\\r", "\n").replace("\\n", "\n")))
    body = "".join(lines)
    pieces = [body[at : at + _LINE_CHARACTERS] for at in range(0, len(body), _LINE_CHARACTERS)]
    for secret in {text, body, *lines, *pieces}:
        if len(secret) >= _SHORTEST_SECRET:
            mask_secret(secret)
    return connection
