"""The hook: a Secoda client for an Airflow connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda._compat import mask_secret
from airflow_provider_secoda.client._api.json_checks import load
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.get_provider_info import get_provider_info
from airflow_provider_secoda.hooks._errors import connection_named, final_errors_fail
from airflow_provider_secoda.hooks._metrics import counting_logs, record_request_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_secoda.client._api.audit_log_page import Log, TimestampField
    from airflow_provider_secoda.client._audit_logs.output import WindowReport
    from airflow_provider_secoda.client._http.retry import RetryPolicy
    from airflow_provider_secoda.client._versions.history import Baseline
    from airflow_provider_secoda.client._versions.page_order import PageOrder
    from airflow_provider_secoda.client._versions.poll import Poll
    from airflow_provider_secoda.client.sync import SecodaClient
    from airflow_provider_secoda.hooks._connection import ConnectionSettings

__all__ = ["SecodaHook"]


class SecodaHook(BaseHook):
    """Read Secoda's audit logs and resource logs with the key of an Airflow connection.

    Errors that a retry cannot fix (401, 403, 404 and other 4xx, an untrusted certificate, a limit) are raised as
    ``AirflowFailException``, so that the task fails without a retry; the original error is the ``__cause__``.

    :param secoda_conn_id: the connection's id
    """

    conn_name_attr = "secoda_conn_id"
    default_conn_name = "secoda_default"
    conn_type = "secoda"
    hook_name = "Secoda"

    def __init__(self, secoda_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.secoda_conn_id = secoda_conn_id
        self._client: SecodaClient | None = None
        self._poller: SecodaClient | None = None
        self._settings: ConnectionSettings | None = None

    @property
    def settings(self) -> ConnectionSettings:
        """The settings of the connection, which is read once.

        :raises SecodaConfigurationError: naming the field to set or to change
        """
        from airflow_provider_secoda.hooks import _connection  # noqa: PLC0415 - not for parsing

        if self._settings is None:
            settings = _connection.read_connection(_mask_key(self._find_connection()))
            for secret in _connection.proxy_secrets(settings.endpoint.proxy):
                mask_secret(secret)
            if settings.unknown_extras:
                unknown = _connection.describe_unknown(settings.unknown_extras)
                self.log.warning("Connection %r has extras that are not used: %s", self.secoda_conn_id, unknown)
            if settings.endpoint.verify is False:
                self.log.warning(_connection.UNVERIFIED_WARNING, self.secoda_conn_id)
            self._settings = settings
        return self._settings

    def _find_connection(self) -> Connection:
        try:
            return self.get_connection(self.secoda_conn_id)
        except AirflowNotFoundException as missing:
            raise SecodaConfigurationError(
                f"connection {self.secoda_conn_id!r} does not exist, or its secrets backend cannot be read: create it, "
                "or correct `secoda_conn_id`"
            ) from missing

    def get_conn(self) -> SecodaClient:
        """Return the client, the same one each time.

        :raises SecodaConfigurationError: naming the field to set or to change
        """
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def _make_client(self, policy: RetryPolicy | None = None) -> SecodaClient:
        from airflow_provider_secoda.client.sync import SecodaClient  # noqa: PLC0415 - heavy, and not for parsing

        with connection_named(self.secoda_conn_id):
            return SecodaClient.from_endpoint(self.settings.endpoint, policy)

    @contextmanager
    def _using_client(self) -> Iterator[SecodaClient]:
        """Pass on the client; name the connection in errors, map final ones to Airflow's exception, report metrics."""
        with final_errors_fail(configuration=False):
            client = self.get_conn()
            with connection_named(self.secoda_conn_id), record_request_metrics(client, self.secoda_conn_id):
                yield client

    def list_audit_logs(
        self,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        sort: Mapping[str, Any] | None = None,
        page: int = 1,
    ) -> dict[str, Any]:
        """Return one documented page of the workspace's audit logs.

        :param filter: the documented grammar, as a mapping or JSON text
        :param sort: such as ``{"field": "logged_at", "order": "desc"}``
        :return: ``results`` (list of logs), ``count``, ``total_pages``, ``meta``
        """
        with self._using_client() as client:
            return client.list_audit_logs(filter=filter, sort=sort, page=page)

    def list_resource_logs(self, resource_id: str, page: int = 1) -> dict[str, Any]:
        """Return one documented page of a resource's logs.

        :return: ``version_histories``, ``non_versioned_logs``, ``count``, ``total_pages``, ``meta``
        """
        with self._using_client() as client:
            return client.list_resource_logs(resource_id, page=page)

    def iter_audit_logs(
        self,
        start: datetime | str,
        end: datetime | str,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: TimestampField = "logged_at",
        *,
        concurrency: int = 4,
    ) -> Iterator[dict[str, Any]]:
        """Stream the logs of the half-open window ``[start, end)``, each once, in any order.

        :param start: an aware datetime, or an ISO 8601 string (UTC if it has no offset); likewise ``end``
        :param concurrency: how many requests may be in flight
        :raises SecodaIncompleteError: if it cannot be proven that no log is missing; only a stream that ends without an
            error is complete
        """
        for batch in self.iter_raw_audit_logs(
            start, end, filter=filter, timestamp_field=timestamp_field, concurrency=concurrency
        ):
            yield from (load(log.raw) for log in batch)

    def iter_raw_audit_logs(
        self,
        start: datetime | str,
        end: datetime | str,
        *,
        filter: Mapping[str, Any] | str | None = None,  # noqa: A002 - the API's name
        timestamp_field: TimestampField = "logged_at",
        concurrency: int = 4,
        report: WindowReport | None = None,
    ) -> Iterator[list[Log]]:
        """Stream the same logs in batches, each log with its timestamp, its id and the bytes that the API sent.

        :param report: filled while reading
        """
        edges = parse_datetime("start", start), parse_datetime("end", end)
        with self._using_client() as client:
            batches = client.iter_logs(
                *edges, filter=filter, timestamp_field=timestamp_field, concurrency=concurrency, report=report
            )
            yield from counting_logs(batches, self.secoda_conn_id)

    def iter_version_histories(self, resource_id: str) -> Iterator[dict[str, Any]]:
        """Yield every version history of a resource, each once, in the order of the API.

        :raises SecodaIncompleteError: if the pages change in every read
        """
        with self._using_client() as client:
            versions = client.version_histories(resource_id)
        yield from map(load, versions)

    def poll_versions(self, resource_id: str, baseline: Baseline, page_order: PageOrder | None = None) -> Poll:
        """Read once which version history entries of a resource are new; for this provider's sensor.

        A first request that fails is not retried, because the next poll repeats it.

        :param page_order: what the last poll returned, which makes this one cheap
        :raises SecodaError: unchanged, because the sensor decides whether a failed poll ends the wait
        """
        from airflow_provider_secoda.client._http.retry import POLL_POLICY  # noqa: PLC0415 - not for parsing
        from airflow_provider_secoda.client._versions.poll import poll_versions  # noqa: PLC0415 - not for parsing

        if self._poller is None:
            self._poller = self._make_client(POLL_POLICY)
        with record_request_metrics(self._poller, self.secoda_conn_id):
            return self._poller.value(poll_versions(resource_id, baseline, page_order), concurrency=4)

    def resource_url(self, resource_id: str) -> str | None:
        """Return the address of a resource's page in Secoda's web app; None if the connection has no template for it.

        :raises SecodaConfigurationError: naming the field of the connection to set or to change
        """
        from airflow_provider_secoda.client._api.web_app import resource_url  # noqa: PLC0415 - not for parsing

        template = self.settings.resource_url
        return None if template is None else resource_url(template, self.settings.base_url, resource_id)

    def test_connection(self) -> tuple[bool, str]:
        """Read page 1 of the audit logs; return whether that succeeded, and a message that says what to do if not."""
        from airflow_provider_secoda.hooks._connection_check import check_connection  # noqa: PLC0415 - not for parsing

        return check_connection(self)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields for Airflow before 3.2; later versions read them from the provider info."""
        from airflow_provider_secoda.hooks._connection import form_widgets  # noqa: PLC0415 - not for parsing

        return form_widgets(_form()["conn-fields"])

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form shows the standard fields, for Airflow before 3.2."""
        behaviour = _form()["ui-field-behaviour"]
        return {name.replace("-", "_"): behaviour[name] for name in ("hidden-fields", "relabeling", "placeholders")}


def _form() -> dict[str, Any]:
    info: dict[str, Any] = get_provider_info()  # type: ignore[no-untyped-call]
    form: dict[str, Any] = info["connection-types"][0]
    return form


def _mask_key(connection: Connection) -> Connection:
    """Mask a connection's key in logs; return the connection, so that the caller has no variable with it."""
    key = (connection.password or "").strip()
    if key:
        mask_secret(key)
    return connection
