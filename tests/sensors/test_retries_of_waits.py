"""The error that a retry policy receives when a wait ended in the triggerer."""

from __future__ import annotations

import pytest

from tests.sensors.sensor_runs import MODES, V33, after_requests, make, outcome

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda.client.errors import (
    SecodaAuthenticationError,
    SecodaRateLimitError,
    SecodaServerError,
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [(429, SecodaRateLimitError, "3600"), (429, SecodaRateLimitError, None), (503, SecodaServerError, "0")],
)
def test_the_server_is_quoted_in_all_modes(sandbox, mode, status, kind, retry_after):
    """The error after too many failures has the server's Retry-After, in all modes."""

    def refuse():
        sandbox.faults.script = [("status", status, {} if retry_after is None else {"Retry-After": retry_after})] * 5

    waiting = after_requests(sandbox, 1, refuse)
    ended, error = outcome(make(mode, poke_interval=0.5, max_consecutive_failures=1))
    waiting.join()
    assert ended == "retry"
    assert type(error) is kind
    assert error.retry_after == (None if retry_after is None else float(retry_after))
    assert str(error).endswith("(Retry-After: 3600 s)") == (retry_after == "3600")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", [{}, {"retry_policy": None}], ids=["policy", "none"])
def test_a_key_that_is_revoked_while_waiting(sandbox, mode, how):
    """In all modes a policy is shown the real error; without one the task fails as what Airflow never retries."""

    def revoke():
        sandbox.faults.script = [401] * 5

    waiting = after_requests(sandbox, 1, revoke)
    ended, error = outcome(make(mode, poke_interval=0.5, **how))
    waiting.join()
    assert ended == "failed"
    if V33 and not how:
        assert type(error) is SecodaAuthenticationError
    else:
        assert type(error) is AirflowFailException
        assert isinstance(error.__cause__, SecodaAuthenticationError)
