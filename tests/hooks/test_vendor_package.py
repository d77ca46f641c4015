"""If the vendor's package `secoda-airflow`, which has the same connection type, is installed too, this one is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("airflow")

#: The metadata of secoda-airflow 0.0.30, as far as Airflow reads it.
INFO = {
    "package-name": "secoda-airflow",
    "name": "Secoda",
    "description": "`Secoda <https://www.secoda.com/>`__\n",
    "connection-types": [{"hook-class-name": "secoda_airflow.hooks.SecodaHook", "connection-type": "secoda"}],
    "hooks": [{"integration-name": "Secoda", "python-modules": ["secoda_airflow.hooks"]}],
}
HOOK = """
from airflow.providers.common.compat.sdk import BaseHook

class SecodaHook(BaseHook):
    conn_name_attr, default_conn_name = "secoda_conn_id", "secoda_default"
    conn_type, hook_name = "secoda", "Secoda Hook"
"""
PRINT = """
import json
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
hook = manager.hooks["secoda"]
print("RESULT" + json.dumps({
    "providers": [name for name in manager.providers if "secoda" in name],
    "hook": hook.hook_class_name,
    "name": hook.hook_name,
}))
"""


def test_this_provider_has_the_connection_type(tmp_path):
    """Airflow lists both providers, and uses the hook of this one, whose form is then shown; its log says so."""
    package, info = tmp_path / "secoda_airflow", tmp_path / "secoda_airflow-0.0.30.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "hooks.py").write_text(HOOK)
    (package / "get_provider_info.py").write_text(f"def get_provider_info():\n    return {INFO!r}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: secoda-airflow\nVersion: 0.0.30\n")
    (info / "entry_points.txt").write_text(
        "[apache_airflow_provider]\nprovider_info = secoda_airflow.get_provider_info:get_provider_info\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow")}
    done = subprocess.run(
        [sys.executable, "-c", PRINT], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    result = json.loads(done.stdout.partition("RESULT")[2].splitlines()[0])
    assert result["providers"] == ["airflow-provider-secoda", "secoda-airflow"]
    assert result["hook"] == "airflow_provider_secoda.hooks.secoda.SecodaHook"
    assert result["name"] == "Secoda"
    assert "'secoda' has been already registered by provider 'airflow-provider-secoda" in done.stdout + done.stderr
