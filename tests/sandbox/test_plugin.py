"""The pytest plugin, in a user's tests."""

import os
import subprocess
import sys
import textwrap

import pytest

HIDE_EXTRA = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture
def run_pytest(tmp_path):
    def run(tests, conftest=""):
        (tmp_path / "test_mine.py").write_text(textwrap.dedent(tests))
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        environment.pop("AIRFLOW_CONN_SECODA_DEFAULT", None)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
            capture_output=True, text=True, check=False, timeout=300, env=environment, cwd=tmp_path,
        )  # fmt: skip

    return run


def test_fixtures(run_pytest):
    """A test with the fixture has a running sandbox as its default connection."""
    done = run_pytest("""
        import json, os, urllib.request
        from airflow_provider_secoda.sandbox import Workspace

        def test_default(secoda_sandbox):
            connection = json.loads(os.environ["AIRFLOW_CONN_SECODA_DEFAULT"])
            assert connection["host"] == secoda_sandbox.url
            assert urllib.request.urlopen(secoda_sandbox.url + "/healthcheck").status == 200
            assert len(secoda_sandbox.workspace) == 5000

        def test_own(secoda_sandbox_factory):
            first = secoda_sandbox_factory(Workspace([{}]), page_size=10)
            second = secoda_sandbox_factory(Workspace())
            assert first.url != second.url
            assert first.url in os.environ["AIRFLOW_CONN_SECODA_DEFAULT"]

        def test_gone():
            assert "AIRFLOW_CONN_SECODA_DEFAULT" not in os.environ
    """)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_unused_it_costs_nothing(run_pytest):
    """A test run without the fixtures imports neither a server nor Airflow."""
    done = run_pytest("""
        import sys

        def test_modules(request):
            assert "airflow_provider_secoda.sandbox.pytest_plugin" in sys.modules
            assert not {"airflow", "starlette", "uvicorn", "msgspec"} & set(sys.modules)
    """)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_without_the_extra(run_pytest):
    """Without the extra other tests run, and tests with the fixture fail with the name of the extra."""
    done = run_pytest(
        """
        def test_other():
            pass

        def test_sandbox(secoda_sandbox):
            pass
        """,
        HIDE_EXTRA,
    )
    assert "1 passed, 1 error" in done.stdout
    assert "airflow-provider-secoda with its extra `sandbox`" in done.stdout


def test_the_command_without_the_extra(tmp_path):
    """Without the extra the command prints the name of the extra in one line."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_EXTRA)
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_secoda.sandbox"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == "sandbox: the sandbox needs starlette: install it, or airflow-provider-secoda with its extra `sandbox`\n"
    )
