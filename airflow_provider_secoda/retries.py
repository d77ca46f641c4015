"""Retries of a task: decide by the error whether and when; the default policy of the operator and the sensor.

Airflow supports retry policies since 3.3. Before, errors that a retry cannot fix are raised as
``AirflowFailException``, with the same effect.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._compat import RetryDecision, RetryPolicy, retry_policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.providers.common.compat.sdk import BaseOperator

__all__ = ["SecodaRetryPolicy"]

#: The longest delay of the backoff, and the longest ``Retry-After`` that is obeyed.
_MAX_BACKOFF, _MAX_RETRY_AFTER = timedelta(hours=1), timedelta(days=1)
#: Airflow's default of ``retry_delay``, for a context without a task.
_RETRY_DELAY = timedelta(minutes=5)


class SecodaRetryPolicy(RetryPolicy):
    """Decide by the error whether and when a task is retried; the task's ``retries`` limits the number.

    * Errors that a retry cannot fix are not retried: 401, 403, 404 and other 4xx, an untrusted certificate, a limit, a
      wrong connection.
    * 429: after ``Retry-After``, at most one day; without it, after the task's ``retry_delay``.
    * 5xx, broken connections, timeouts, responses that are not from Secoda's API: after the task's ``retry_delay``,
      then twice as long each time, up to an hour or ``max_retry_delay``, and not before ``Retry-After``.
    * All other errors, including ``SecodaIncompleteError``: as the DAG says.

    Delays are up to 10 % longer, so that tasks that failed at the same time do not retry at the same time. The operator
    and the sensor use this policy by default; pass another one as ``retry_policy=``, or None for no policy. To decide
    differently about some errors, override :meth:`evaluate`.
    """

    def __repr__(self) -> str:
        """Return the name of the class and the attributes.

        Airflow stores a policy in ``default_args`` (before 3.3) or in arguments of ``expand_kwargs`` as this text. With
        the default repr, which has a memory address, every parse of the file would store a new version of the DAG.
        """
        attributes = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({attributes})"

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Mapping[str, Any] | None = None
    ) -> RetryDecision:
        """Return the decision about a failed try.

        :param exception: the error of the try
        :param try_number: the number of the try, from 1
        :param max_tries: the number of the last try
        :param context: the task's context; its ``task`` has the delays
        """
        from airflow_provider_secoda.client.errors import (  # noqa: PLC0415 - DAG files are parsed often
            SecodaConfigurationError,
            SecodaFatalError,
            SecodaRateLimitError,
            SecodaRetriableError,
        )

        reason = type(exception).__name__
        if isinstance(exception, SecodaFatalError | SecodaConfigurationError):
            return RetryDecision.fail(reason=f"{reason}: a retry cannot fix this error")
        if not isinstance(exception, SecodaRetriableError):
            return RetryDecision.default()
        retry_after = exception.retry_after
        if retry_after is not None:
            reason += f", Retry-After: {retry_after:.15g} s"
        at_least = min(timedelta(seconds=retry_after or 0.0), _MAX_RETRY_AFTER)
        if isinstance(exception, SecodaRateLimitError):
            return RetryDecision.retry(None if retry_after is None else _delay(at_least), reason=reason)
        task = None if context is None else context.get("task")
        if task is None:
            return RetryDecision.retry(_delay(max(_RETRY_DELAY, at_least)), reason=reason)
        # Airflow keeps on numbering the tries of a task that was cleared, and adds them to `max_tries`.
        failures = try_number - max(0, max_tries - task.retries)
        delay = _delay(task.retry_delay, task.max_retry_delay or _MAX_BACKOFF, failures)
        return RetryDecision.retry(max(delay, _delay(at_least)), reason=reason)


#: The default of the operator and the sensor.
DEFAULT_POLICY = SecodaRetryPolicy()


def retry_policy_kwargs(policy: RetryPolicy | None) -> dict[str, Any]:
    """Return the retry policy as arguments of a base operator; none before Airflow 3.3, which has no policies."""
    return {} if RetryPolicy is object else {"retry_policy": policy}


@contextmanager
def unwrap_errors_for_retry_policy(task: BaseOperator) -> Iterator[None]:
    """Raise the Secoda error that caused an ``AirflowFailException``, if the task has a retry policy.

    Airflow fails a task on ``AirflowFailException`` without calling its policy. A policy could then not decide
    differently, for example to retry while a key is being rotated.
    """
    from airflow_provider_secoda.client.errors import SecodaError  # noqa: PLC0415 - DAG files are parsed often

    try:
        yield
    except AirflowFailException as failure:
        error = failure.__cause__
        if retry_policy_of(task) is None or not isinstance(error, SecodaError):
            raise
        raise error from error.__cause__


def _delay(first: timedelta, longest: timedelta = timedelta(0), failures: int = 1) -> timedelta:
    """Return the delay after a number of failures in a row, with jitter; it is never shorter than ``first``."""
    from airflow_provider_secoda.client._http.retry import Backoff  # noqa: PLC0415 - DAG files are parsed often

    backoff = Backoff(first.total_seconds(), max(first, longest).total_seconds())
    return timedelta(seconds=backoff.delay(failures))
