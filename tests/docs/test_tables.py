"""The tables of arguments are the signatures; the tables of modules, metrics and findings are those of the code."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re

import pytest

from airflow_provider_secoda import _persisted
from tests.helpers.documents import blocks, page, section

#: Defaults that a table describes, because they are not literals.
DESCRIBED = {"1 minute", "Airflow's `default_deferrable`", "the provider's"}


def arguments(module, class_name):
    """Return the class, and its arguments with their defaults."""
    pytest.importorskip("airflow")
    documented = getattr(importlib.import_module(f"airflow_provider_secoda.{module}.secoda"), class_name)
    signature = inspect.signature(documented.__init__).parameters
    return documented, {name: p.default for name, p in signature.items() if name not in ("self", "kwargs")}


def check_defaults(table, signature):
    """Compare a table of defaults, as they are written, with a signature."""
    assert set(table) == set(signature)
    for name, default in table.items():
        if signature[name] is inspect.Parameter.empty:
            assert default == "required", name
        elif default not in DESCRIBED:
            assert ast.literal_eval(default.strip("`")) == signature[name], name


@pytest.mark.parametrize(
    ("document", "module", "class_name"),
    [
        ("reference/operator.md", "operators", "SecodaAuditLogsOperator"),
        ("reference/verify_operator.md", "operators", "SecodaVerifyOperator"),
        ("reference/sensor.md", "sensors", "SecodaVersionHistorySensor"),
    ],
)
def test_the_arguments_table_is_the_class(document, module, class_name):
    """The table of arguments names each argument with its default, and which are templated."""
    documented, signature = arguments(module, class_name)
    rows = re.findall(r"^\| (`[a-z_`, ]+`)( ¹)? \| ([^|]+) \|", section(page(document), "## Arguments"), re.MULTILINE)
    table = {name: (bool(mark), default) for names, mark, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert {name for name, (marked, _) in table.items() if marked} == set(documented.template_fields)
    check_defaults({name: default for name, (_, default) in table.items()}, signature)


@pytest.mark.parametrize("class_name", ["SecodaVersionHistoryEventTrigger", "SecodaAuditLogEventTrigger"])
def test_the_arguments_table_is_the_trigger(class_name):
    """The table of an event trigger names each argument with its default."""
    _, signature = arguments("triggers", class_name)
    text = page("reference/triggers.md").split(f"\n`{class_name}`:\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \|", text, re.MULTILINE)
    check_defaults(
        {
            name: default
            for names, defaults in rows
            for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
        },
        signature,
    )


def test_the_findings_are_those_of_verify():
    """The page of findings has each kind that the package lists, and no others; notes are called notes."""
    from airflow_provider_secoda import verify

    documented = page("reference/findings.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", documented, re.MULTILINE))
    listed = re.findall(r"^(\w+(?:, \w+)*)  +(\S.*)$", verify.__doc__.split("Kinds:\n")[1], re.MULTILINE)
    kinds = {kind: text for names, text in listed for kind in names.split(", ")}
    assert len(kinds) > 20
    assert set(rows) == set(kinds)
    assert {kind for kind, text in rows.items() if text.startswith("A note: ")} == {
        kind for kind, text in kinds.items() if text.startswith("(a note) ")
    }


def members(value, prefix=""):
    """Return the names of a JSON value as `_persisted.py` writes them."""
    if isinstance(value, list):
        return {name for each in value for name in members(each, f"{prefix}[]")}
    if not isinstance(value, dict) or not value:
        return {prefix}
    return {name for key, each in value.items() for name in members(each, f"{prefix}.{key}".lstrip("."))}


def test_the_manifest_is_the_one_that_is_written():
    """The example of a manifest has the members of a written one; the tables describe all of them."""
    text = page("reference/manifest.md")
    example = json.loads(blocks(text, "json")[0])
    assert example.pop("records")
    read = example["read"] | {"turns": 0, "warnings": 0, "reread_reasons": 0}
    shown = members(example | {"read": read})
    optional = {"signing_key", "versions.pyarrow"}
    assert shown == set(_persisted.MANIFEST.names) - optional
    named = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)]
    assert {name for row in named for name in row} == {*example, *read, "signing_key", "supplement", "records"}


def test_the_results_are_those_that_are_returned():
    """The examples of a summary and of an entry have the keys that tasks return."""
    summary, entries = (json.loads(block) for block in blocks(page("reference/results.md"), "json"))
    assert set(summary) == set(_persisted.SUMMARY.names)
    [entry] = entries
    assert set(entry) == {re.split(r"\[|\.", name)[0] for name in _persisted.ENTRY.names}
