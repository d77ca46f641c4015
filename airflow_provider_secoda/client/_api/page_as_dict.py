"""One documented page as Python objects, for people who ask for just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airflow_provider_secoda.client._api.audit_log_page import decode_audit_logs
from airflow_provider_secoda.client._api.decoding import check_envelope, decode
from airflow_provider_secoda.client._api.json_checks import nested_deeper
from airflow_provider_secoda.client._api.resource_log_page import decode_resource_logs

if TYPE_CHECKING:
    from airflow_provider_secoda.client._api.flow import Response

_decode_object = msgspec.json.Decoder(dict[str, Any])


def read_json(response: Response, listing: Literal["results", "version_histories"] = "results") -> dict[str, Any]:
    """Read a whole page into Python objects, for people who ask for one documented page.

    :param listing: what the page must hold
    :raises SecodaResponseError: when the body is cut, or something else than such a page
    :raises SecodaLimitError: when it is nested too deeply
    """
    if nested_deeper(response.body, response.limits.nesting):
        raise response.limits.passed("nesting", "$")
    decode(decode_audit_logs if listing == "results" else decode_resource_logs, response)
    check_envelope(response)
    return decode(_decode_object, response)[0]  # type: ignore[no-any-return]
