"""The command ``python -m airflow_provider_secoda.sandbox``."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import requests

from .conftest import AUDIT, by

COMMAND = [sys.executable, "-m", "airflow_provider_secoda.sandbox"]


def wait_for(path, process):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return json.loads(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_until_a_signal(tmp_path, number):
    """The command serves the requested workspace, prints how to connect, and ends without an error at a signal."""
    ready_file = tmp_path / "ready.json"
    options = [
        "--port=0",
        "--logs=30",
        "--until=2026-10-14",
        "--page-size=7",
        '--faults={"cap": 9}',
        "--seed=3",
    ]
    process = subprocess.Popen(
        [*COMMAND, *options, f"--ready-file={ready_file}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = wait_for(ready_file, process)
        headers = {"Authorization": f"Bearer {ready['api_key']}"}
        page = requests.get(ready["url"] + AUDIT, params={"sort": by(), "page": 2}, headers=headers, timeout=10).json()
    finally:
        process.send_signal(number)
    printed, complaints = process.communicate(timeout=10)
    assert (process.returncode, complaints) == (0, "")
    assert (page["count"], page["total_pages"], len(page["results"])) == (30, 5, 2)
    assert page["results"][0]["logged_at"] < "2026-10-14"
    assert f"AIRFLOW_CONN_SECODA_DEFAULT='{ready['connection']}'" in printed
    assert ready["url"] in printed
    assert "POST /sandbox/versions" in printed
    assert f"{ready['url']}/sandbox/faults" in printed
    assert not ready_file.exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--host=0.0.0.0"], "loopback"),
        (["--until=tomorrow"], "until"),
        (['--faults={"orders": 1}'], "orders"),
        (["--faults=x"], "faults"),
        (["--cap=x"], "cap"),
        (["--people=0"], "people"),
    ],
)
def test_what_is_refused(options, word):
    """An invalid option is reported in one line that names it, with status 2."""
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert word in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_nothing_but_the_sandbox_is_imported():
    """The sandbox runs without Airflow and without the provider's client."""
    code = (
        "import sys; from airflow_provider_secoda.sandbox import Sandbox\n"
        "with Sandbox(): pass\n"
        "print([name for name in sys.modules if name == 'airflow' or name.startswith(('airflow.', "
        "'airflow_provider_secoda.client', 'airflow_provider_secoda.hooks'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


def test_the_help_describes_the_control_api():
    """``--help`` lists each request of the control API, and each fault."""
    import dataclasses

    from airflow_provider_secoda.sandbox import Faults
    from airflow_provider_secoda.sandbox._server.control_api import CONTROL

    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    assert [request for request in CONTROL if request not in shown] == []
    assert [field.name for field in dataclasses.fields(Faults) if field.name not in shown] == []
