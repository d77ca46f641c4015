"""Whether and when a task is retried, by what went wrong: the policy that operator and sensor bring.

Airflow has policies since 3.3. Before, what no retry can mend leaves as ``AirflowFailException``, with the same end.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._compat import RetryDecision, RetryPolicy, retry_policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.providers.common.compat.sdk import BaseOperator

#: The longest delay that doubling leads to, and the longest ``Retry-After`` that is believed.
LONGEST_BACKOFF, LONGEST_ASKED = timedelta(hours=1), timedelta(days=1)
#: Delays are up to a tenth longer than said, so that tasks that failed together do not come back together.
_JITTER = 0.1
#: Airflow's own, where there is no task to ask.
_RETRY_DELAY = timedelta(minutes=5)


class SecodaRetryPolicy(RetryPolicy):
    """Decide by the error whether and when a task is retried; ``retries`` says how often at most.

    * What no retry can mend fails at once: 401, 403, 404 and other 4xx, an untrusted certificate, a limit, a connection
      that is not filled in right.
    * 429: after ``Retry-After``, of a day at most; where the server did not say, after the task's ``retry_delay``.
    * 5xx, broken connections, timeouts, answers that are not Secoda's: after the task's ``retry_delay`` at first, then
      twice as long each time, up to an hour or ``max_retry_delay``, and not before ``Retry-After``.
    * Everything else, ``SecodaIncompleteError`` among it: as the DAG says.

    Delays are up to a tenth longer than that. Operator and sensor have it by default; ``retry_policy=`` gives them
    another one, or None for none. To decide otherwise about some errors, derive from it and override :meth:`evaluate`.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Mapping[str, Any] | None = None
    ) -> RetryDecision:
        """Return what to do after a failure.

        :param try_number: which try it was, from 1
        :param max_tries: after so many tries there is no further one
        """
        from airflow_provider_secoda.client.errors import (  # noqa: PLC0415 - DAG files are parsed often
            SecodaConfigurationError,
            SecodaFatalError,
            SecodaRateLimitError,
            SecodaRetriableError,
        )

        what = type(exception).__name__
        if isinstance(exception, SecodaFatalError | SecodaConfigurationError):
            return RetryDecision.fail(reason=f"{what}: no retry can mend it")
        if not isinstance(exception, SecodaRetriableError):
            return RetryDecision.default()
        asked = exception.retry_after
        said = what if asked is None else f"{what}, Retry-After: {asked:.15g} s"
        at_least = min(timedelta(seconds=asked or 0.0), LONGEST_ASKED)
        if isinstance(exception, SecodaRateLimitError):
            return RetryDecision.retry(None if asked is None else _jittered(at_least), reason=said)
        task = None if context is None else context.get("task")
        backoff = _backoff(task, try_number, max_tries)
        return RetryDecision.retry(_jittered(max(backoff, at_least)), reason=said)


#: What operator and sensor have when nothing else is said.
DEFAULT_POLICY = SecodaRetryPolicy()


def retry_policy_kwargs(policy: RetryPolicy | None) -> dict[str, Any]:
    """Return what an operator tells Airflow of its policy: nothing before 3.3, which knows of none."""
    return {} if RetryPolicy is object else {"retry_policy": policy}


@contextmanager
def unwrap_errors_for_retry_policy(task: BaseOperator) -> Iterator[None]:
    """Let an error of Secoda reach a task's retry policy as what it is, where the task has one.

    ``AirflowFailException`` fails a task without asking its policy, so that nobody could decide otherwise: to wait, for
    example, until a key that is being changed has arrived everywhere.
    """
    from airflow_provider_secoda.client.errors import SecodaError  # noqa: PLC0415 - DAG files are parsed often

    try:
        yield
    except AirflowFailException as failure:
        error = failure.__cause__
        if retry_policy_of(task) is None or not isinstance(error, SecodaError):
            raise
        raise error from error.__cause__


def _backoff(task: Any, try_number: int, max_tries: int) -> timedelta:
    """Return a task's ``retry_delay``, doubled for each failure but the first since it was cleared."""
    if task is None:
        return _RETRY_DELAY
    cleared_at = max(0, max_tries - task.retries)
    doublings = min(max(0, try_number - cleared_at - 1), 12)
    delay: timedelta = task.retry_delay
    longest: timedelta = task.max_retry_delay or LONGEST_BACKOFF
    doubled: timedelta = delay * 2**doublings
    return min(doubled, max(delay, longest))


def _jittered(delay: timedelta) -> timedelta:
    return delay * (1 + _JITTER * random.random())  # noqa: S311 - jitter, no secret
