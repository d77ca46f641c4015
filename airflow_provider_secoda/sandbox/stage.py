"""Everything that the server's answers depend on, apart from HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from airflow_provider_secoda.sandbox import mishaps
from airflow_provider_secoda.sandbox.traffic import Traffic

if TYPE_CHECKING:
    from airflow_provider_secoda.sandbox.faults import Faults
    from airflow_provider_secoda.sandbox.workspace import Workspace


@dataclass
class Stage:
    """Everything that the answers depend on; tests change it while the server runs.

    :param api_key: of an admin.
    :param member_key: of somebody who may read a resource's logs but not the audit logs.
    """

    workspace: Workspace
    faults: Faults
    api_key: str
    member_key: str | None
    page_size: int
    traffic: Traffic = field(default_factory=Traffic)
    random: Random = field(default_factory=Random)
    limit: mishaps.RateLimit = field(default_factory=mishaps.RateLimit)
    served: int = 0

    def use(self, faults: Faults) -> None:
        """Replace the faults; shuffles, probabilities and the counting of requests start anew."""
        self.faults = faults
        self.random = Random(faults.seed)  # noqa: S311 - chance on purpose, not secrecy
        self.limit = mishaps.RateLimit()
        self.served = 0

    def role(self, authorization: str) -> str | None:
        """Return ``admin`` or ``member``, or ``None`` for no key or an unknown one."""
        scheme, _, key = authorization.partition(" ")
        for role, known in (("admin", self.api_key), ("member", self.member_key)):
            if scheme == "Bearer" and known and secrets.compare_digest(key.encode(), known.encode()):
                return role
        return None

    def move(self) -> None:
        """Let logs come and go before a request is answered, as the faults ask."""
        self.served += 1
        faults, workspace = self.faults, self.workspace

        def due(every: int | None) -> bool:
            return every is not None and self.served % every == 0

        if due(faults.arrivals_every):
            workspace.add_log(logged_at=workspace.newest())
        if due(faults.late_arrivals_every):
            at = workspace.instant(faults.late_at) if isinstance(faults.late_at, float) else faults.late_at
            workspace.add_log(logged_at=at, created_at=workspace.newest())
        if due(faults.expire_every):
            workspace.expire(1)
