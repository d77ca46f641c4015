"""What the package never does: unpickle, evaluate, run commands, use other networks; and its dependencies."""

import ast
import json
import pickle
import pickletools
import re
import sys
from pathlib import Path

import pytest

from airflow_provider_secoda.client import errors

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "airflow_provider_secoda"
SOURCES = sorted(PACKAGE.rglob("*.py"))
KEY = "Zebra7Quartz-Falcon9Onyx-Willow3Umber"
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "yaml", "subprocess", "pty",
           "commands", "code", "xml", "lxml", "ctypes", "telnetlib", "ftplib", "xmlrpc", "jinja2", "netrc"}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnv", "os.startfile"}
#: Only the modules that send requests may import these libraries.
NETWORK = {"requests", "httpx", "urllib3", "socket", "ssl", "http", "urllib.request", "aiohttp", "httpcore"}
NETWORK_IN = {
    "client/_http/requests_transport.py",
    "client/_http/httpx_transport.py",
    "client/_http/proxy_and_tls.py",
    "client/_http/error_translation.py",
}


def imported(tree):
    """Return the names of the modules that a source imports, wherever it does."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def called(tree):
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def named(names, wanted):
    return {name for name in names if name in wanted or name.split(".")[0] in wanted}


def trees():
    for path in SOURCES:
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def test_the_search_finds_imports_and_calls():
    """The search that the tests below use finds imports and calls."""
    tree = ast.parse("def f():\n import pickle as p\n from os import path\n return eval('1'), os.system('x')")
    assert named(imported(tree), MODULES) == {"pickle"}
    assert called(tree) & CALLS == {"eval", "os.system"}
    assert len(SOURCES) > 80


def test_nothing_is_unpickled_evaluated_or_run():
    """No module of the package can unpickle, evaluate text, parse XML or YAML, or start a process."""
    assert {path: bad for path, tree in trees() if (bad := named(imported(tree), MODULES))} == {}
    assert {path: bad for path, tree in trees() if (bad := called(tree) & CALLS)} == {}


def test_only_the_transports_use_the_network():
    """Only the transports, and the sandbox, which is a server, import a network library."""
    found = {path for path, tree in trees() if named(imported(tree), NETWORK) and not path.startswith("sandbox/")}
    assert found - {path for path in found if path.startswith("client/")} == set()
    assert NETWORK_IN - {"client/_http/error_translation.py"} <= found


def all_errors():
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SecodaError)]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_a_pickled_error_names_nothing_but_itself(kind):
    """Errors are picklable on purpose: a pickle of one refers to its class only."""
    error = kind("text")
    data = pickle.dumps(error)
    strings = [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
    referred = [op.name for op, _, _ in pickletools.genops(data) if op.name in ("GLOBAL", "STACK_GLOBAL", "INST")]
    assert strings[:2] == ["airflow_provider_secoda.client.errors", kind.__name__]
    assert len(referred) == 1
    back = pickle.loads(data)
    assert (type(back), back.args, vars(back)) == (kind, error.args, vars(error))


def test_objects_with_the_key_cannot_be_pickled():
    """A key, a used client and a used hook cannot be pickled with the key."""
    from airflow_provider_secoda.client._api.endpoint import Key
    from airflow_provider_secoda.client.sync import SecodaClient

    for one in (Key(KEY), SecodaClient(KEY, "http://127.0.0.1:9")):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
            pickle.dumps(one)


def test_no_argument_takes_a_key():
    """No operator, sensor or trigger has an argument for a key: it cannot be written into a DAG file by mistake."""
    pytest.importorskip("airflow")
    import inspect

    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor
    from airflow_provider_secoda.triggers.secoda import SecodaVersionHistoryTrigger

    for one in (SecodaAuditLogsOperator, SecodaVersionHistorySensor, SecodaVersionHistoryTrigger):
        names = set(inspect.signature(one.__init__).parameters)
        assert not {name for name in names if re.search(r"key|token|secret|password|headers|auth", name)}
        assert set(getattr(one, "template_fields", ())) <= names


def test_what_is_installed_is_pinned():
    """Every dependency of the tested environments is pinned to one version, from no index but the configured one."""
    for file in sorted((ROOT / "constraints").glob("*.txt")):
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
        assert len(lines) > 40
        for line in lines:
            assert re.match(r"[A-Za-z0-9._-]+==[^ ]+( *;.+)?$", line), line
    files = [*ROOT.glob("scripts/*"), ROOT / "pyproject.toml", ROOT / ".ci" / "run", *ROOT.glob(".github/**/*.yml")]
    text = "".join(file.read_text() for file in files if file.is_file())
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|extra-index|index-strategy", text)


def test_importing_the_package_does_nothing():
    """Airflow imports a provider in every process: that opens no file of ours, no connection, and loads no library."""
    import subprocess

    code = """
import sys, json
events = []
bad = ("socket.", "subprocess.", "os.system")
sys.addaudithook(lambda name, args: events.append(name) if name.startswith(bad) else None)
import airflow_provider_secoda, airflow_provider_secoda.get_provider_info as info
info.get_provider_info()
print(json.dumps([events, sorted({"requests", "httpx", "ssl", "pickle"} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert json.loads(done.stdout) == [[], []]
