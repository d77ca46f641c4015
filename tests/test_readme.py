"""What the README and the documents show is correct: examples, tables of arguments, links, names of tests."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import airflow_runs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]
TESTED_FEATURES = (ROOT / "docs" / "contributing" / "tested_features.md").read_text()
FEATURES = [row for row in TESTED_FEATURES.splitlines() if re.match(r"\| (?!feature )[^-]", row)]


def blocks(document):
    """Return the blocks of Python in a document."""
    return re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("name", "quoted"), re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", README, re.DOTALL)
)
def test_a_quoted_example_is_the_example(name, quoted):
    """A DAG in the README is the example DAG, without its docstring, lint marks and tags."""
    source = (ROOT / name).read_text()

    def shape(text):
        tree = ast.parse(text)
        tree.body = tree.body[isinstance(tree.body[0], ast.Expr) :]
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            call.keywords = [keyword for keyword in call.keywords if keyword.arg not in ("tags", "doc_md")]
        return ast.dump(tree)

    assert shape(quoted) == shape(source)


@pytest.mark.parametrize(
    "block",
    [
        block
        for document in DOCUMENTS
        if document.name != "load.md"  # its blocks are run as DAG files, where what they import is installed
        for block in blocks(document)
    ],
)
def test_python_blocks_are_python(block):
    """Every Python block compiles, and its imports exist."""
    pytest.importorskip("airflow")
    tree = ast.parse(block)
    if "airflow.sdk" in block and airflow_runs.version() < (3,):
        pytest.skip("it is for Airflow 3")
    if "RetryDecision" in block and airflow_runs.version() < (3, 3):
        pytest.skip("it is for Airflow 3.3")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), "README", "exec"), {})


@pytest.mark.parametrize(
    ("document", "module", "class_name"),
    [
        ("reference/operator.md", "operators", "SecodaAuditLogsOperator"),
        ("reference/sensor.md", "sensors", "SecodaVersionHistorySensor"),
    ],
)
def test_the_arguments_table_is_the_class(document, module, class_name):
    """The table of arguments names each argument with its default, and which are templated."""
    pytest.importorskip("airflow")
    documented = getattr(importlib.import_module(f"airflow_provider_secoda.{module}.secoda"), class_name)
    text = (ROOT / "docs" / document).read_text().split("## Arguments\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`)( ¹)? \| ([^|]+) \|", text, re.MULTILINE)
    table = {name: (bool(mark), default) for names, mark, default in rows for name in re.findall(r"`(\w+)`", names)}
    signature = inspect.signature(documented.__init__).parameters
    arguments = {name: p.default for name, p in signature.items() if name not in ("self", "kwargs")}
    assert set(table) == set(arguments)
    assert {name for name, (marked, _) in table.items() if marked} == set(documented.template_fields)
    for name, (_, default) in table.items():
        if arguments[name] is inspect.Parameter.empty:
            assert default == "required"
        elif default.strip("` ") not in ("1 minute", "Airflow's `default_deferrable", "the provider's"):
            assert ast.literal_eval(default.strip("` ")) == arguments[name]


@pytest.mark.parametrize("class_name", ["SecodaVersionHistoryEventTrigger", "SecodaAuditLogEventTrigger"])
def test_the_arguments_table_is_the_trigger(class_name):
    """The table of an event trigger names each argument with its default."""
    pytest.importorskip("airflow")
    documented = getattr(importlib.import_module("airflow_provider_secoda.triggers.secoda"), class_name)
    text = (ROOT / "docs" / "reference" / "triggers.md").read_text().split(f"\n`{class_name}`:\n")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \|", text, re.MULTILINE)
    table = {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True)
    }
    signature = inspect.signature(documented.__init__).parameters
    arguments = {name: p.default for name, p in signature.items() if name != "self"}
    assert set(table) == set(arguments)
    for name, default in table.items():
        if arguments[name] is inspect.Parameter.empty:
            assert default == "required"
        else:
            assert ast.literal_eval(default.strip("`")) == arguments[name]


def test_the_pytest_example_runs(tmp_path):
    """The example of a test in the README is complete: pytest runs it as it is."""
    pytest.importorskip("airflow")
    (block,) = [block for block in blocks(ROOT / "README.md") if "secoda_sandbox" in block]
    (tmp_path / "test_my_dag.py").write_text(block)
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_dag.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_the_connection_line_is_a_connection():
    """The environment variable in the README gives a connection that the hook reads."""
    pytest.importorskip("airflow")
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_secoda.hooks._connection import read_connection

    (text,) = re.findall(r"AIRFLOW_CONN_SECODA_DEFAULT='(.*)'", README)
    fields = json.loads(text)
    connection = Connection(**fields | {"conn_id": "secoda_default", "extra": json.dumps(fields["extra"])})
    assert read_connection(connection).base_url == "https://eapi.secoda.co"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    """Every file that is linked to exists, and every heading."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", document.read_text()):
        path, _, heading = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), target
        assert not heading or heading in headings(file), target


def headings(document):
    """Return the anchors that GitHub gives to a document's headings."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_there_are_features():
    """The table of features is found; the test below depends on it."""
    assert len(FEATURES) > 20


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_feature_has_a_test(row):
    """Each row of the table of features names at least one test that exists."""
    proofs = re.findall(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)", row.rsplit("|", 2)[1])
    assert proofs
    for name, file in proofs:
        assert name in {node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")}


def test_the_example_of_a_date_filter_is_a_filter():
    """The filter with templates in the page about truncated listings is one that the client sends."""
    from airflow_provider_secoda.client.filters import Filter

    (block,) = [
        each for each in blocks(ROOT / "docs" / "how-to" / "truncated_listing.md") if "data_interval_start" in each
    ]
    (call,) = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call) and node.keywords]
    (value,) = [keyword.value for keyword in call.keywords if keyword.arg == "filter"]
    assert Filter.parse(ast.literal_eval(value)) is not None
