"""Exponential backoff and the retry policy: which delay follows how many failures of which kind."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.client._http.retry import Backoff, RetryPolicy
from airflow_provider_secoda.client.errors import (
    SecodaIncompleteError,
    SecodaNotFoundError,
    SecodaRateLimitError,
    SecodaServerError,
)


@pytest.mark.parametrize(
    ("failures", "delay"), [(0, 2.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 15.0), (5, 15.0), (10**9, 15.0)]
)
def test_the_delay_doubles_up_to_the_longest(failures, delay):
    """Without jitter the delay is ``first * 2^(failures - 1)``, at most ``longest``, for any number of failures."""
    assert Backoff(2.0, 15.0, jitter=(1.0, 1.0)).delay(failures) == delay


@given(st.integers(1, 10**6), st.floats(0.001, 1e6), st.floats(0.001, 1e6), st.integers())
def test_jitter_is_a_factor_in_its_range(failures, first, longest, seed):
    """The delay is the one without jitter times a factor of the range; one seed gives one delay."""
    plain = Backoff(first, longest, jitter=(1.0, 1.0)).delay(failures)
    delay = Backoff(first, longest, jitter=(0.5, 1.5)).delay(failures, random.Random(seed))
    assert 0.5 * plain <= delay <= 1.5 * plain
    assert delay == Backoff(first, longest, jitter=(0.5, 1.5)).delay(failures, random.Random(seed))


@pytest.mark.parametrize(
    ("error", "failures", "attempts", "delay"),
    [
        (SecodaServerError("x"), 7, None, pytest.approx(22.5, abs=7.5)),
        (SecodaServerError("x"), 8, None, None),
        (SecodaServerError("x"), 1, 1, None),
        (SecodaServerError("x"), 2, 3, pytest.approx(0.75, abs=0.25)),
        (SecodaRateLimitError("x", retry_after=0.0), 1, None, 0.0),
        (SecodaRateLimitError("x", retry_after=900.0), 1, None, 900.0),
        (SecodaRateLimitError("x", retry_after=901.0), 1, None, None),
        (SecodaNotFoundError("x"), 1, None, None),
        (SecodaIncompleteError("x"), 1, None, None),
    ],
)
def test_which_requests_are_sent_again(error, failures, attempts, delay):
    """Retriable errors are retried after ``Retry-After`` or with backoff, until the attempts are used up."""
    assert RetryPolicy().delay(error, failures, random.Random(3), attempts) == delay
