"""Tell the assets that a task updates what was fetched: the next DAG learns which file, of which window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_secoda._compat import run_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def add_outlet_event_extra(outlets: Iterable[Any], told: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Put what was fetched into the ``extra`` of the event of each asset among a task's ``outlets``.

    It is what the task returns (``path``, ``count``, ``start``, ``end``, ``window_rule``, ``sha256``, …), with the
    ``partition_key`` where the run has one; Airflow gives the event itself that key, too. What a DAG's own code put
    there before stays. An asset alias is not resolved: which asset an output is of is for the DAG to say.

    :param told: the summary, JSON-able
    """
    events = context.get("outlet_events")
    if events is None:  # where somebody calls `execute` by hand
        return
    key = run_fact(context, "partition_key")
    facts = {**told, **({} if key is None else {"partition_key": key})}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            continue
        try:
            extra = events[outlet].extra
        except TypeError:  # no asset, but something else that lineage tools know
            continue
        extra.update({name: fact for name, fact in facts.items() if name not in extra})
