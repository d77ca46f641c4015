"""Schemas of Secoda's audit logs and versions, after the reference (OpenAPI 8.22.39).

The sandbox keeps its own table of the documented fields on purpose: a mistake in the client's table shows in the tests.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

PerformerType: TypeAlias = Literal[
    "API", "AUTOMATION", "INTEGRATION", "EXTRACTION", "SYSTEM", "USER", "UNKNOWN", "MONITOR"
]  # fmt: skip
ResourceType: TypeAlias = Literal[
    "API_KEY", "AUTOMATION", "AUTOMATION_JOB", "BACKGROUND_JOB", "COMMENT", "CUSTOM_PROPERTY",
    "DATABUILDER_JOB", "DATA_ACCESS_REQUEST", "IAM_ROLE", "IAM_RESOURCE_POLICY", "INCIDENT", "INTEGRATION",
    "INVITATION_LINK", "LINEAGE",
    "MARKETPLACE_INTEGRATION_SPEC", "MARKETPLACE_INTEGRATION_SPEC_VERSION", "METRIC", "MONITOR",
    "MONITOR_NOTIFICATION_RULE", "OWNER", "OWNER_GROUP", "POLICY", "POLICY_RESULT", "QUERY", "QUESTION",
    "QUESTION_REPLY", "REPORT", "S3_OBJECT", "SECODA_ENTITY", "SUBSCRIBER", "SUBSCRIBER_GROUP", "TAG",
    "TAG_GROUP", "TEAM", "USER", "USER_GROUP", "WIDGET", "WORKSPACE",
]  # fmt: skip


class PerformerMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """Who acted: ``v1_ActivityLogPerformerMetadata``."""

    id: str
    name: str | None = None
    icon: str | None = None
    src: str | None = None
    integration_type: str | None = None
    display_name: str | None = None
    disabled: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    profile_picture: str | None = None
    is_service_account: bool | None = None


class ResourceMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """What was acted on: ``v1_ActivityLogResourceMetadata``."""

    id: str
    name: str | None = None
    icon: str | None = None
    type: str | None = None
    integration_id: str | None = None


class EventBlock(msgspec.Struct, forbid_unknown_fields=True):
    """One part of the sentence that the web app shows: ``v1_ActivityLogEventBlock``."""

    type: str
    style: Literal["normal", "bold"]
    value: str


class Log(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One audit log: ``v1_ActivityLogOut``, its fields in the order of the reference."""

    id: str
    parent_id: str | None = None
    activity_type: str
    performer_id: str | None = None
    performer_type: PerformerType
    performer_metadata: PerformerMetadata | None = None
    resource_id: str | None = None
    resource_type: ResourceType | None = None
    resource_metadata: ResourceMetadata | None = None
    related_resource_ids: list[str] = []
    related_resource_type: ResourceType | None = None
    event_blocks: list[EventBlock] = []
    logged_at: str
    created_at: str
    updated_at: str
    is_legacy: bool = False
    version_history_id: str | None = None
    secoda_entity_type: str | None = None
    metadata: dict[str, Any] | None = None


#: The fields of a log that hold a timestamp.
TIMESTAMPS = ("logged_at", "created_at", "updated_at")
#: The fields of a log that hold one value: a listing can be sorted by them.
SCALARS = frozenset(
    name
    for name in Log.__struct_fields__
    if name not in {"performer_metadata", "resource_metadata", "related_resource_ids", "event_blocks", "metadata"}
)


class VersionMetadata(msgspec.Struct, forbid_unknown_fields=True):
    """What a version changed: ``v1_VersionHistoryMetadata``."""

    prev: dict[str, Any] = {}
    current: dict[str, Any] = {}
    definition_diff: dict[str, Any] = {}
    description_diff: dict[str, Any] = {}
    secoda_entity_property_snapshot: dict[str, Any] | None = None


class VersionHistory(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A group of edits of one resource: ``v1_VersionHistoryOut``. Its logs are audit logs, too."""

    id: str
    created_at: str
    updated_at: str
    latest_activity_logged_at: str
    resource_id: str
    activity_logs: list[msgspec.Raw] = []
    metadata: VersionMetadata = msgspec.field(default_factory=VersionMetadata)
    is_legacy: bool = False
    secoda_entity_type: str | None = None
    older_than_thirty_days: bool | None = None


class PageMeta(msgspec.Struct):
    """Position of a page in its listing: ``v1_ActivityLogPaginationMeta``."""

    page: int
    previous_page: int | None
    next_page: int | None
    count: int
    total_pages: int


class AuditLogsPage(msgspec.Struct):
    """One response of List Audit Logs: ``v1_ActivityLogOutPaginated``."""

    results: list[msgspec.Raw]
    total_pages: int
    count: int
    meta: PageMeta


class ResourceLogsPage(msgspec.Struct):
    """One response of List Resource Logs: ``v1_ResourceActivityLogOutPaginated``."""

    non_versioned_logs: list[msgspec.Raw]
    version_histories: list[VersionHistory]
    total_pages: int
    count: int
    meta: PageMeta
