"""State of the server: workspace, faults, keys, and the requests so far."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from airflow_provider_secoda.sandbox._server.fault_responses import RateLimit
from airflow_provider_secoda.sandbox._server.request_log import RequestLog

if TYPE_CHECKING:
    from airflow_provider_secoda.sandbox._faults import Faults
    from airflow_provider_secoda.sandbox._workspace.workspace import Workspace


@dataclass
class ServerState:
    """What the responses depend on; tests change it while the server runs.

    :param api_key: API key of an admin.
    :param member_key: API key of a user who may read resource logs but not audit logs.
    :param random: source of shuffles and random faults.
    :param served: number of audit-log requests that were served.
    """

    workspace: Workspace
    faults: Faults
    api_key: str
    member_key: str | None
    page_size: int
    request_log: RequestLog = field(default_factory=RequestLog)
    random: Random = field(default_factory=Random)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    served: int = 0

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults; restart shuffles, probabilities and the count of served requests."""
        self.faults = faults
        self.random = Random(faults.seed)  # noqa: S311 - not for cryptography
        self.rate_limit = RateLimit()
        self.served = 0

    def role(self, authorization: str) -> str | None:
        """Return ``admin`` or ``member``, or ``None`` for no key or an unknown one."""
        scheme, _, key = authorization.partition(" ")
        for role, known in (("admin", self.api_key), ("member", self.member_key)):
            if scheme == "Bearer" and known and secrets.compare_digest(key.encode(), known.encode()):
                return role
        return None

    def change_workspace(self) -> None:
        """Add and remove logs before a request is served, as the faults specify."""
        self.served += 1
        faults, workspace = self.faults, self.workspace

        def due(every: int | None) -> bool:
            return every is not None and self.served % every == 0

        if due(faults.arrivals_every):
            workspace.add_log(logged_at=workspace.newest())
        if due(faults.late_arrivals_every):
            at = workspace.time_at(faults.late_at) if isinstance(faults.late_at, float) else faults.late_at
            workspace.add_log(logged_at=at, created_at=workspace.newest())
        if due(faults.expire_every):
            workspace.expire(1)
