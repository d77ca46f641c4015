"""Object stores on loopback, through Airflow connections."""

from __future__ import annotations

import pytest

from tests.helpers import gcs_server, s3_server

pytest.importorskip("airflow")


@pytest.fixture(scope="module", params=["s3", "gs"])
def bucket(request):
    """Return a bucket of each store, with the connection that its URL names."""
    with pytest.MonkeyPatch.context() as patch:
        server = {"s3": s3_server, "gs": gcs_server}[request.param].connected(patch)
        yield server.bucket(request.module.__name__.replace("_", "-"))
