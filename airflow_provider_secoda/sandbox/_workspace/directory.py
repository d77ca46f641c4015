"""Performers and resources of an invented workspace, and the sentences of their logs.

The reference does not list the activity types and the types of event blocks; those here are invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from airflow_provider_secoda.sandbox._workspace.schema import EventBlock, PerformerMetadata, ResourceMetadata

if TYPE_CHECKING:
    from random import Random

    from airflow_provider_secoda.sandbox._workspace.schema import PerformerType, ResourceType

_FIRST = (
    "Ada", "Amara", "Björn", "Camille", "Chidi", "Daniela", "Elif", "Farah", "Grace", "Hiro", "Ines", "Jonas",
    "Kofi", "Lena", "Mateo", "Nadia", "Noé", "Olu", "Priya", "Quinn", "Ravi", "Sofia", "Tomás", "Uma",
    "Viktor", "Wanjiru", "Xin", "Yusuf", "Zoë",
)  # fmt: skip
_LAST = (
    "Okafor", "Lindqvist", "Moreau", "Haddad", "Nakamura", "Fernández", "Novák", "Mensah", "Kaya", "Silva",
    "Patel", "Weber", "Ivanova", "Rossi", "Kimani", "Chen", "O'Brien", "Yildiz", "Dubois", "Larsen",
)  # fmt: skip
_MAX_PEOPLE = 500
_TABLES = (
    "orders", "order_items", "customers", "subscriptions", "invoices", "payments", "refunds", "sessions",
    "page_views", "events", "accounts", "opportunities", "leads", "tickets", "shipments", "inventory",
    "products", "prices", "campaigns", "ad_spend", "employees", "churn_scores",
)  # fmt: skip
_SCHEMAS = ("marts", "raw", "staging", "finance")
_DASHBOARDS = (
    "Weekly revenue", "Churn overview", "Support load", "Marketing funnel", "Inventory health",
    "Executive KPIs",
)  # fmt: skip
_TERMS = (
    "Active customer", "ARR", "Churned account", "Gross margin", "Net revenue retention", "Qualified lead",
)  # fmt: skip
_SERVICES: tuple[tuple[PerformerType, str], ...] = (
    ("AUTOMATION", "Tag PII columns"),
    ("MONITOR", "Freshness of orders"),
    ("API", "ci-publisher"),
)
_INTEGRATIONS = (
    ("snowflake", "Snowflake"), ("dbt", "dbt Cloud"), ("looker", "Looker"), ("postgres", "Postgres"),
    ("tableau", "Tableau"),
)  # fmt: skip


@dataclass(frozen=True)
class Performer:
    """A user or service that performs activities; ``label`` begins the sentence of its logs."""

    type: PerformerType
    id: str | None
    label: str
    metadata: PerformerMetadata | None


@dataclass(frozen=True)
class Resource:
    """A resource; ``entity_type`` is set for catalog entries, whose edits make versions."""

    type: ResourceType
    id: str
    name: str
    metadata: ResourceMetadata
    entity_type: str | None = None


@dataclass(frozen=True)
class Directory:
    """All performers and all resources of one workspace."""

    people: list[Performer] = field(default_factory=list)
    services: dict[PerformerType, list[Performer]] = field(default_factory=dict)
    catalog: list[Resource] = field(default_factory=list)
    integrations: list[Resource] = field(default_factory=list)
    others: list[Resource] = field(default_factory=list)

    def performer(self, kind: PerformerType) -> Performer:
        """Return the first performer of a type."""
        return self.people[0] if kind == "USER" else self.services[kind][0]


def random_id(random: Random) -> str:
    """Return a UUID (version 4) drawn from ``random``."""
    return str(UUID(int=random.getrandbits(128), version=4))


def make_directory(random: Random, people: int) -> Directory:
    """Return a directory with this number of users; the same for the same state of ``random``.

    :raises ValueError: fewer than one user, or more than there are names for.
    """
    if not 1 <= people <= _MAX_PEOPLE:
        raise ValueError(f"people must be from 1 to {_MAX_PEOPLE}, not {people}")
    directory = Directory()
    names = random.sample([f"{first} {last}" for first in _FIRST for last in _LAST if first != "Ada"], people)
    directory.people.extend(_person(random, name) for name in ["Ada Okafor", *names][:people])
    for kind, title in _INTEGRATIONS:
        identity = random_id(random)
        directory.integrations.append(
            Resource("INTEGRATION", identity, title, ResourceMetadata(identity, title, type=kind))
        )
    for resource in directory.integrations:
        source = PerformerMetadata(
            resource.id, resource.name, integration_type=resource.metadata.type, display_name=resource.name
        )
        directory.services.setdefault("INTEGRATION", []).append(
            Performer("INTEGRATION", resource.id, f"{resource.name} connection", source)
        )
        directory.services.setdefault("EXTRACTION", []).append(
            Performer("EXTRACTION", resource.id, resource.name, source)
        )
    for service, title in _SERVICES:
        identity = random_id(random)
        account = PerformerMetadata(identity, title, display_name=title, is_service_account=service == "API")
        directory.services[service] = [Performer(service, identity, title, account)]
    directory.services["SYSTEM"] = [Performer("SYSTEM", None, "Secoda", None)]
    directory.services["UNKNOWN"] = [Performer("UNKNOWN", None, "Somebody", None)]
    _add_resources(random, directory)
    return directory


def sentence(performer: Performer, verb: str, resource: Resource) -> list[EventBlock]:
    """Return event blocks, for example "Ada Okafor updated the description of orders"."""
    return [
        EventBlock("text", "bold", performer.label),
        EventBlock("text", "normal", f" {verb} "),
        EventBlock("text", "bold", resource.name),
    ]


def _person(random: Random, name: str) -> Performer:
    identity = random_id(random)
    first, _, last = name.partition(" ")
    metadata = PerformerMetadata(
        identity,
        name,
        display_name=name,
        disabled=False,
        first_name=first,
        last_name=last,
        is_service_account=False,
    )
    return Performer("USER", identity, name, metadata)


def _add_resources(random: Random, directory: Directory) -> None:
    warehouse, dashboards = directory.integrations[0], directory.integrations[2]

    def add_entity(name: str, kind: str, integration_id: str | None) -> None:
        identity = random_id(random)
        metadata = ResourceMetadata(identity, name, type=kind, integration_id=integration_id)
        directory.catalog.append(Resource("SECODA_ENTITY", identity, name, metadata, kind))

    for table in _TABLES:
        for schema in _SCHEMAS:
            add_entity(table if schema == "marts" else f"{schema}.{table}", "table", warehouse.id)
    for column in ("email", "created_at", "amount", "status"):
        for table in _TABLES[:12]:
            add_entity(f"{table}.{column}", "column", warehouse.id)
    for title in _DASHBOARDS:
        add_entity(title, "dashboard", dashboards.id)
    for title in _TERMS:
        add_entity(title, "dictionary_term", None)
    kinds: tuple[tuple[ResourceType, str], ...] = (
        ("TAG", "PII"),
        ("TEAM", "Analytics"),
        ("MONITOR", "Freshness of orders"),
        ("QUESTION", "Which orders count?"),
        ("METRIC", "Monthly recurring revenue"),
        ("API_KEY", "ci-publisher"),
        ("POLICY", "Every mart has an owner"),
    )
    for kind, title in kinds:
        identity = random_id(random)
        directory.others.append(Resource(kind, identity, title, ResourceMetadata(identity, title, type=kind.lower())))
