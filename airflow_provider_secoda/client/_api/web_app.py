"""Where people look at a resource in their browser.

The vendor publishes no scheme for the addresses of its web app, so whoever sets up a connection copies one from the
browser and says where the resource's id stands in it. What is known, and filled in, is the app's host in each region.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from airflow_provider_secoda.client._api.base_url import REGIONS
from airflow_provider_secoda.client.errors import SecodaConfigurationError

_APPS = {"us": "app.secoda.co", "eu": "eu.secoda.co", "apac": "apac.secoda.co"}
_APP_URLS = {f"https://{REGIONS[region]}": f"https://{host}" for region, host in _APPS.items()}
#: One host, the app's or another, and what stands behind it.
_TEMPLATE = re.compile(r"(\{app\}|https?://[A-Za-z0-9.-]+(?::[0-9]+)?)([/?#][!-~]*)")
_ID = "{resource_id}"


def app_url(base_url: str) -> str:
    """Return where the web app of an API's base URL is, without a trailing slash; self-hosted ones share the host."""
    return _APP_URLS.get(base_url, base_url)


def resource_url(template: str, base_url: str, resource_id: str) -> str:
    """Return the address of a resource's page.

    :param template: such as ``{app}/resource/{resource_id}``; ``{app}`` may stand at its beginning
    :param base_url: the API's, as :func:`~.regions.resolve_base_url` gives it
    :param resource_id: anything; it is percent-encoded
    :raises SecodaConfigurationError: the template makes no address of a page of one host, or names no
        ``{resource_id}``
    """
    found = _TEMPLATE.fullmatch(template)
    if found is None:
        raise SecodaConfigurationError(
            f"`resource_url` {template!r:.200} is no address such as {{app}}/resource/{{resource_id}}: begin with "
            "{app} or https://, and copy the rest from the browser"
        )
    host, rest = found.groups()
    if _ID not in rest or set("{}") & set(rest.replace(_ID, "")):
        raise SecodaConfigurationError(
            f"`resource_url` {template!r:.200} must hold {{resource_id}} where the id stands, and no other braces "
            "behind the host"
        )
    return (app_url(base_url) if host == "{app}" else host) + rest.replace(_ID, quote(resource_id, safe=""))
