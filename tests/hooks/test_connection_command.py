"""What ``airflow connections test`` prints, and that no message has text that a Rich console removes."""

import ast
import contextlib
import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

import airflow_provider_secoda
from airflow_provider_secoda.hooks._connection_check import without_markup
from airflow_provider_secoda.hooks.secoda import SecodaHook
from tests.helpers.rude_servers import RawServer, free_port, http

KEY = "key-0123456789-abcdefghij"
#: What Rich reads as markup (`rich.markup.RE_TAGS`).
MARKUP = re.compile(r"\[[a-z#/@][^\[]*?\]")


@pytest.fixture
def command(airflow, monkeypatch, capsys):
    """Return a function that runs the command for a connection, and returns the words that it prints."""

    def run(**fields):
        from airflow.cli import cli_parser

        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps({"conn_type": "secoda", "password": KEY} | fields))
        monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", os.environ.get("_AIRFLOW_PROCESS_CONTEXT", ""))
        monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
        arguments = cli_parser.get_parser().parse_args(["connections", "test", "my_conn"])
        capsys.readouterr()
        with contextlib.suppress(SystemExit):  # Airflow 3 ends with 1, Airflow 2 with 0
            arguments.func(arguments)
        return " ".join(capsys.readouterr().out.split())

    return run


def squeezed(text):
    """Return text without blanks: the console breaks lines anywhere in a long word."""
    return "".join(text.split())


ANSWERS = {
    "401": http(b'{"detail": "Invalid token"}', status="401 Unauthorized"),
    "403": http(b"", status="403 Forbidden"),
    "404": http(b"", status="404 Not Found"),
    "500": http(b'{"detail": "[/red] [bold]no[/bold] [x"}', status="500 Internal Server Error"),
    "429": http(b"", status="429 Too Many Requests", retry_after="600"),
    "redirect": http(b"", status="302 Found", location="https://app.secoda.co/login"),
    "html": http(b"<html>", content_type="text/html"),
    "json": http(b'{"results": [{"id": [true]}], "count": 1}'),
    "broken": b"",
    "success": http(),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_command_prints_the_complete_message(command, monkeypatch, answer):
    """The command prints the advice and the detail: what the server answered, and which address was requested."""
    with RawServer(ANSWERS[answer]) as server:
        printed = command(host=server.url)
        monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps({"host": server.url, "password": KEY}))
        works, message = SecodaHook("my_conn").test_connection()
    assert server.url in message
    if works:
        assert "Connection success!" in printed
    else:
        assert squeezed(message) in squeezed(printed)
        if answer.isdigit():
            assert f"Secoda answered {answer} to {server.url}/api/v1/activity_log/audit_logs/" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": ""}, "`password`"),
        ({"extra": {"region": "mars"}}, "'mars'"),
        ({"extra": {"verify": "/no/[such]/bundle.pem"}}, "/no/(such)/bundle.pem"),
        ({"extra": {"regoin": "eu"}}, "rename it to `region`"),
        ({"host": "https://[fd00::1"}, "is not a base URL"),
        ({"host": "https://secoda.invalid"}, "https://secoda.invalid"),
        ({"host": "http://127.0.0.1:{port}"}, "http://127.0.0.1:{port}: the connection was refused"),
    ],
)
def test_the_command_says_what_to_change(command, fields, words):
    """For a connection that cannot be used the command prints the field to change."""
    port = str(free_port())
    fields = {
        name: value.replace("{port}", port) if isinstance(value, str) else value for name, value in fields.items()
    }
    assert squeezed(words.replace("{port}", port)) in squeezed(command(**fields))


@given(st.text(st.sampled_from("[]\\/#@ab1. :"), max_size=40))
def test_nothing_is_removed_from_a_message(text):
    """A Rich console prints a message as it is, with any text of a server in it."""
    message = without_markup(text)
    assert Text.from_markup(message, emoji=False).plain == message
    assert re.sub(r"[\[\]()\\]", "", message) == re.sub(r"[\[\]()\\]", "", text)


def test_a_message_without_markup_is_unchanged():
    """Brackets that a console prints are left as they are."""
    for text in ("https://[2001:db8::1]:443/x: the", "$.results[3].id", "a: b: c", "['x']", "12:00:07Z"):
        assert without_markup(text) == text
    assert without_markup("[https://[fd00::1]/]") == "(https://(fd00::1)/)"


def _messages(source):
    """Yield the strings of a module that have several words, with x for each value; no docstrings, no JSON."""
    tree = ast.parse(source)
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value
        else:
            continue
        if text.strip().count(" ") > 2 and re.search("[A-Za-z]{2}", text):  # not a row of JSON
            yield node.lineno, text


@pytest.mark.parametrize("path", sorted(Path(airflow_provider_secoda.__file__).parent.rglob("*.py")), ids=str)
def test_no_message_has_text_that_a_console_removes(path):
    """Airflow's commands print errors of DAG files with Rich, which removes text such as ``[core]``."""
    assert [(line, text) for line, text in _messages(path.read_text("utf-8")) if MARKUP.search(text)] == []
