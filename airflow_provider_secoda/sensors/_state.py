"""What a waiting task knows from one look to the next: in its process, and where Airflow has a place for it, beyond."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._polling.pauses import FailureLimit
from airflow_provider_secoda.client._versions.page_order import PageOrder

if TYPE_CHECKING:
    from airflow_provider_secoda.client.errors import SecodaError

_KEY = "secoda_wait"


class SensorState:
    """The learned page order, the number of consecutive failed polls, and until when the server asked to wait.

    The baseline is not among it: that is a value. So losing all this costs a few requests, and nothing else.

    :param about: what is waited for, as JSON values; what was kept about something else is not taken for it
    :param attempt: the task's try, outside of which failures do not count
    :param limit: how many failing looks in a row end the wait; None: none do
    :param store: Airflow's task state store (3.3 and later), for tasks that go on in another process; else None
    """

    def __init__(self, about: list[str | None], attempt: int | None, limit: int | None, store: Any = None) -> None:
        self.learned: PageOrder | None = None
        self.not_before = 0.0
        self.patience = FailureLimit(limit)
        self._about = about
        self._attempt = attempt
        self._store = store
        self._kept: dict[str, Any] | None = None
        if store is not None:
            self._recall(store.get(_KEY, None))

    @property
    def would_be_lost(self) -> bool:
        """Whether failures are counted that no other process would know of."""
        return self._store is None and self.patience.limit is not None and self.patience.failures > 0

    @property
    def asked_to_wait(self) -> float:
        """How many seconds longer the server asked to be left alone."""
        return max(0.0, self.not_before - time.time())

    def succeed(self, learned: PageOrder | None) -> bool:
        """Take note of a look that worked; return whether it deserves a line in the log, as the last one failed."""
        self.learned, self.not_before = learned, 0.0
        worth = self.patience.succeed()
        self._keep()
        return worth

    def fail(self, error: SecodaError) -> bool:
        """Take note of a failed look; return whether it deserves a line in the log.

        :raises SecodaError: the error, when waiting cannot mend it or it is one too many
        """
        worth = self.patience.fail(error)
        self.not_before = time.time() + (getattr(error, "retry_after", None) or 0.0)
        self._keep()
        return worth

    def forget(self) -> None:
        """Delete what is kept beyond the process: Airflow does not, not even when the task is cleared."""
        if self._store is not None:
            self._store.delete(_KEY)

    def _recall(self, kept: Any) -> None:
        # What another version of the DAG kept about another resource, or a later baseline, means nothing.
        if not isinstance(kept, dict) or kept.get("about") != self._about:
            return
        self.learned = PageOrder.from_json(kept.get("learned"))
        not_before, failures, said = kept.get("not_before"), kept.get("failures"), kept.get("said")
        self.not_before = float(not_before) if isinstance(not_before, int | float) else 0.0
        if kept.get("attempt") == self._attempt and isinstance(failures, int) and failures > 0:
            self.patience = FailureLimit(self.patience.limit, failures, str(said))
        self._kept = kept

    def _keep(self) -> None:
        if self._store is None:
            return
        kept = {
            "about": self._about,
            "attempt": self._attempt,
            "learned": None if self.learned is None else self.learned.to_json(),
            "failures": self.patience.failures,
            "said": self.patience.said,
            "not_before": self.not_before,
        }
        if kept != self._kept:
            self._store.set(_KEY, kept)
            self._kept = kept
