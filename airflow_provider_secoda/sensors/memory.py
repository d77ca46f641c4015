"""What a waiting task knows from one look to the next: in its process, and where Airflow has a place for it, beyond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda.client.order import Learned
from airflow_provider_secoda.client.waiting import Patience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client.errors import SecodaError
    from airflow_provider_secoda.hooks.secoda import SecodaHook
    from airflow_provider_secoda.triggers.wait import Wait

_KEY = "secoda_wait"


class Memory:
    """
    What was learned of the history's order, how many looks in a row failed, and how long the server wants to be left.

    The baseline is not among it: that is a value. So losing all this costs a few requests, and nothing else.

    :param limit: how many looks in a row may fail, the last of them not; None for any number
    :param store: Airflow's task state store (3.3 and later), for tasks that go on in another process; else None
    :param moves: whether the task goes on in another process
    """

    def __init__(
        self, wait: Wait, hook: SecodaHook, limit: int | None, store: Any = None, *, moves: bool = False
    ) -> None:
        self.wait = wait
        self.hook = hook
        self.store = store
        self._moves = moves
        self.learned: Learned | None = None
        self.not_before = 0.0
        self._of = [wait.secoda_conn_id, wait.resource_id]
        failures = 0
        kept = store.get(_KEY, None) if store is not None else None
        # What another version of the DAG kept about another resource means nothing.
        if isinstance(kept, dict) and kept.get("of") == self._of:
            self.learned = Learned.from_json(kept.get("learned"))
            failures, self.not_before = _count(kept.get("failures")), _time(kept.get("not_before"))
        self.patience = Patience(limit, failures)

    @property
    def must_stay(self) -> bool:
        """Whether failures would be forgotten if the task went on in another process now."""
        return self._moves and self.store is None and self.patience.failures > 0

    @property
    def asked_to_wait(self) -> float:
        """How many seconds longer the server asked to be left alone."""
        return max(0.0, self.not_before - time.time())

    def succeed(self, learned: Learned | None) -> bool:
        """Take note of a look that worked; return whether it deserves a line in the log, as the last one failed."""
        self.learned, self.not_before = learned, 0.0
        worth = self.patience.succeed()
        self._keep()
        return worth

    def fail(self, error: SecodaError) -> bool:
        """
        Take note of a failed look; return whether it deserves a line in the log.

        :raises SecodaError: the error, when waiting cannot mend it or it is one too many
        """
        try:
            worth = self.patience.fail(error)
        except type(error):
            self.forget()
            raise
        self.not_before = time.time() + (getattr(error, "retry_after", None) or 0.0)
        self._keep()
        return worth

    def forget(self) -> None:
        """Delete what is kept beyond the process: Airflow does not, not even when the task is cleared."""
        if self.store is not None:
            self.store.delete(_KEY)

    def _keep(self) -> None:
        if self.store is None:
            return
        kept: Mapping[str, Any] = {
            "of": self._of,
            "learned": None if self.learned is None else self.learned.to_json(),
            "failures": self.patience.failures,
            "not_before": self.not_before,
        }
        self.store.set(_KEY, kept)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _time(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
