"""How far a watcher has come, and where that is kept: in the state store of the assets it watches for (Airflow 3.3).

A cursor says what is done with. What lies before ``since`` is; of what lies after it, what is listed in ``delivered``.
So a watcher that begins again reads from ``since`` on and fires for what is not listed: also for logs that were stored
with an older time than others that had been seen.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._compat import read_state, write_state
from airflow_provider_secoda.client._api.timestamps import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.client._api.timestamps import Instant

#: More are not written down; a cursor that would need to is moved on instead.
MAX_DELIVERED = 500
#: Seconds that the store may take.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Cursor:
    """How far a watcher has come.

    :param since: what was stored before is done with
    :param delivered: the keys of what was delivered since then, each with its own time
    """

    since: Instant
    delivered: Mapping[str, Instant] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "since": format_instant(self.since),
            "delivered": {key: format_instant(at) for key, at in sorted(self.delivered.items())},
        }

    @classmethod
    def from_json(cls, value: Any) -> Cursor | None:
        """Return what was kept, or None for what is no cursor."""
        try:
            delivered = {str(key): parse_instant(at) for key, at in value["delivered"].items()}
            return cls(parse_instant(value["since"]), delivered)
        except (TypeError, ValueError, LookupError, AttributeError):
            return None


class CursorStore:
    """The place of one watcher's cursor in the state stores of its assets.

    Identical watchers of several assets are one trigger to Airflow, so that each of these assets gets every event;
    the cursor is kept with all of them, and the one that is furthest on is right: nothing is written before all of
    the assets have what it covers.

    :param accessors: what the triggerer puts into ``asset_state_store``
    :param name: what is watched, apart from how often: the same after a restart
    """

    def __init__(self, accessors: Any, name: Mapping[str, Any]) -> None:
        digest = blake2b(json.dumps(name, sort_keys=True).encode(), digest_size=12).hexdigest()
        self.key = f"airflow_provider_secoda.{digest}"
        self._stores = _each(accessors)

    def __bool__(self) -> bool:
        """Whether there is a place at all."""
        return bool(self._stores)

    async def load(self) -> Cursor | None:
        """Return the cursor, or None if none was saved yet."""
        found = [
            Cursor.from_json(await asyncio.wait_for(read_state(store, self.key), _PATIENCE)) for store in self._stores
        ]
        return max((cursor for cursor in found if cursor), key=lambda cursor: cursor.since, default=None)

    async def save(self, cursor: Cursor) -> None:
        """Save the cursor."""
        for store in self._stores:
            await asyncio.wait_for(write_state(store, self.key, cursor.to_json()), _PATIENCE)


def _each(accessors: Any) -> list[Any]:
    """Return the store of each asset; Airflow gives no public way to them to those who do not know the assets."""
    by_asset = [store for name in ("_by_name", "_by_uri") for store in (getattr(accessors, name, None) or {}).values()]
    if by_asset or accessors is None:
        return by_asset
    return [accessors]
