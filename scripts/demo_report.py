"""What the demo prints: the operator's summary and the first logs, as a person would read them."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pendulum
from demo_stage import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WHO, WHAT = 20, 48


def report(summary: Mapping[str, Any], *, source: str, first: int = 8) -> str:
    """Return what landed where, and the first logs of it.

    :param summary: the return value of ``SecodaAuditLogsOperator`` with an ``output_path``.
    :param source: names the workspace that was read.
    :param first: how many logs to show.
    """
    path = local_path(summary["path"])
    rows = [
        ("workspace", source),
        ("window", f"{utc(summary['start'])} to {utc(summary['end'])} UTC, end excluded"),
        ("chosen by", summary["window_rule"]),
        ("logs", f"{summary['count']:,}, by {summary['timestamp_field']}"),
        ("landed in", f"{shown(path)} ({summary['format']}, {summary['bytes']:,} bytes)"),
        ("sha256", summary["sha256"]),
        ("manifest", shown(local_path(summary["manifest"]))),
        ("cost", f"{summary['requests']} requests for {summary['pages']} pages"),
    ]
    if summary["repeats_dropped"]:
        rows.append(("repeats", f"{summary['repeats_dropped']} dropped: logs arrived during the read"))
    if summary["history_from"]:
        rows.append(("history", history(summary["history_from"], summary["start"])))
    lines = [f"  {name:<10} {value}" for name, value in rows]
    logs = [sentence(log, summary["timestamp_field"]) for log in islice(read(path), first)]
    more = summary["count"] - len(logs)
    if logs:
        lines += ["", *(f"  {line}" for line in logs)]
    if more > 0:
        lines.append(f"  … and {more:,} more")
    return "\n".join(lines)


def history(begins: str, start: str) -> str:
    """Return how far back the API shows logs, and whether that is short of the window's start."""
    young = moment(begins) >= moment(start)
    return f"goes back to {utc(begins)} UTC" + (" (younger than the window's start)" if young else "")


def local_path(url: str) -> Path:
    """Return the local file of a path or ``file`` URL."""
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else Path(url)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the logs of a landed file, whichever of the formats it has."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415  # only for this format

        yield from map(json.loads, pq.read_table(path, columns=["raw"]).column("raw").to_pylist())
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from map(json.loads, lines)


def sentence(log: Mapping[str, Any], timestamp_field: str) -> str:
    """Return one log as a line: when, who, what, on which resource."""
    columns = f"{utc(log[timestamp_field])[11:]}  {cut(who(log), WHO):<{WHO}}  {cut(what(log), WHAT):<{WHAT}}"
    return f"{columns}  {on(log)}".rstrip()


def utc(text: str) -> str:
    """Return an ISO moment as one reads it, in UTC."""
    return moment(text).in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss")


def moment(text: str) -> pendulum.DateTime:
    """Return the moment that an ISO text with a date and a time names."""
    parsed = pendulum.parse(text)
    assert isinstance(parsed, pendulum.DateTime)
    return parsed


def who(log: Mapping[str, Any]) -> str:
    """Return the performer's name as people know it, else its type."""
    about = log.get("performer_metadata") or {}
    full = f"{about.get('first_name') or ''} {about.get('last_name') or ''}".strip()
    return about.get("display_name") or full or about.get("name") or log["performer_type"].lower()


def what(log: Mapping[str, Any]) -> str:
    """Return what was done: the sentence that Secoda shows, else the bare type."""
    text = " ".join(block["value"].strip() for block in log["event_blocks"])
    return text.removeprefix(who(log)).strip() or log["activity_type"].replace("_", " ").lower()


def on(log: Mapping[str, Any]) -> str:
    """Return the resource that it was done to, or nothing."""
    kind = log.get("secoda_entity_type") or log.get("resource_type") or ""
    name = (log.get("resource_metadata") or {}).get("name") or log.get("resource_id") or ""
    return f"{kind.replace('_', ' ').lower()} {name}".strip()


def cut(text: str, width: int) -> str:
    """Shorten to a column's width, visibly."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
