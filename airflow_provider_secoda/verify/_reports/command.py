"""Write the command that repeats a check."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_command(
    paths: Sequence[str],
    *,
    start: str | None = None,
    end: str | None = None,
    against_source: bool = False,
    conn_id: str | None = None,
    public_keys: Sequence[str] | None = None,
    max_findings: int = 100,
) -> str:
    """Return the command, as in a shell, that checks files as :func:`~airflow_provider_secoda.verify.verify` does.

    :param public_keys: paths of PEM files; PEM becomes ``key.pem``
    """
    words = ["python", "-m", "airflow_provider_secoda.verify", *paths]
    for option, value in (("--start", start), ("--end", end), ("--conn-id", conn_id)):
        words += [] if value is None else [option, value]
    for key in public_keys or ():
        words += ["--public-key", "key.pem" if "-----BEGIN" in key else key]
    words += ["--against-source"] if against_source else []
    words += [] if max_findings == 100 else ["--max-findings", str(max_findings)]  # noqa: PLR2004 - the default
    return shlex.join(words)
