"""Complete a log of which only some fields are given."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from airflow_provider_secoda.sandbox._workspace.directory import Directory, Resource, random_id, sentence
from airflow_provider_secoda.sandbox._workspace.schema import TIMESTAMPS, Log, PerformerType, ResourceMetadata
from airflow_provider_secoda.sandbox._workspace.timestamps import (
    UTC,
    format_microseconds,
    format_timestamp,
    parse_nanoseconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

_LAG_MICROSECONDS = 200_000
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Log)}


def complete_log(fields: Mapping[str, Any], random: Random, directory: Directory) -> Log:
    """Return a complete log: the given fields, and invented ones that fit them.

    :raises msgspec.ValidationError: a field does not exist or has a wrong type.
    """
    log = dict(fields)
    for name in TIMESTAMPS:
        if name in log:
            log[name] = format_timestamp(log[name])
    log.setdefault("logged_at", format_timestamp(datetime.now(UTC)))
    if "created_at" not in log:
        log["created_at"] = format_microseconds(parse_nanoseconds(log["logged_at"]) // 1000 + _LAG_MICROSECONDS)
    log.setdefault("updated_at", log["created_at"])
    log.setdefault("id", random_id(random))
    log.setdefault("performer_type", "USER")
    log.setdefault("activity_type", "DESCRIPTION_UPDATED")
    resource = _resource(log.get("resource_id"), directory)
    kind = log["performer_type"]
    performer = directory.performer(kind if kind in get_args(PerformerType) else "UNKNOWN")
    if "performer_id" not in log:
        log["performer_id"] = performer.id
        log.setdefault("performer_metadata", performer.metadata)
    log.setdefault("resource_id", resource.id)
    if log["resource_id"] == resource.id:
        log.setdefault("resource_type", resource.type)
        log.setdefault("resource_metadata", resource.metadata)
        log.setdefault("secoda_entity_type", resource.entity_type)
    verb = "updated the description of" if log["activity_type"] == "DESCRIPTION_UPDATED" else "acted on"
    log.setdefault("event_blocks", sentence(performer, verb, resource))
    return msgspec.convert(log, Log)


def index_fields(
    document: Mapping[str, Any], fields: Mapping[str, Any], random: Random, directory: Directory
) -> dict[str, Any]:
    """Return the fields by which a log given as bytes is sorted: its own valid ones, overridden by ``fields``.

    Only the id and the timestamps are invented where they are missing.
    """
    own = {name: value for name, value in document.items() if _is_valid(name, value)} | dict(fields)
    complete = complete_log(own, random, directory)
    return own | {name: getattr(complete, name) for name in ("id", *TIMESTAMPS)}


def _is_valid(name: str, value: Any) -> bool:
    if name not in _TYPES:
        return False
    try:
        msgspec.convert(value, _TYPES[name])
        return name not in TIMESTAMPS or parse_nanoseconds(value) >= 0
    except (msgspec.ValidationError, ValueError):
        return False


def _resource(resource_id: Any, directory: Directory) -> Resource:
    """Return the resource with this id, or a new table; without an id, the first one of the catalog."""
    if not isinstance(resource_id, str):
        return directory.catalog[0]
    for resource in (*directory.catalog, *directory.integrations, *directory.others):
        if resource.id == resource_id:
            return resource
    metadata = ResourceMetadata(resource_id, resource_id, type="table")
    return Resource("SECODA_ENTITY", resource_id, resource_id, metadata, "table")
