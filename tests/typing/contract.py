"""Use every public name as a user's code would.

``mypy --strict`` checks this module (``scripts/check`` and ``test_contract.py``); nothing in it is called. Wrong uses
are marked with the error that mypy must report: a mark without an error is an error too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Asset, Context
from airflow.triggers.base import TriggerEvent
from typing_extensions import assert_type

from airflow_provider_secoda.assets.secoda import (
    Address,
    convert_asset_to_openlineage,
    create_asset,
    read_uri,
    sanitize_uri,
)
from airflow_provider_secoda.client import (
    AsyncSecodaClient,
    Limits,
    Log,
    RetryPolicy,
    SecodaAuthenticationError,
    SecodaClient,
    SecodaConfigurationError,
    SecodaConnectionError,
    SecodaError,
    SecodaFatalError,
    SecodaIncompleteError,
    SecodaLimitError,
    SecodaNotFoundError,
    SecodaPermissionError,
    SecodaRateLimitError,
    SecodaRedirectError,
    SecodaRequestError,
    SecodaResponseError,
    SecodaRetriableError,
    SecodaServerError,
    SecodaTimeoutError,
    SecodaTLSError,
)
from airflow_provider_secoda.client.filters import (
    Filter,
    Sort,
    all_of,
    any_of,
    contains,
    exact,
    is_set,
    none_of,
    one_of,
)
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.hooks.signing_key import SecodaSigningKeyHook
from airflow_provider_secoda.links.secoda import SecodaOutputLink, SecodaReportLink, SecodaResourceLink
from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator, missing_windows
from airflow_provider_secoda.retries import SecodaRetryPolicy
from airflow_provider_secoda.sandbox import Faults, RequestRecord, Sandbox, Workspace
from airflow_provider_secoda.sandbox.pytest_plugin import SandboxFactory  # noqa: TC001 - as users import it
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
from airflow_provider_secoda.signing import (
    BadSignatureError,
    KeyFormatError,
    PrivateKeySigner,
    Signer,
    UnknownKeyError,
    generate_key,
    key_id,
    load_public_keys,
    sign,
    sign_file,
    verify_signature,
)
from airflow_provider_secoda.triggers.secoda import (
    SecodaAuditLogEventTrigger,
    SecodaVersionHistoryEventTrigger,
    SecodaVersionHistoryTrigger,
)
from airflow_provider_secoda.verify import Result, verify
from airflow_provider_secoda.windows import Window, WindowError, resolve_window, split_window

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def operator(context: Context) -> None:
    task = SecodaAuditLogsOperator(
        task_id="fetch",
        secoda_conn_id="secoda_default",
        start=NOW,
        end="2026-01-02",
        filter=exact("performer_type", "USER"),
        timestamp_field="created_at",
        output_path="s3://conn@bucket/{start}.jsonl",
        overwrite=True,
        on_change="replace",
        settle=timedelta(minutes=1),
        concurrency=4,
        skip_if_empty=True,
        require_history=True,
        xcom_limit_bytes=1_000,
        write_manifest=False,
        signing_conn_id="audit_key",
        signer="my_company.keys.KmsSigner",
        deferrable=False,
        retry_policy=SecodaRetryPolicy(),
        retries=3,
    )
    SecodaAuditLogsOperator(
        task_id="fetch", start="2026-01-01", end=NOW, filter='{"operator": "and"}', retry_policy=None
    )
    assert_type(task.execute(context), dict[str, Any] | list[dict[str, Any]])

    windows: list[dict[str, str]] = missing_windows(
        "logs/{start}.jsonl", "2026-01-01", NOW, every=timedelta(1), at_most=31
    )
    SecodaAuditLogsOperator.partial(task_id="fetch").expand_kwargs(windows)

    verify_task = SecodaVerifyOperator(
        task_id="verify",
        path=["s3://conn@bucket/logs"],
        start=NOW,
        end="2026-01-02",
        last=None,
        against_source=True,
        secoda_conn_id="secoda_default",
        public_keys=["key.pub.pem"],
        on_finding="supplement",
        report_path="reports/{sequence}.html",
        signing_conn_id=None,
        signer="my_company.keys.KmsSigner",
        max_findings=10,
        retry_policy=None,
    )
    assert_type(verify_task.execute(context), dict[str, Any])
    SecodaVerifyOperator(task_id="verify", path="logs", on_finding="ignore")  # type: ignore[arg-type]
    SecodaVerifyOperator(task_id="verify")  # type: ignore[call-arg]

    missing_windows("logs/{start}.jsonl", 1)  # type: ignore[arg-type]
    SecodaAuditLogsOperator("fetch")  # type: ignore[call-arg]
    SecodaAuditLogsOperator(task_id="fetch", timestamp_field="updated_at")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", settle="60")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", concurrency="4")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", start=1)  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", filter=["USER"])  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", output_path=b"logs.jsonl")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", overwrite="no")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", on_change="supplement", output_path="logs/{start}.jsonl")
    SecodaAuditLogsOperator(task_id="fetch", on_change="add")  # type: ignore[arg-type]
    SecodaAuditLogsOperator(task_id="fetch", retry_policy="never")  # type: ignore[arg-type]


def sensor(context: Context) -> None:
    task = SecodaVersionHistorySensor(
        task_id="wait",
        secoda_conn_id="secoda_default",
        resource_id="4f1c",
        since=NOW,
        since_version_id="8d2f",
        match="any_activity",
        deferrable=True,
        max_consecutive_failures=5,
        wait_for_resource=True,
        start_from_trigger=True,
        retry_policy=None,
        poke_interval=timedelta(minutes=1),
    )
    SecodaVersionHistorySensor(task_id="wait", resource_id="4f1c", since="2026-01-01", match="new_version")
    assert_type(task.execute(context), list[dict[str, Any]])

    SecodaVersionHistorySensor(task_id="wait")  # type: ignore[call-arg]
    SecodaVersionHistorySensor(task_id="wait", resource_id=1)  # type: ignore[arg-type]
    SecodaVersionHistorySensor(task_id="wait", resource_id="4f1c", match="foo")  # type: ignore[arg-type]
    SecodaVersionHistorySensor(task_id="wait", resource_id="4f1c", since=1)  # type: ignore[arg-type]


async def event_triggers() -> None:
    logs = SecodaAuditLogEventTrigger(
        secoda_conn_id="secoda_default",
        activity_types=["DELETE"],
        performer_types=("USER",),
        performer_ids=["u-17"],
        resource_types=["SECODA_ENTITY"],
        resource_ids=["4f1c"],
        filter=None,
        poke_interval=60,
        lookback=0.5,
    )
    SecodaAuditLogEventTrigger(filter=one_of("activity_type", ["DELETE"]))
    versions = SecodaVersionHistoryEventTrigger(
        resource_id="4f1c", secoda_conn_id="secoda_default", match="any_activity", poke_interval=60, lookback=60
    )
    for trigger in (logs, versions):
        assert_type(trigger.serialize(), tuple[str, dict[str, Any]])
        assert_type(trigger.run(), AsyncIterator[TriggerEvent])

    SecodaAuditLogEventTrigger(activity_types=1)  # type: ignore[arg-type]
    SecodaAuditLogEventTrigger(poke_interval=timedelta(minutes=1), lookback=timedelta(hours=1))
    SecodaAuditLogEventTrigger(poke_interval="60")  # type: ignore[arg-type]
    SecodaVersionHistoryEventTrigger()  # type: ignore[call-arg]
    SecodaVersionHistoryEventTrigger("4f1c", match="foo")  # type: ignore[arg-type]


async def sensors_trigger() -> None:
    SecodaVersionHistoryTrigger(secoda_conn_id="c", resource_id="r", since="s", match="foo")  # type: ignore[arg-type]
    trigger = SecodaVersionHistoryTrigger(secoda_conn_id="secoda_default", resource_id="4f1c", since=NOW.isoformat())
    assert_type(trigger.serialize(), tuple[str, dict[str, Any]])
    assert_type(trigger.run(), AsyncIterator[TriggerEvent])


def hook() -> None:
    hook = SecodaHook(secoda_conn_id="secoda_default")
    SecodaHook()
    assert_type(hook.get_conn(), SecodaClient)
    assert_type(hook.test_connection(), tuple[bool, str])
    assert_type(hook.list_audit_logs(filter=None, sort={"field": "logged_at", "order": "desc"}, page=1), dict[str, Any])
    assert_type(hook.list_resource_logs("4f1c", page=1), dict[str, Any])
    assert_type(
        hook.iter_audit_logs(NOW, NOW, filter=None, timestamp_field="logged_at", concurrency=4),
        Iterator[dict[str, Any]],
    )
    assert_type(hook.iter_version_histories("4f1c"), Iterator[dict[str, Any]])
    assert_type(hook.resource_url("4f1c"), str | None)

    hook.iter_audit_logs("2026-01-01", "2026-01-02")
    hook.iter_audit_logs(1, NOW)  # type: ignore[arg-type]
    hook.iter_audit_logs(NOW, NOW, timestamp_field="updated_at")  # type: ignore[arg-type]
    hook.list_audit_logs(page="1")  # type: ignore[arg-type]


def client() -> None:
    with SecodaClient(
        "key",
        "https://eapi.secoda.co",
        timeout=60,
        verify="/etc/ca.pem",
        proxy="http://proxy",
        policy=RetryPolicy(attempts=8, base=0.5, cap=30, max_retry_after=900),
        user_agent="me",
        limits=Limits(body_bytes=1 << 20, decompressed_bytes=1 << 20, nesting=100, answer_seconds=60),
    ) as client:
        assert_type(client, SecodaClient)
        assert_type(client.list_audit_logs(sort=Sort("logged_at", "asc")), dict[str, Any])
        assert_type(client.list_resource_logs("4f1c"), dict[str, Any])
        assert_type(client.version_histories("4f1c"), list[bytes])
        batches = client.iter_logs(NOW, NOW, filter=exact("id", "a"), timestamp_field="created_at", concurrency=2)
        assert_type(batches, Iterator[list[Log]])
        for batch in batches:
            assert_type(batch[0].id, str)
            assert_type(batch[0].raw, bytes)

        client.iter_logs("2026-01-01", NOW)  # type: ignore[arg-type]
        client.iter_logs(NOW, NOW, timestamp_field="x")  # type: ignore[arg-type]
    SecodaClient()  # type: ignore[call-arg]
    SecodaClient("key", timeout="60")  # type: ignore[arg-type]
    SecodaClient("key", "https://api.secoda.co", 60)  # type: ignore[call-arg]


async def asynchronous_client() -> None:
    async with AsyncSecodaClient(
        "key",
        "https://eapi.secoda.co",
        timeout=60,
        verify=False,
        proxy=None,
        policy=None,
        user_agent="me",
        limits=None,
        max_connections=8,
    ) as client:
        assert_type(client, AsyncSecodaClient)
    AsyncSecodaClient("key", max_connections="8")  # type: ignore[arg-type]


def errors(error: SecodaError) -> None:
    assert_type(error.retriable, bool)
    if isinstance(error, SecodaFatalError | SecodaRetriableError):
        assert_type(error.status, int | None)
    if isinstance(error, SecodaRetriableError):
        assert_type(error.retry_after, float | None)
    fatal: list[type[SecodaFatalError]] = [
        SecodaAuthenticationError,
        SecodaPermissionError,
        SecodaNotFoundError,
        SecodaRequestError,
        SecodaRedirectError,
        SecodaTLSError,
        SecodaLimitError,
    ]
    retriable: list[type[SecodaRetriableError]] = [
        SecodaRateLimitError,
        SecodaServerError,
        SecodaConnectionError,
        SecodaTimeoutError,
        SecodaResponseError,
    ]
    others: list[type[SecodaError]] = [SecodaConfigurationError, SecodaIncompleteError]
    del fatal, retriable, others


def filters() -> None:
    tree = all_of(
        exact("performer_type", "USER"),
        contains("activity_type", "DELETE"),
        one_of("activity_type", {"DELETE", "EXPORT"}),
        any_of(is_set("resource_id"), is_set("resource_id", value=False)),
        none_of(exact("is_legacy", value=True)),
    )
    assert_type(tree, dict[str, Any])
    assert_type(Filter.parse(tree), Filter | None)
    Sort("created_at", "desc", tie_breaker=True)

    Sort("logged_at", "up")  # type: ignore[arg-type]
    one_of("activity_type", 1)  # type: ignore[arg-type]
    all_of("USER")  # type: ignore[arg-type]


def assets() -> None:
    asset = create_asset(
        region="eu", customer_domain=None, host=None, workspace="w", resource_id="4f1c", name="revenue"
    )
    assert_type(asset, Asset)
    address = read_uri("secoda://eapi.secoda.co/audit_logs")
    assert_type(address, Address)
    assert_type(address.resource_id, str | None)
    sanitize_uri(urlsplit("secoda://eapi.secoda.co/audit_logs"))
    convert_asset_to_openlineage(asset, None)

    create_asset("eu")  # type: ignore[call-arg]
    create_asset(resource_id=1)  # type: ignore[arg-type]


def links() -> None:
    assert_type(SecodaOutputLink().xcom_key, str)
    assert_type(SecodaReportLink().xcom_key, str)
    assert_type(SecodaResourceLink().xcom_key, str)


def windows(context: dict[str, Any]) -> None:
    try:
        window = resolve_window(context, start=None, end="2026-01-01")
    except WindowError as error:
        assert_type(error, WindowError)
    else:
        assert_type(window, Window)
        assert_type(window.start, datetime)
        assert_type(window.end, datetime)
        assert_type(window.rule, str)
    assert_type(split_window(NOW, "2026-01-02", every=timedelta(hours=1), at_most=24), list[dict[str, str]])

    split_window(NOW, NOW, every="1h")  # type: ignore[arg-type]
    resolve_window(context, start=1)  # type: ignore[arg-type]


def verification() -> None:
    result = verify(
        ["logs"],
        start=NOW,
        end=NOW,
        against_source=True,
        conn_id="secoda_default",
        public_keys=["audit-key.pub.pem"],
        max_findings=10,
    )
    assert_type(result, Result)
    assert_type(result.exit_code, int)

    verify("logs", start=1)  # type: ignore[arg-type]


class KeyService:
    """A signer of a user, who does not import the protocol."""

    public_key = b"-----BEGIN PUBLIC KEY-----"

    def sign(self, data: bytes) -> bytes:
        return data


def signing() -> None:
    pem = generate_key("p256")
    assert_type(pem, bytes)
    key = PrivateKeySigner.from_pem(pem)
    signers: list[Signer] = [key, KeyService()]
    assert_type(sign(signers[0], b"data"), bytes)
    assert_type(sign_file(signers[1], "manifest"), bytes)
    hook = SecodaSigningKeyHook(signing_conn_id="audit_key")
    assert_type(hook.get_conn(), PrivateKeySigner)
    assert_type(hook.test_connection(), tuple[bool, str])
    public_keys = load_public_keys(["key.pub.pem", "-----BEGIN PUBLIC KEY-----"])
    assert_type(public_keys, dict[str, bytes])
    assert_type(key_id(key.public_key), str)
    verify_signature(public_keys, key_id(key.public_key), b"data", b"signature")
    errors: list[type[Exception]] = [BadSignatureError, KeyFormatError, UnknownKeyError]
    del errors

    generate_key("rsa")  # type: ignore[arg-type]
    sign(pem, b"data")  # type: ignore[arg-type]


def sandbox(factory: SandboxFactory) -> None:
    workspace = Workspace.generate(seed=7, logs=5000)
    with Sandbox(
        workspace, api_key="a", member_key="b", host="127.0.0.1", port=0, page_size=100, faults=Faults(script=[429])
    ) as running:
        assert_type(running, Sandbox)
        assert_type(running.connection_json, str)
        assert_type(running.requests, list[RequestRecord])
        running.faults = Faults(order="ignored")
    assert_type(factory(workspace, page_size=5), Sandbox)
    assert_type(workspace.add_log(activity_type="EXPORT"), dict[str, Any])

    Faults(order="backwards")  # type: ignore[arg-type]
    Sandbox(page_size="100")  # type: ignore[arg-type]
