"""Every code block of the documents runs, or is compared with what it shows."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from datetime import datetime, timedelta, timezone
from importlib import import_module

import pytest

from airflow_provider_secoda.sandbox import Workspace
from tests.helpers import airflow_runs
from tests.helpers.documents import DOCUMENTS, ROOT, blocks, name, page
from tests.verify.output_files import write_days

UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
#: What the blocks use that begin in the middle of a program, and the client's arguments, which are those of a server.
GIVEN = {"start": UNTIL - timedelta(days=1), "end": UNTIL, "resource_id": "R"}
CLIENT = 'SecodaClient("YOUR-KEY", "https://eapi.secoda.co")'
#: What an example needs that is not on every Airflow.
SINCE = {"airflow.sdk": (3,), "RetryDecision": (3, 3)}
#: Modules that have their own tests: test_loading runs these blocks as DAGs, with the providers of warehouses.
RUN_ELSEWHERE = ("docs/how-to/load.md",)

PYTHON = [
    pytest.param(block, id=f"{name(document)}-{number}")
    for document in DOCUMENTS
    for number, block in enumerate(blocks(document.read_text(), "python"))
    if name(document) not in RUN_ELSEWHERE
]
TESTS = [block for block in (parameter.values[0] for parameter in PYTHON) if "\ndef test_" in block]
SHELL = [
    pytest.param(line, id=f"{name(document)}-{number}")
    for document in DOCUMENTS
    for block in blocks(document.read_text(), "sh")
    for number, line in enumerate(re.sub(r"\\\n\s*", "", block).splitlines())
]


@pytest.mark.parametrize("block", [each for each in PYTHON if each.values[0] not in TESTS])
def test_a_block_of_python_runs(block, airflow, secoda_sandbox_factory, monkeypatch, tmp_path):
    """A block runs as it is: its imports exist, its arguments are right, its DAGs can be parsed."""
    for needed, version in SINCE.items():
        if needed in block and airflow.version() < version:
            pytest.skip(f"it is for Airflow {'.'.join(map(str, version))} and later")
    if "airflow.providers.http" in block:
        pytest.importorskip("airflow.providers.http")
    workspace = Workspace.generate(seed=2, logs=20, days=2, until=UNTIL)
    workspace.add_version("R", latest_activity_logged_at=UNTIL)
    sandbox = secoda_sandbox_factory(workspace)
    monkeypatch.chdir(tmp_path)
    write_days(tmp_path / "audit_logs")
    if "dag_id=" in block or "DAG(" in block:
        assert airflow.load(block)
        return
    code = block.replace(CLIENT, f'SecodaClient("{sandbox.api_key}", "{sandbox.url}")')
    exec(compile(code, "block", "exec"), dict(GIVEN))


def test_the_tests_of_the_documents_pass(tmp_path):
    """The examples of tests are complete: pytest runs them as they are."""
    pytest.importorskip("airflow")
    for number, block in enumerate(TESTS):
        (tmp_path / f"test_{number}.py").write_text(block)
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(TESTS)} passed" in ran.stdout


@pytest.mark.parametrize(
    ("example", "quoted"),
    [
        pytest.param(example, quoted, id=example)
        for document in DOCUMENTS
        for example, quoted in re.findall(
            r"<!-- example: (\S+) -->\n```python\n(.*?)```", document.read_text(), re.DOTALL
        )
    ],
)
def test_a_quoted_example_is_the_example(example, quoted):
    """A DAG that a document quotes is the example DAG, without its docstring, lint marks and tags."""

    def shape(text):
        tree = ast.parse(text)
        tree.body = tree.body[isinstance(tree.body[0], ast.Expr) :]
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            call.keywords = [keyword for keyword in call.keywords if keyword.arg not in ("tags", "doc_md")]
        return ast.dump(tree)

    assert shape(quoted) == shape((ROOT / example).read_text())


@pytest.mark.filterwarnings("ignore:.*determine_kwargs")  # the operator's own import
def test_the_hand_written_operator_reads_all_pages(airflow, secoda_sandbox_factory, monkeypatch):
    """The DAG of the guide for HttpOperator is one that works, on a listing that does not change."""
    pytest.importorskip("airflow.providers.http")
    sandbox = secoda_sandbox_factory(Workspace.generate(seed=2, logs=30, days=2, until=UNTIL), page_size=10)
    extra = {"Authorization": f"Bearer {sandbox.api_key}"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_SECODA_HTTP", json.dumps({"conn_type": "http", "host": sandbox.url, "extra": extra})
    )
    names = {}
    exec(compile(blocks(page("how-to/from_http_operator.md"), "python")[0], "block", "exec"), names)
    assert len({log["id"] for log in names["fetch"].execute({})}) == 30


def test_the_tutorial_shows_what_is_printed(airflow, secoda_sandbox_factory, tmp_path):
    """The DAG of the tutorial writes a file, and the line of its log is the one that the tutorial shows."""
    tutorial = page("tutorial/first_dag.md")
    (dag,) = blocks(tutorial, "python")
    _, shown = blocks(tutorial, "text")
    workspace = Workspace.generate(seed=2, logs=40, days=3)
    secoda_sandbox_factory(workspace)
    ran = airflow.run_dag(dag.replace("/tmp/secoda-tutorial", str(tmp_path)))
    assert ran.state == "success"
    before, _, after = shown.partition("75 logs")
    pattern = re.escape(before) + r"\d+ logs" + re.escape(after.partition(": …")[0])
    pattern = re.sub(r"\d{4}\\-\d\d\\-\d\d", lambda _: r"[0-9-]{10}", pattern)
    assert re.search(pattern.replace(re.escape("/tmp/secoda-tutorial"), re.escape(str(tmp_path))), ran.log), pattern
    assert list((tmp_path / "audit_logs").glob("*.jsonl"))


def test_the_tutorial_shows_what_the_sandbox_prints(capsys):
    """The lines of the sandbox in the tutorial are those that it prints; so is the connection that one copies."""
    from airflow_provider_secoda.sandbox import Sandbox
    from airflow_provider_secoda.sandbox.__main__ import _announce

    sandbox = Sandbox(Workspace.generate(seed=7, logs=5000, days=90))
    with sandbox:
        _announce(sandbox, None)
        printed = capsys.readouterr().out.replace(sandbox.url, "http://127.0.0.1:8000").splitlines()
    tutorial = page("tutorial/first_dag.md")
    shown = blocks(tutorial, "text")[0].splitlines()
    assert [line for line in shown if line != "…"] == [*printed[:3], printed[-1]]
    assert printed[2] in "\n".join(blocks(tutorial, "sh"))


@pytest.mark.parametrize("block", blocks("\n".join(each.read_text() for each in DOCUMENTS), "json"))
def test_json_is_json(block):
    """Each block of JSON can be parsed."""
    json.loads(block)


def test_languages_are_known():
    """Each code block has a language that a test in this file, or of the page's subject, checks."""
    for document in DOCUMENTS:
        languages = re.findall(r"^ *```(\w*)$", document.read_text(), re.MULTILINE)[::2]
        assert set(languages) <= {"python", "sh", "json", "text", "mermaid"}, name(document)


# --- commands ----------------------------------------------------------------------------------------------------

#: Programs of the system whose arguments are not checked.
PROGRAMS = {"cd", "mkdir", "ls", "head", ".", "uv", "git", "openssl", "sha256sum", "apt-get"}


@pytest.mark.parametrize("line", SHELL)
def test_a_command_is_right(line):
    """Scripts and modules exist, options are known, connections can be read."""
    for command in re.split(r"&&|\|", re.sub(r" > \S+| *# .*", "", line)):
        words = shlex.split(command)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words:
            check_command(re.sub(r"^\.venv[\w.-]*/bin/", "", words[0]), words[1:])


def check_command(program, arguments):
    """Check one command; fail if its program is not known."""
    if program == "airflow":
        check_airflow(arguments)
    elif program == "export":
        check_variable(*arguments[0].split("=", 1))
    elif program == "curl":
        check_control_api(arguments)
    elif program in ("python", "python3"):
        check_python(arguments)
    elif program == "pip":
        check_requirement(arguments[-1])
    elif program == "sh" or "/" in program:
        assert (ROOT / (arguments[0] if program == "sh" else program)).is_file()
    else:
        assert program in PROGRAMS | {"nox"}, program


def check_airflow(arguments):
    """Check the arguments of Airflow's command line, which differs between versions."""
    pytest.importorskip("airflow")
    from airflow.cli.cli_parser import get_parser

    if arguments[0] == "backfill" and airflow_runs.version() < (3,):
        pytest.skip("backfills of Airflow 3")
    assert get_parser().parse_args(arguments)


def check_variable(variable, value):
    """Check a connection in the environment: it is JSON, and one of Secoda can be read."""
    if not variable.startswith("AIRFLOW_CONN_"):
        assert variable.startswith("AIRFLOW"), variable
        return
    fields = json.loads(value)
    assert fields["conn_type"] in ("secoda", "aws", "google_cloud_platform", "wasb"), fields
    if fields["conn_type"] == "secoda":
        pytest.importorskip("airflow")
        from airflow.providers.common.compat.sdk import Connection

        from airflow_provider_secoda.hooks._connection import read_connection

        extra = json.dumps(fields.get("extra", {}))
        settings = read_connection(Connection(**fields | {"conn_id": "secoda_default", "extra": extra}))
        assert not settings.unknown_extras


def check_control_api(arguments):
    """Check that a path is one of the sandbox's control API."""
    from airflow_provider_secoda.sandbox._server.control_api import CONTROL

    assert re.search(r"/sandbox/[\w-]+", arguments[-1])[0] in str(CONTROL)


def check_python(arguments):
    """Check that a module or a file exists, and the options of the provider's own commands."""
    if arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file()
        return
    module, *options = arguments[1:]
    if module.startswith("airflow_provider_secoda."):
        inside = import_module(f"{module}._cli" if module.endswith(".verify") else f"{module}.__main__")
        parser: ArgumentParser = inside._parser()
        assert parser.parse_args(options)
    elif module != "venv":
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def check_requirement(requirement):
    """Check that the extras of this project exist, and that other packages are those of storage."""
    package, _, extras = requirement.partition("[")
    if package in ("airflow-provider-secoda", "."):
        project = (ROOT / "pyproject.toml").read_text()
        for extra in filter(None, extras.rstrip("]").split(",")):
            assert f"\n{extra} = [" in project
    else:
        assert package.startswith("apache-airflow-providers-"), package
