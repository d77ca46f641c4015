"""Complete a log that somebody described by a few fields."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from airflow_provider_secoda.sandbox.cast import Thing, random_id, sentence
from airflow_provider_secoda.sandbox.index import TIMESTAMPS
from airflow_provider_secoda.sandbox.schema import Log, PerformerType, ResourceMetadata
from airflow_provider_secoda.sandbox.timestamps import UTC, nanoseconds, text_of, text_of_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_secoda.sandbox.workspace import Workspace

_LAG = timedelta(milliseconds=200)


def complete(workspace: Workspace, fields: Mapping[str, Any]) -> Log:
    """Return a whole log: the fields given, the rest invented to fit them.

    :raises msgspec.ValidationError: a field does not exist or is of the wrong kind.
    """
    given = dict(fields)
    for name in TIMESTAMPS:
        if name in given:
            given[name] = text_of_moment(given[name])
    given.setdefault("logged_at", text_of_moment(datetime.now(UTC)))
    if "created_at" not in given:
        given["created_at"] = text_of(nanoseconds(given["logged_at"]) // 1000 + _LAG // timedelta(microseconds=1))
    given.setdefault("updated_at", given["created_at"])
    given.setdefault("id", random_id(workspace.random))
    given.setdefault("performer_type", "USER")
    given.setdefault("activity_type", "DESCRIPTION_UPDATED")
    thing = _thing(workspace, given)
    kind = given["performer_type"]
    actor = workspace.cast.actor(kind if kind in get_args(PerformerType) else "UNKNOWN")
    if "performer_id" not in given:
        given["performer_id"] = actor.id
        given.setdefault("performer_metadata", actor.metadata)
    if "resource_id" not in given:
        given["resource_id"] = thing.id
    if given["resource_id"] == thing.id:
        given.setdefault("resource_type", thing.type)
        given.setdefault("resource_metadata", thing.metadata)
        given.setdefault("secoda_entity_type", thing.entity_type)
    verb = "updated the description of" if given["activity_type"] == "DESCRIPTION_UPDATED" else "acted on"
    given.setdefault("event_blocks", sentence(actor, verb, thing))
    return msgspec.convert(given, Log)


def stand_in(workspace: Workspace, document: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a foreign log is sorted and filed by: its own fields where sound, then those given.

    Only what no log can be without, its id and timestamps, is invented.
    """
    own = {name: value for name, value in document.items() if _sound(name, value)} | dict(fields)
    whole = complete(workspace, own)
    return own | {name: getattr(whole, name) for name in ("id", *TIMESTAMPS)}


def _sound(name: str, value: Any) -> bool:
    kind = _KINDS.get(name)
    if kind is None:
        return False
    try:
        msgspec.convert(value, kind)
        return name not in TIMESTAMPS or nanoseconds(value) >= 0
    except (msgspec.ValidationError, ValueError):
        return False


_KINDS = {field.name: field.type for field in msgspec.structs.fields(Log)}


def _thing(workspace: Workspace, given: Mapping[str, Any]) -> Thing:
    identity = given.get("resource_id")
    if not isinstance(identity, str):
        return workspace.cast.catalog[0]
    for thing in (*workspace.cast.catalog, *workspace.cast.integrations, *workspace.cast.others):
        if thing.id == identity:
            return thing
    return Thing("SECODA_ENTITY", identity, identity, ResourceMetadata(identity, identity, type="table"), "table")
