"""Who acts in an invented workspace, on what, and how a sentence about it reads.

The reference leaves ``activity_type`` and the kinds of ``event_blocks`` open; the names here are invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from airflow_provider_secoda.sandbox.schema import EventBlock, PerformerMetadata, ResourceMetadata

if TYPE_CHECKING:
    from random import Random

    from airflow_provider_secoda.sandbox.schema import PerformerType, ResourceType

_FIRST = (
    "Ada", "Amara", "Björn", "Camille", "Chidi", "Daniela", "Elif", "Farah", "Grace", "Hiro", "Ines", "Jonas",
    "Kofi", "Lena", "Mateo", "Nadia", "Noé", "Olu", "Priya", "Quinn", "Ravi", "Sofia", "Tomás", "Uma",
    "Viktor", "Wanjiru", "Xin", "Yusuf", "Zoë",
)  # fmt: skip
_LAST = (
    "Okafor", "Lindqvist", "Moreau", "Haddad", "Nakamura", "Fernández", "Novák", "Mensah", "Kaya", "Silva",
    "Patel", "Weber", "Ivanova", "Rossi", "Kimani", "Chen", "O'Brien", "Yildiz", "Dubois", "Larsen",
)  # fmt: skip
_MOST_PEOPLE = 500
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
class Actor:
    """Somebody or something that acts; ``says`` opens the sentence of its logs."""

    type: PerformerType
    id: str | None
    says: str
    metadata: PerformerMetadata | None


@dataclass(frozen=True)
class Thing:
    """Something that is acted on; ``entity_type`` is set for catalog entries, whose edits make versions."""

    type: ResourceType
    id: str
    name: str
    metadata: ResourceMetadata
    entity_type: str | None = None


@dataclass(frozen=True)
class Cast:
    """All actors by kind, and all things by kind, of one workspace."""

    people: list[Actor] = field(default_factory=list)
    machines: dict[PerformerType, list[Actor]] = field(default_factory=dict)
    catalog: list[Thing] = field(default_factory=list)
    integrations: list[Thing] = field(default_factory=list)
    others: list[Thing] = field(default_factory=list)

    def actor(self, kind: PerformerType) -> Actor:
        """Return the first actor of a kind."""
        return self.people[0] if kind == "USER" else self.machines[kind][0]


def random_id(random: Random) -> str:
    """Return a UUID (version 4) drawn from ``random``."""
    return str(UUID(int=random.getrandbits(128), version=4))


def make_cast(random: Random, people: int) -> Cast:
    """Return a cast with so many people; the same for the same state of ``random``.

    :raises ValueError: fewer than one person, or more than there are names for.
    """
    if not 1 <= people <= _MOST_PEOPLE:
        raise ValueError(f"people must be from 1 to {_MOST_PEOPLE}, not {people}")
    cast = Cast()
    names = random.sample([f"{first} {last}" for first in _FIRST for last in _LAST if first != "Ada"], people)
    cast.people.extend(_person(random, name) for name in ["Ada Okafor", *names][:people])
    for kind, title in _INTEGRATIONS:
        identity = random_id(random)
        cast.integrations.append(Thing("INTEGRATION", identity, title, ResourceMetadata(identity, title, type=kind)))
    for thing in cast.integrations:
        source = PerformerMetadata(thing.id, thing.name, integration_type=thing.metadata.type, display_name=thing.name)
        cast.machines.setdefault("INTEGRATION", []).append(
            Actor("INTEGRATION", thing.id, f"{thing.name} connection", source)
        )
        cast.machines.setdefault("EXTRACTION", []).append(Actor("EXTRACTION", thing.id, thing.name, source))
    for service, title in _SERVICES:
        identity = random_id(random)
        account = PerformerMetadata(identity, title, display_name=title, is_service_account=service == "API")
        cast.machines[service] = [Actor(service, identity, title, account)]
    cast.machines["SYSTEM"] = [Actor("SYSTEM", None, "Secoda", None)]
    cast.machines["UNKNOWN"] = [Actor("UNKNOWN", None, "Somebody", None)]
    _furnish(random, cast)
    return cast


def sentence(actor: Actor, verb: str, thing: Thing) -> list[EventBlock]:
    """Return the event blocks that read, for example, "Ada Okafor updated the description of orders"."""
    return [
        EventBlock("text", "bold", actor.says),
        EventBlock("text", "normal", f" {verb} "),
        EventBlock("text", "bold", thing.name),
    ]


def _person(random: Random, name: str) -> Actor:
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
    return Actor("USER", identity, name, metadata)


def _furnish(random: Random, cast: Cast) -> None:
    warehouse, looker = cast.integrations[0], cast.integrations[2]

    def entity(name: str, kind: str, home: str | None) -> None:
        identity = random_id(random)
        metadata = ResourceMetadata(identity, name, type=kind, integration_id=home)
        cast.catalog.append(Thing("SECODA_ENTITY", identity, name, metadata, kind))

    for table in _TABLES:
        for schema in _SCHEMAS:
            entity(table if schema == "marts" else f"{schema}.{table}", "table", warehouse.id)
    for column in ("email", "created_at", "amount", "status"):
        for table in _TABLES[:12]:
            entity(f"{table}.{column}", "column", warehouse.id)
    for title in _DASHBOARDS:
        entity(title, "dashboard", looker.id)
    for title in _TERMS:
        entity(title, "dictionary_term", None)
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
        cast.others.append(Thing(kind, identity, title, ResourceMetadata(identity, title, type=kind.lower())))
