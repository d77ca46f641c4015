"""The address of a resource's page in Secoda's web app.

The vendor does not document these addresses, so the user who sets up a connection copies one from the browser and marks
the resource's id in it. Only the host of the app in each region is known, and filled in.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from airflow_provider_secoda.client._api.base_url import APPS, REGIONS
from airflow_provider_secoda.client.errors import SecodaConfigurationError

_APP_URLS = {f"https://{REGIONS[region]}": f"https://{host}" for region, host in APPS.items()}
#: One host, the app's or another, and the rest of the address.
_TEMPLATE = re.compile(r"(\{app\}|https?://[A-Za-z0-9.-]+(?::[0-9]+)?)([/?#][!-~]*)")
_ID = "{resource_id}"


def app_url(base_url: str) -> str:
    """Return the web app's address for an API's base URL, without a trailing slash; self-hosted ones share the host."""
    return _APP_URLS.get(base_url, base_url)


def resource_url(template: str, base_url: str, resource_id: str) -> str:
    """Return the address of a resource's page.

    :param template: such as ``{app}/resource/{resource_id}``; ``{app}`` is allowed at its beginning only
    :param base_url: the API's, as :func:`~.base_url.resolve_base_url` returns it
    :param resource_id: any string; it is percent-encoded
    :raises SecodaConfigurationError: if the template is not the address of a page on one host, or has no
        ``{resource_id}``
    """
    found = _TEMPLATE.fullmatch(template)
    if found is None:
        raise SecodaConfigurationError(
            f"`resource_url` {template!r:.200} is not an address such as {{app}}/resource/{{resource_id}}: begin with "
            "{app} or https://, and copy the rest from the browser"
        )
    host, rest = found.groups()
    if _ID not in rest or set("{}") & set(rest.replace(_ID, "")):
        raise SecodaConfigurationError(
            f"`resource_url` {template!r:.200} must contain {{resource_id}} in place of the id, and no other braces "
            "after the host"
        )
    return (app_url(base_url) if host == "{app}" else host) + rest.replace(_ID, quote(resource_id, safe=""))
