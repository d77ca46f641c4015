"""Write the report as one HTML page that needs no other file: no script, no font, no image."""

from __future__ import annotations

import base64
import hashlib
import shlex
from html import escape as escape_markup
from importlib.resources import files as package_files
from typing import TYPE_CHECKING

from airflow_provider_secoda.client._api.timestamps import format_instant
from airflow_provider_secoda.verify._messages import escape, plural
from airflow_provider_secoda.verify._reports.calendar import COMPLETE, STATES, arrange, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_secoda.verify._reports.calendar import Block, Cell
    from airflow_provider_secoda.verify._reports.document import Context
    from airflow_provider_secoda.verify._result import FileResult, Findings, Result, SeriesResult

#: With more windows, the table has only those that are not complete.
_MAX_ROWS = 1_000
_PATH_CHARACTERS = 1_000
_VERDICTS = {
    "ok": "Everything was checked, without findings.",
    "failed": "There are findings.",
    "incomplete": "Something could not be checked, or there was nothing to check.",
}


def page(result: Result, context: Context) -> Iterator[str]:
    """Yield the page in pieces."""
    style = package_files(__package__).joinpath("report.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>Secoda audit logs, report {context.sequence}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    yield from _header(result, context)
    yield "<main>\n"
    yield from _totals(result)
    yield from _legend()
    for number, series in enumerate(result.series, 1):
        yield from _calendar(number, series, result)
    yield from _all_findings(result)
    yield from _windows(result)
    yield from _about(result, context)
    yield "</main>\n</body>\n</html>\n"


def _text(text: str, limit: int = _PATH_CHARACTERS) -> str:
    """Return text of a file, without what a page or a terminal would obey."""
    return escape_markup(escape(text, limit))


def _times(*instants: int) -> list[str]:
    """Return times as markup; if all are midnights, without the time of day."""
    texts = [format_instant(instant) for instant in instants]
    midnight = "T00:00:00Z"
    if all(text.endswith(midnight) for text in texts):
        texts = [text.removesuffix(midnight) for text in texts]
    return [f"<time>{text}</time>" for text in texts]


def _header(result: Result, context: Context) -> Iterator[str]:
    against = "their manifests and Secoda's API" if result.against_source else "their manifests"
    yield f'<header>\n<p class="badge {result.status}">{result.status.upper()}</p>\n'
    yield f"<h1>Secoda audit logs <small>report {context.sequence}</small></h1>\n"
    yield f"<p>{_VERDICTS[result.status]} Files were checked against {against}, {_text(result.checked_at)}.</p>\n<ul>"
    yield "".join(f"<li><code>{_text(path)}</code></li>" for path in result.paths)
    yield "</ul>\n"
    edges = {name: edge for name, edge in (("from", result.start), ("until", result.end)) if edge is not None}
    if edges:
        times = zip(edges, _times(*edges.values()), strict=True)
        yield f"<p>Requested span: {' '.join(f'{name} {time}' for name, time in times)}.</p>\n"
    yield "</header>\n"


def _totals(result: Result) -> Iterator[str]:
    states = [state_of(file) for file in result.files]
    tiles = [
        (len(result.files), "files"),
        (sum(state is COMPLETE for state in states), "complete"),
        (result.records, "records"),
        (result.finding_count, "findings"),
        (result.note_count, "notes"),
        (len(result.errors), "not checked"),
    ]
    yield '<section class="totals"><h2>Totals</h2>\n<dl>\n'
    for number, name in tiles:
        bad = ' class="bad"' if number and name in ("findings", "not checked") else ""
        yield f"<div{bad}><dt>{name}</dt><dd>{number:,}</dd></div>\n"
    yield "</dl></section>\n"


def _legend() -> Iterator[str]:
    yield '<section class="legend"><h2>Windows</h2>\n<ul>\n'
    for state in STATES:
        mark = f'<b class="cell {state.key}">{state.sign}</b>'
        yield f"<li>{mark} <span><strong>{state.label}</strong> {escape_markup(state.meaning)}</span></li>\n"
    yield "</ul></section>\n"


def _calendar(number: int, series: SeriesResult, result: Result) -> Iterator[str]:
    key = series.key
    about = [key.connection_id, key.base_url, f"by {key.timestamp_field}", key.format]
    about.append("no filter" if key.filter is None else f"filter {key.filter}")
    about += [] if key.dag_id is None else [f"DAG {key.dag_id}"]
    unit, blocks = arrange((file for file in result.files if file.series == key), result.start, result.end)
    yield f'<section class="series"><h3>Series {number}</h3>\n<p>{", ".join(map(_text, about))}</p>\n'
    if series.span is not None:
        counts = series.findings.counts
        edges = [f"no {kind}" if not counts[kind] else plural(counts[kind], kind) for kind in ("gap", "overlap")]
        size = f"{plural(series.windows, 'window')}, {plural(series.records, 'record')}, {', '.join(edges)}"
        span = "From {} until {}".format(*_times(series.span.start, series.span.end))
        yield f"<p>{span}: {size}. Each cell is one {unit}, UTC.</p>\n"
    yield f'<div class="calendar by-{unit}">\n'
    for block in blocks:
        yield _table(block)
    yield "</div></section>\n"


def _table(block: Block) -> str:
    named = any(name for name, _ in block.rows)
    corner = "<td></td>" if named else ""
    heads = "".join(f'<th scope="col">{name}</th>' for name in block.columns)
    rows = []
    for name, cells in block.rows:
        head = f'<th scope="row">{name}</th>' if named else ""
        rows.append(f"<tr>{head}{''.join(map(_cell, cells))}</tr>")
    table = f"<thead><tr>{corner}{heads}</tr></thead>\n<tbody>{''.join(rows)}</tbody>"
    return f"<table><caption>{block.title}</caption>{table}</table>\n"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    if cell.state is None:
        return f'<td class="outside"><i>{cell.name}</i></td>'
    title = f"{cell.label}: {cell.state.label}, {plural(cell.windows, 'window')}"
    return f'<td class="cell {cell.state.key}" title="{title}"><i>{cell.name}</i><b>{cell.state.sign}</b></td>'


def _all_findings(result: Result) -> Iterator[str]:
    yield '<section class="findings"><h2>Findings</h2>\n'
    empty = True
    for error in result.errors:
        empty = False
        yield f'<p class="error"><strong>Not checked:</strong> {escape_markup(error)}</p>\n'
    if result.changes is not None and result.changes.findings.listed:
        empty = False
        yield f"<h3>Since report {result.changes.report}</h3>\n{_findings(result.changes.findings)}"
    for number, series in enumerate(result.series, 1):
        if series.findings.listed:
            empty = False
            yield f"<h3>Series {number}</h3>\n{_findings(series.findings)}"
    for file in _in_order(result):
        if file.findings.listed:
            empty = False
            yield f"<h3><code>{_text(file.path)}</code></h3>\n{_findings(file.findings)}"
    yield "<p>There are no findings.</p></section>\n" if empty else "</section>\n"


def _findings(findings: Findings) -> str:
    items = []
    for kind in dict.fromkeys(finding.kind for finding in findings.listed):
        listed = [finding for finding in findings.listed if finding.kind == kind]
        items += [f"<li><b>{kind}</b><span>{escape_markup(finding.text)}</span></li>\n" for finding in listed]
        if more := findings.counts[kind] - len(listed):
            items.append(f"<li><b>{kind}</b><span>and {more:,} more of this kind</span></li>\n")
    return f"<ul>{''.join(items)}</ul>\n"


def _in_order(result: Result) -> list[FileResult]:
    return sorted(result.files, key=lambda file: (file.window.start if file.window else 0, file.path))


def _windows(result: Result) -> Iterator[str]:
    shown = _in_order(result)
    yield '<section class="windows"><h2>Files</h2>\n'
    if len(shown) > _MAX_ROWS:
        shown = [file for file in shown if state_of(file) is not COMPLETE]
        yield f"<p>There are {len(result.files):,} files; the table has those that are not complete.</p>\n"
    yield '<div class="wide"><table><thead><tr><th></th><th>from (UTC)</th><th>until</th><th>records</th>'
    yield "<th>file</th><th>SHA-256 of the manifest</th></tr></thead>\n<tbody>\n"
    for file in shown:
        state = state_of(file)
        edges = ("", "") if file.window is None else _times(file.window.start, file.window.end)
        mark = f'<td class="cell {state.key}" title="{state.label}"><b>{state.sign}</b></td>'
        yield f"<tr>{mark}<td>{edges[0]}</td><td>{edges[1]}</td><td>{file.records:,}</td>"
        yield f"<td><code>{_text(file.path)}</code></td><td><code>{file.manifest_sha256 or ''}</code></td></tr>\n"
    yield "</tbody></table></div></section>\n"


def _about(result: Result, context: Context) -> Iterator[str]:
    html, document, signature = map(shlex.quote, (context.html_name, context.json_name, context.signature_name))
    previous = context.previous
    rows = [
        ("Report", f"{context.sequence}, of {_text(result.checked_at)}"),
        (
            "Report before",
            "none, this is the first"
            if previous is None
            else f"<code>{_text(previous.name)}</code>, SHA-256 <code>{previous.sha256}</code>",
        ),
        ("Versions", _text(", ".join(f"{name} {version}" for name, version in context.versions.items()))),
        ("Signed with", "not signed" if context.signing_key is None else f"key <code>{context.signing_key}</code>"),
        ("Keys of the manifests", _keys(context)),
    ]
    yield '<section class="about"><h2>About this report</h2>\n<dl>\n'
    yield "".join(f"<dt>{name}</dt><dd>{value}</dd>\n" for name, value in rows)
    yield f"</dl>\n<h3>Repeat the check</h3>\n<pre><code>{_text(context.command, 100_000)}</code></pre>\n"
    yield "<h3>Check this report</h3>\n<p>The first command must print the <code>html.sha256</code> that is in "
    yield f"<code>{_text(context.json_name)}</code>. The last one checks this report and all before it.</p>\n"
    commands = [f"sha256sum {html}"]
    key = ""
    if context.signing_key is not None:
        commands.append(f"openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in {document} -sigfile {signature}")
        key = " --public-key key.pem"
    commands.append(f"python -m airflow_provider_secoda.verify --chain {document}{key}")
    yield f"<pre><code>{'&#10;'.join(map(_text, commands))}</code></pre></section>\n"


def _keys(context: Context) -> str:
    if context.public_keys is None:
        return "signatures were not checked"
    return ", ".join(f"<code>{_text(key)}</code>" for key in context.public_keys)
