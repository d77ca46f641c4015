"""A PostgreSQL server for one test, where its programs are installed."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from benchmarks import databases

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run PostgreSQL on loopback; yield the SQLAlchemy URL of an empty database, or skip the test."""
    if not find_spec("psycopg2"):
        pytest.skip("psycopg2 is not installed: it is in the group engines")
    if databases.postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with databases.postgres() as address:
        yield f"postgresql+psycopg2://{address}"
