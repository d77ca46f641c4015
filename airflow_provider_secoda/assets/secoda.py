"""``secoda://`` asset URIs: create and check them, and convert them to OpenLineage datasets.

::

    secoda://<host>[:<port>]/audit_logs
    secoda://<host>[:<port>]/resource/<resource id>
    secoda://<host>[:<port>]/workspace/<name>/audit_logs
    secoda://<host>[:<port>]/workspace/<name>/resource/<resource id>

The host is that of the workspace's API: ``api.secoda.co``, ``eapi.secoda.co``, ``aapi.secoda.co``, or a self-hosted
one. The host of a region serves many workspaces, and the API does not report which workspace a key belongs to. Users
therefore choose a name for each workspace, the same in the connection (extra ``workspace``) and in the URI; with one
workspace on a host no name is needed. A URI does not contain a connection, because several connections can use the same
workspace.

Resource ids and names are percent-encoded, except letters, digits, ``-``, ``_``, ``.`` and ``~``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_secoda.client._api.base_url import resolve_base_url
from airflow_provider_secoda.client.errors import SecodaConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.common.compat.sdk import Asset

__all__ = ["Address", "convert_asset_to_openlineage", "create_asset", "read_uri", "sanitize_uri"]

_FORMS = (
    "write secoda://<host>/audit_logs or secoda://<host>/resource/<id>, "
    "with a workspace's name secoda://<host>/workspace/<name>/…"
)
_PORTS = {"https": 443, "http": 80}


class Address(NamedTuple):
    """Parts of an asset's URI. ``namespace`` and ``name`` are those of the OpenLineage dataset, and form the URI.

    :ivar authority: host and port of the API, as :func:`authority_of` returns them
    :ivar workspace: name of the workspace, or None
    :ivar resource_id: id of the resource; None for the audit logs
    """

    authority: str
    workspace: str | None = None
    resource_id: str | None = None

    @property
    def namespace(self) -> str:
        """Return the scheme and the authority."""
        return f"secoda://{self.authority}"

    @property
    def name(self) -> str:
        """Return the URI's path.

        :raises ValueError: a name is empty, or cannot be encoded
        """
        place = "" if self.workspace is None else f"workspace/{_encoded('workspace', self.workspace)}/"
        return place + (
            "audit_logs" if self.resource_id is None else f"resource/{_encoded('resource_id', self.resource_id)}"
        )

    @property
    def uri(self) -> str:
        """Return the asset's URI."""
        return f"{self.namespace}/{self.name}"


def authority_of(base_url: str) -> str:
    """Return host and port of a base URL, without the default port of its scheme."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def create_asset(
    *,
    region: str | None = None,
    customer_domain: str | None = None,
    host: str | None = None,
    workspace: str | None = None,
    resource_id: str | None = None,
    **asset: Any,
) -> Asset:
    """Return the asset of a workspace's audit logs, or of one of its resources.

    ``region``, ``customer_domain`` and ``host`` are the fields of the connection; the default is the US cloud.

    :param region: ``us``, ``eu``, ``apac`` or ``on_premise``
    :param customer_domain: the name before ``.secoda.co`` of an on-premise workspace
    :param host: base URL or host, also as copied from a browser
    :param workspace: the workspace's name, if one host serves several
    :param resource_id: id of the resource; None for the audit logs
    :param asset: other arguments of ``Asset``: ``extra``, and on Airflow 3 ``name`` and ``watchers``
    :raises ValueError: naming the argument to change
    """
    from airflow.providers.common.compat.sdk import Asset  # noqa: PLC0415 - Airflow reads this module at its start

    try:
        base_url = resolve_base_url(region=region, customer_domain=customer_domain, host=host)
    except SecodaConfigurationError as exc:
        raise ValueError(str(exc)) from None
    return Asset(uri=Address(authority_of(base_url), workspace, resource_id).uri, **asset)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the normalized form of a URI.

    Hosts of the web app are replaced by those of the API, because they serve the same workspaces.

    :raises ValueError: the URI is not that of an asset in Secoda, or may contain a key
    """
    address = _address(uri)
    return SplitResult("secoda", address.authority, f"/{address.name}", "", "")


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return the OpenLineage dataset of an asset; the operator and the sensor report the same one."""
    from airflow.providers.common.compat.openlineage.facet import Dataset  # noqa: PLC0415

    del lineage_context
    address = read_uri(asset.uri)
    return Dataset(namespace=address.namespace, name=address.name)


def read_uri(uri: str) -> Address:
    """Return the parts of an asset's URI, for example the id of the resource whose event runs a DAG.

    :raises ValueError: the URI is not that of an asset in Secoda
    """
    parts = urlsplit(uri)
    if parts.scheme.lower() != "secoda":
        raise ValueError(f"the URI does not begin with secoda://; {_FORMS}")
    return _address(parts)


def _address(uri: SplitResult) -> Address:
    if "@" in uri.netloc:
        raise ValueError(f"a secoda:// URI must not contain a user or a key; {_FORMS}")
    if uri.query or uri.fragment:
        raise ValueError(
            f"a secoda:// URI has no query and no fragment (in an id, write ? as %3F and # as %23); {_FORMS}"
        )
    if not uri.netloc:
        raise ValueError(f"a secoda:// URI needs a host; {_FORMS}")
    try:
        authority = authority_of(resolve_base_url(host=uri.netloc))
    except SecodaConfigurationError as exc:
        raise ValueError(f"{exc}; {_FORMS}") from None
    segments = [_decoded(segment) for segment in uri.path.removeprefix("/").split("/")]
    match segments if all(segments) else []:
        case ["audit_logs"]:
            return Address(authority)
        case ["resource", resource_id]:
            return Address(authority, None, resource_id)
        case ["workspace", workspace, "audit_logs"]:
            return Address(authority, workspace)
        case ["workspace", workspace, "resource", resource_id]:
            return Address(authority, workspace, resource_id)
    raise ValueError(f"{uri.path!r} is not the path of an asset in Secoda; {_FORMS}")


def _encoded(name: str, text: str) -> str:
    if not text:
        raise ValueError(f"`{name}` must not be empty")
    try:
        # In a path, a name that consists of dots refers to a parent.
        return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")
    except UnicodeEncodeError:
        raise ValueError(f"`{name}` must be encodable as UTF-8; {text!r} contains an unpaired surrogate") from None


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"{segment!r} is not percent-encoded UTF-8; {_FORMS}") from None
