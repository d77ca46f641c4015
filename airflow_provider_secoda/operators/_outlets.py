"""Add the summary of a task to the events of the assets that it updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_secoda._compat import run_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def add_outlet_event_extra(outlets: Iterable[Any], summary: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Add the summary to the ``extra`` of the event of each asset in a task's ``outlets``.

    A DAG that the asset triggers reads from it which file was written and for which window. A partitioned run adds its
    ``partition_key`` too. Keys that the DAG's own code has set stay as they are. Asset aliases are skipped: only the
    DAG knows which asset a file belongs to.

    :param outlets: the task's outlets, of any kind
    :param summary: what the task reports: JSON values
    :param context: the context of the task
    """
    events = context.get("outlet_events")
    if events is None:  # a caller executes the operator by hand
        return
    key = run_fact(context, "partition_key")
    added = {**summary, **({} if key is None else {"partition_key": key})}
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            continue
        try:
            extra = events[outlet].extra
        except TypeError:  # not an asset, but an outlet of a lineage tool
            continue
        extra.update({name: value for name, value in added.items() if name not in extra})
