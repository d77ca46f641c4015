"""Which failures of a task are retried, and when: the policy of the operator and the sensor, and tasks without one."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from tests.helpers import airflow_runs

pytest.importorskip("airflow")

from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_secoda.client import errors
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
from airflow_provider_secoda.retries import SecodaRetryPolicy
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

V33 = airflow_runs.version() >= (3, 3)
with_policies = pytest.mark.skipif(not V33, reason="Airflow has retry policies since 3.3")
MINUTE = timedelta(minutes=1)
UTC = timezone.utc
UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
OPERATOR = (SecodaAuditLogsOperator, {"start": UNTIL - timedelta(days=1), "end": UNTIL})
SENSOR = (SecodaVersionHistorySensor, {"resource_id": "R", "max_consecutive_failures": 1})
both = pytest.mark.parametrize(("kind", "arguments"), [OPERATOR, SENSOR], ids=["operator", "sensor"])
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.SecodaError) and not kind.__subclasses__()
]


def decide(error, try_number=1, max_tries=8, **task):
    """Return the policy's decision about a task's failure, and the delay in seconds."""
    settings = {"retry_delay": MINUTE, "max_retry_delay": None, "retries": 8, **task}
    decision = SecodaRetryPolicy().evaluate(error, try_number, max_tries, {"task": SimpleNamespace(**settings)})
    delay = decision.retry_delay
    return decision.action.value, None if delay is None else delay.total_seconds()


def about(delay):
    """Return a value that equals a delay with any jitter."""
    return pytest.approx(delay * 1.05, rel=0.05)


# --- decisions of the policy --------------------------------------------------------------------------------------


@with_policies
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_has_its_decision(kind):
    """Errors that a retry cannot fix fail, others are retried, an incomplete listing is left to the DAG."""
    decided, _ = decide(kind("said"))
    if issubclass(kind, errors.SecodaFatalError | errors.SecodaConfigurationError):
        assert decided == "fail"
    elif issubclass(kind, errors.SecodaRetriableError):
        assert decided == "retry"
    else:
        assert (kind, decided) == (errors.SecodaIncompleteError, "default")


@with_policies
def test_other_errors_have_the_default_decision():
    """For other errors the policy returns the default decision."""
    assert decide(ConnectionError("a disk"))[0] == "default"


@with_policies
@pytest.mark.parametrize(
    ("retry_after", "delay"), [(None, None), (0.0, 0.0), (7.0, 7.0), (90_000.0, 86_400.0), (1e12, 86_400.0)]
)
def test_a_429_is_retried_after_its_retry_after(retry_after, delay):
    """A 429 is retried after ``Retry-After``, at most a day; without it, after the task's own delay."""
    decided, seconds = decide(errors.SecodaRateLimitError("said", status=429, retry_after=retry_after), try_number=5)
    assert decided == "retry"
    assert seconds is None if delay is None else seconds == about(delay)


@with_policies
@pytest.mark.parametrize(
    ("try_number", "delay"), [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (40, 3600), (10**6, 3600)]
)
def test_a_server_error_is_retried_with_exponential_backoff(try_number, delay):
    """The task's ``retry_delay`` is doubled each time, up to an hour."""
    assert decide(errors.SecodaServerError("said"), try_number) == ("retry", about(delay))


@with_policies
@pytest.mark.parametrize(
    ("task", "delay"),
    [
        ({"max_retry_delay": timedelta(seconds=90)}, 90),
        ({"retry_delay": timedelta(hours=5)}, 5 * 3600),
        ({"retry_delay": timedelta(0)}, 0),
        ({"retry_delay": timedelta(days=9_999)}, 9_999 * 86_400),
    ],
)
def test_the_backoff_keeps_the_limits_of_the_task(task, delay):
    """No delay is longer than ``max_retry_delay``, and none shorter than ``retry_delay``."""
    assert decide(errors.SecodaConnectionError("said"), 3, **task) == ("retry", about(delay))


@with_policies
def test_a_cleared_task_starts_again_with_the_first_delay():
    """The tries from before a task was cleared do not count: Airflow does not restart their numbers."""
    assert decide(errors.SecodaServerError("said"), try_number=6, max_tries=8, retries=3) == ("retry", about(60))


@with_policies
def test_retry_after_of_a_server_error_is_obeyed():
    """A ``Retry-After`` of a 503 applies if it is longer than the backoff."""
    assert decide(errors.SecodaServerError("said", retry_after=600.0)) == ("retry", about(600))
    assert decide(errors.SecodaServerError("said", retry_after=5.0)) == ("retry", about(60))


@with_policies
def test_the_delay_differs_from_task_to_task():
    """Tasks that failed together are not retried together, and never earlier than the server requested."""
    error = errors.SecodaRateLimitError("said", retry_after=100.0)
    delays = {decide(error)[1] for _ in range(50)}
    assert len(delays) > 40
    assert 100 <= min(delays) < max(delays) <= 110


# --- the policy of a task ---------------------------------------------------------------------------------


class Ours(SecodaRetryPolicy):
    """A policy of another provider."""


@with_policies
@both
def test_the_policy_of_a_task(kind, arguments):
    """The provider's by default; another one, or none, as argument or in ``default_args``; mapped tasks alike."""
    ours, others = Ours(), {key: value for key, value in arguments.items() if key != "resource_id"}
    with DAG("d", schedule=None, start_date=UNTIL, default_args={"retry_policy": ours}):
        assert kind(task_id="a", **arguments).retry_policy is ours
        assert kind(task_id="b", **arguments, retry_policy=None).retry_policy is None
    with DAG("d", schedule=None, start_date=UNTIL, default_args={"retry_policy": None}):
        assert kind(task_id="a", **arguments).retry_policy is None
        assert kind(task_id="b", **arguments, retry_policy=ours).retry_policy is ours
    with DAG("d", schedule=None, start_date=UNTIL):
        assert type(kind(task_id="a", **arguments).retry_policy) is SecodaRetryPolicy
        mapped = kind.partial(task_id="b", **others).expand(**_over(kind))
        assert type(mapped.retry_policy) is SecodaRetryPolicy
        assert type(mapped.unmap(_one(kind)).retry_policy) is SecodaRetryPolicy
        mapped = kind.partial(task_id="c", **others, retry_policy=ours).expand(**_over(kind))
        assert mapped.unmap(_one(kind)).retry_policy is ours
        mapped = kind.partial(task_id="e", **others, retry_policy=None).expand(**_over(kind))
        assert mapped.unmap(_one(kind)).retry_policy is None


def _over(kind):
    name = "output_path" if kind is SecodaAuditLogsOperator else "resource_id"
    return {name: ["x.jsonl", "y.jsonl"]}


def _one(kind):
    return {name: values[0] for name, values in _over(kind).items()}


@both
def test_the_argument_is_known_everywhere(kind, arguments):
    """One DAG file works with all versions of Airflow: before 3.3 the argument has no effect."""
    with DAG("d", schedule=None, start_date=UNTIL):
        for number, policy in enumerate((None, SecodaRetryPolicy())):
            kind(task_id=f"t{number}", retry_policy=policy, **arguments)


# --- the error that a policy receives ---------------------------------------------------------------------------------


@pytest.fixture
def refusing(secoda_sandbox_factory):
    """Return a sandbox that refuses every key."""
    sandbox = secoda_sandbox_factory(Workspace())
    sandbox.faults.script = [401] * 10
    return sandbox


def failure(kind, arguments, **more):
    """Execute a task; return the error that it leaves with."""
    from airflow.providers.common.compat.sdk import DAG

    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        task = kind(task_id="t", **arguments, **more)
    run = SimpleNamespace(run_after=UNTIL, start_date=UNTIL)
    with pytest.raises(Exception) as caught:
        task.execute({"dag": dag, "dag_run": run, "ti": SimpleNamespace(try_number=1, max_tries=1)})
    return caught.value


@both
def test_without_a_policy_it_fails_at_once(refusing, kind, arguments):
    """Without a policy a rejected key is an AirflowFailException, with the original error as its cause."""
    error = failure(kind, arguments, retry_policy=None)
    assert type(error) is AirflowFailException
    assert isinstance(error.__cause__, errors.SecodaAuthenticationError)


@with_policies
@both
def test_a_policy_gets_the_real_error(refusing, kind, arguments):
    """A policy receives the original error, whose chain of causes has no cycle."""
    error = failure(kind, arguments)
    assert type(error) is errors.SecodaAuthenticationError
    seen = []
    link: BaseException | None = error
    while link is not None:  # as loggers follow it
        assert link not in seen
        seen.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


@with_policies
def test_a_deferred_task_uses_its_policy_too(refusing):
    """The operator comes back from its wait with the same policy as before."""
    kind, arguments = OPERATOR
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "window_rule": "start_end"}
    with pytest.raises(errors.SecodaAuthenticationError):
        kind(task_id="t", **arguments).execute_settled({}, window=window)
    with pytest.raises(AirflowFailException):
        kind(task_id="t", **arguments, retry_policy=None).execute_settled({}, window=window)


@both
def test_mistakes_in_a_dag_fail_at_once(refusing, kind, arguments):
    """A connection without a key is not retried, with a policy or without."""
    import os

    os.environ["AIRFLOW_CONN_EMPTY"] = '{"conn_type": "secoda"}'
    try:
        error = failure(kind, arguments, secoda_conn_id="empty")
    finally:
        del os.environ["AIRFLOW_CONN_EMPTY"]
    if V33:
        assert decide(error)[0] == "fail"
    else:
        assert type(error) is AirflowFailException


@both
def test_a_missing_connection_fails_at_once(airflow, kind, arguments):
    """A connection that does not exist is not retried, with a policy or without, and is named."""
    error = failure(kind, arguments, secoda_conn_id="nowhere")
    if V33:
        assert decide(error)[0] == "fail"
    else:
        assert type(error) is AirflowFailException
    assert "connection 'nowhere' does not exist" in str(error)
    assert type(failure(kind, arguments, secoda_conn_id="nowhere", retry_policy=None)) is AirflowFailException


def test_soft_fail_comes_first(refusing):
    """A sensor with ``soft_fail`` is skipped, and the policy is not called."""
    from airflow.providers.common.compat.sdk import AirflowSkipException

    kind, arguments = SENSOR
    assert type(failure(kind, arguments, soft_fail=True)) is AirflowSkipException


# --- what the log of a task has ------------------------------------------------------------------------------------

RETRYING = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

with DAG("retrying", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    SecodaAuditLogsOperator(task_id="fetch", start="2026-01-01T00:00:00Z", end="2026-01-02T00:00:00Z")
"""


def test_a_retry_within_a_task_is_in_its_log(airflow, secoda_sandbox_factory):
    """The log of a task that succeeds through failures of the server has a line for the first of each kind."""
    sandbox = secoda_sandbox_factory(
        Workspace.generate(seed=1, logs=50, days=3, until=datetime(2026, 1, 3, tzinfo=UTC))
    )
    sandbox.faults.script = [503, "cut"]
    ran = airflow_runs.run_dag(RETRYING)
    assert ran.state == "success", ran.log
    lines = [line for line in ran.log.splitlines() if "to request page 1 again (attempt" in line]
    assert [any(kind in line for line in lines) for kind in ("Secoda answered 503", "the connection broke")] == [
        True
    ] * 2
    assert len(lines) == 2
