"""The doors of `scripts/check` that keep bad dependencies, workflows and habits out do close."""

import importlib.util
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TODAY = date(2026, 11, 23)
JUDGED = {"id": "CVE-2026-1", "package": "bad", "reason": "not reached", "until": "2026-12-31"}


@pytest.fixture(scope="module")
def audit():
    """Return the module that asks the advisory service."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*advisories):
    fine = {"name": "fine", "version": "1", "vulns": []}
    return {"dependencies": [fine, {"name": "bad", "version": "2", "vulns": list(advisories)}]}


def advisory(name="PYSEC-2026-1", *aliases):
    return {"id": name, "fix_versions": ["3"], "aliases": list(aliases), "description": "…"}


def test_an_advisory_that_nobody_judged_fails(audit):
    """A known vulnerability fails the door, and says which version mends it."""
    well, lines = audit.interpret(report(advisory()), [], TODAY)
    assert well is False
    assert "bad 2: PYSEC-2026-1 (fixed in: 3)" in lines


def test_an_advisory_that_was_judged_is_said_and_passes_for_a_time(audit):
    """What was judged passes until its date, by any of its names, and is told with the reason."""
    well, lines = audit.interpret(report(advisory("GHSA-x", "CVE-2026-1")), [JUDGED], TODAY)
    assert well is True
    assert "not reached" in lines[0]
    assert audit.interpret(report(advisory("CVE-2026-1")), [JUDGED], date(2027, 1, 1))[0] is False
    assert audit.interpret(report(advisory("CVE-2026-1")), [JUDGED | {"package": "other"}], TODAY)[0] is False


def test_a_judgement_that_is_not_needed_is_told(audit):
    """A judgement about something that is gone does not stay for ever."""
    well, lines = audit.interpret(report(), [JUDGED], TODAY)
    assert well is True
    assert any("take it off the list" in line for line in lines)


def test_packages_that_were_passed_over_are_not_taken_for_checked(audit):
    """An answer that knows nothing about most packages is no answer."""
    skipped = [{"name": f"p{number}", "skip_reason": "not found"} for number in range(3)]
    assert audit.interpret({"dependencies": skipped}, [], TODAY)[0] is None
    assert audit.interpret({"dependencies": [*report()["dependencies"], *skipped]}, [], TODAY)[0] is None
    assert audit.interpret({}, [], TODAY)[0] is None


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--must"], 1)])
def test_no_answer_is_not_taken_for_a_good_one(tmp_path, arguments, status):
    """Without a way to the service the door says loudly that nothing was checked; with --must it fails."""
    environment = {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment |= {"NO_PROXY": "", "no_proxy": "", "AIRFLOW_HOME": str(tmp_path)}
    command = [sys.executable, str(ROOT / "scripts" / "audit.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert "NOT CHECKED" in done.stdout
    assert "passed" not in done.stdout.splitlines()[-4:]


def test_every_judgement_has_a_reason_and_a_date(audit):
    """The list of judged advisories says why and until when, of each."""
    import json

    for entry in json.loads(audit.KNOWN.read_text()):
        assert set(entry) == set(JUDGED)
        assert all(entry.values())
        assert date.fromisoformat(entry["until"])


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_may_read_and_no_more(file):
    """A workflow has no permission but to read, keeps no credentials, and pins what it uses by full commit."""
    text = file.read_text()
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    granted = re.findall(r"^\s+[a-z-]+: (read|write|write-all|read-all)\b.*$", text, re.MULTILINE)
    assert set(granted) == {"read"}
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", one) for one in uses)
    assert text.count("persist-credentials: false") == sum(one.startswith("actions/checkout@") for one in uses)
    assert "pull_request_target" not in text
    assert not re.search(r"run:.*\$\{\{", text)
    for script in re.findall(r"run: (?:sh )?(\S+/\S+)", text):
        if not script.startswith(".venv"):
            assert os.access(ROOT / script, os.X_OK), script


def test_the_security_rules_hold_for_the_package():
    """Ruff's security rules are on, and nothing in the settings takes a file of the package out of them."""
    settings = (ROOT / "pyproject.toml").read_text()
    lint = settings.split("[tool.ruff.lint]")[1].split("[tool.ruff.lint.pydocstyle]")[0]
    general, per_file = lint.split("[tool.ruff.lint.per-file-ignores]")
    assert 'select = ["ALL"]' in general
    assert re.findall(r'"S\d*"', general) == ['"S101"']
    left_out = [line.split("=")[0].strip().strip('"') for line in per_file.splitlines() if re.match(r'^"', line)]
    assert left_out
    assert not [pattern for pattern in left_out if pattern.startswith(("airflow_provider_secoda", "*"))]
    check = (ROOT / "scripts" / "check").read_text()
    assert "--isolated --select S --ignore S101" in check
    for door in ("zizmor --offline", "scripts/audit.py"):
        assert door in check
