"""Differences between versions of Airflow are in one module, ``_compat``, and each entry says when it can go."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "airflow_provider_secoda"
COMPAT = PACKAGE / "_compat.py"
MISSING = {"ImportError", "ModuleNotFoundError"}
#: Expressions that resemble a check of the version: file, expression, and its purpose.
NOT_VERSIONS = {
    ("_lineage/tasks.py", "except ImportError"): "OpenLineage's provider need not be installed",
    ("operators/_prepare.py", "except ModuleNotFoundError"): "the extra for Parquet need not be installed",
    ("_schedule_periods.py", "hasattr(mapper, …)"): "mappers of other kinds have no inner mapper",
    ("_schedule_periods.py", "getattr(timetable, 'partition_mapper_config')"): "only some timetables have it",
    ("_schedule_periods.py", "getattr(timetable, 'default_partition_mapper')"): "only some timetables have it",
    ("windows.py", "getattr(dag, 'timetable')"): "a context made by hand has no DAG",
    ("windows.py", "getattr(dag, 'timezone')"): "a context made by hand has no DAG",
    ("windows.py", "getattr(timetable, 'key_format')"): "only some timetables have it",
    ("_schedule_periods.py", "getattr(delta, 'months')"): "a timedelta has none",
    ("_schedule_periods.py", "getattr(delta, 'years')"): "a timedelta has none",
    ("operators/_manifest.py", "__version__ of airflow"): "the version is written down, and decides nothing",
    ("operators/_manifest.py", "__version__ of pa"): "the version is written down, and decides nothing",
    ("operators/_manifest.py", "getattr(instance, …)"): "a context made by hand has no task instance",
    ("operators/_prepare.py", "getattr(context.get('ti'), 'map_index')"): "a context made by hand has no task instance",
    ("links/secoda.py", "hasattr(instance, 'xcom_push')"): "a context made by hand has no task instance",
    ("sensors/secoda.py", "getattr(self, '_BaseOperator__from_mapped')"): "only unmapped operators have it",
    ("operators/secoda.py", "getattr(self, '_BaseOperator__from_mapped')"): "only unmapped operators have it",
    (
        "operators/_verification/operator.py",
        "getattr(self, '_BaseOperator__from_mapped')",
    ): "only unmapped operators have it",
    (
        "operators/_verification/task.py",
        "hasattr(instance, 'xcom_push')",
    ): "a context made by hand has no task instance",
    ("operators/_signing.py", "except ImportError"): "the function of a user need not exist",
    ("_arguments.py", "getattr(value, 'resolve')"): "only arguments that come from other tasks have it",
    ("sensors/secoda.py", "getattr(context.get('ti'), 'try_number')"): "a context made by hand has no task instance",
    (
        "_execution_timeout.py",
        "getattr(context.get('ti'), 'start_date')",
    ): "a context made by hand has no task instance",
    ("sensors/_failures.py", "getattr(errors, …)"): "the name of a class is looked up",
    ("_events/cursors.py", "getattr(accessors, …)"): "two kinds of accessors, and None",
}
#: Where nothing knows of Airflow; contracts of import-linter hold that for the first two.
WITHOUT_AIRFLOW = ("client", "sandbox", "_storage", "verify")


def version_checks(tree):
    """Yield each check in a module's source whether a name or package exists, in a short form."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type or ast.Pass()) if isinstance(name, ast.Name)}
            yield from (f"except {name}" for name in caught & MISSING)
        elif isinstance(node, ast.Attribute) and node.attr in ("__version__", "version_info"):
            yield f"{node.attr} of {ast.unparse(node.value)}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "airflow",
            "importlib",
            "packaging",
        ):
            yield from (
                f"{a.name} of {node.module}" for a in node.names if a.name in ("__version__", "metadata", "version")
            )
        elif isinstance(node, ast.Call):
            yield from _call(node, ast.unparse(node.func))


def _call(node, name):
    if name == "hasattr" or (name == "getattr" and len(node.args) > 2):
        checked = node.args[1]
        what = repr(checked.value) if isinstance(checked, ast.Constant) else "…"
        thing = ast.unparse(node.args[0])
        if not (name == "getattr" and what == "'retry_after'"):  # of our own errors
            yield f"{name}({thing}, {what})"
    elif name.endswith("suppress"):
        yield from (f"suppress {arg.id}" for arg in node.args if isinstance(arg, ast.Name) and arg.id in MISSING)
    elif name.endswith(("find_spec", "metadata.version")):
        yield name


def found(source=None):
    """Return the checks in the package without ``_compat``, or in the source of one file."""
    if source is not None:
        return set(version_checks(ast.parse(source)))
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path != COMPAT]
    files = [path for path in files if path.relative_to(PACKAGE).parts[0] not in WITHOUT_AIRFLOW]
    assert len(files) > 40
    return {
        (path.relative_to(PACKAGE).as_posix(), what)
        for path in files
        for what in version_checks(ast.parse(path.read_text()))
    }


def test_versions_are_checked_in_one_module():
    """No other module checks the version of Airflow or its names; similar expressions are listed with their purpose."""
    assert found() - set(NOT_VERSIONS) == set(), "move it to _compat.py, or say here what it is instead"
    assert set(NOT_VERSIONS) - found() == set(), "no longer there: take it off the list"


@pytest.mark.parametrize("name", WITHOUT_AIRFLOW)
def test_modules_without_airflow_do_not_import_it(name):
    """The modules that are not searched import nothing of Airflow when they are loaded."""
    for path in (PACKAGE / name).rglob("*.py"):
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {alias.name for node in top for alias in node.names if isinstance(node, ast.Import)}
        names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
        assert not [each for each in names if each == "airflow" or each.startswith("airflow.")], path


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    from airflow.sdk import x\nexcept ImportError:\n    x = None",
        "try:\n    import x\nexcept (ValueError, ModuleNotFoundError):\n    x = None",
        "with suppress(ImportError):\n    import x",
        "from airflow import __version__",
        "if airflow.__version__ > '3':\n    pass",
        "from importlib.metadata import version",
        "importlib.metadata.version('apache-airflow')",
        "hasattr(trigger, 'on_kill')",
        "getattr(task, 'retry_policy', None)",
        "find_spec('airflow.sdk')",
        "if sys.version_info > (3, 12):\n    pass",
    ],
)
def test_each_way_of_checking_a_version_is_found(source):
    """Each usual way of checking a version is found."""
    assert found(source)


def test_each_entry_says_when_it_can_go():
    """Every function, class and fallback of ``_compat`` says, in its docstring or comment, when it goes."""
    source = COMPAT.read_text()
    lines = source.splitlines()
    entries = [
        node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Try))
    ]
    for node in entries:
        text = ast.get_docstring(node) if not isinstance(node, ast.Try) else lines[node.lineno - 1]
        if getattr(node, "name", "") == "__getattr__":
            text = ast.get_source_segment(source, node)
        assert re.search(r"\bgoes (with|when)\b", text or "", re.IGNORECASE), lines[node.lineno - 1]
    assert len(entries) > 10
