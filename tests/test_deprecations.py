"""Neither the package nor the examples use anything deprecated: on the newest Airflow such a use is an error."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.helpers import airflow_runs, deprecations

pytest.importorskip("airflow")
newest = pytest.mark.skipif(airflow_runs.version() < deprecations.NEWEST, reason="judged by the newest Airflow only")

IMPORT_ALL = """
import importlib, pkgutil, airflow_provider_secoda as package

names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(*names)
"""
DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG, BaseOperator
{line}

with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    pass
"""
DEPRECATED = "from airflow.utils.task_group import TaskGroup"


@newest
def test_every_module_can_be_imported_without_anything_deprecated(tmp_path):
    """Importing all modules of the package causes no deprecation warning, in its own code or in a library."""
    errors = [f"-Werror::{name}Warning" for name in ("Deprecation", "PendingDeprecation", "Future")]
    package = Path(__file__).parents[1] / "airflow_provider_secoda"
    here = {**os.environ, "PYTHONPATH": str(package.parent)}
    ran = subprocess.run(
        [sys.executable, *errors, "-c", IMPORT_ALL], capture_output=True, text=True, check=False, cwd=tmp_path, env=here
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) >= len([path for path in package.rglob("*.py") if path.name != "__init__.py"])


@newest
def test_a_deprecation_warning_fails_a_dag_file(airflow):
    """These tests do not load a DAG file with a deprecated feature of Airflow, so no example uses one."""
    assert "d" in airflow.load(DAG.format(line=""))
    with pytest.raises(ImportError, match="deprecated"):
        airflow.load(DAG.format(line=DEPRECATED))


@newest
@pytest.mark.parametrize(
    "kind", [DeprecationWarning, PendingDeprecationWarning, FutureWarning], ids=lambda kind: kind.__name__
)
def test_a_deprecation_warning_fails_a_test(kind):
    """Code that raises a deprecation warning fails, here as in every test."""
    with pytest.raises(kind):
        warnings.warn("this is deprecated", kind, stacklevel=1)


@newest
def test_airflows_own_categories_are_errors():
    """Every class of Airflow's deprecation warnings is an error."""
    from airflow import exceptions, sdk
    from airflow.utils import deprecation_tools

    modules = (exceptions, sdk.exceptions, deprecation_tools)
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Warning)
        and ("Deprec" in kind.__name__ or "Removed" in kind.__name__)
    }
    assert {kind.__name__ for kind in kinds} >= {"RemovedInAirflow4Warning", "DeprecatedImportWarning"}
    assert all(issubclass(kind, (DeprecationWarning, FutureWarning)) for kind in kinds)
