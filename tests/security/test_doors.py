"""`scripts/audit`, `scripts/check` and the workflows find vulnerable dependencies, unsafe workflows and unsafe code."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
IGNORED = "# comment\nCVE-2026-1 2999-12-31 not reachable\nCVE-2026-2 2026-01-01 to be reviewed\n"
# A fake of python -m pip_audit: writes its arguments and, like pip-audit, the report of a completed audit.
FAKE = """#!/bin/sh
echo "$@" >arguments
for report; do [ "$previous" != --output ] || break; previous=$report; done
[ -z "$REPORT" ] || echo "$REPORT" >"$report"
echo summary >&2
exit "$STATUS"
"""


@pytest.fixture
def audit(tmp_path):
    """Return a function that runs `scripts/audit` in a folder of its own, with a fake pip-audit."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "audit", tmp_path / "scripts")
    (tmp_path / "scripts" / "audit-ignore.txt").write_text(IGNORED)
    python = tmp_path / "python"
    python.write_text(FAKE)
    python.chmod(0o700)

    def run(*arguments, status, report=""):
        environment = {**os.environ, "PYTHON": str(python), "STATUS": str(status), "REPORT": report}
        return subprocess.run(
            ["sh", "scripts/audit", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


def test_an_advisory_fails(audit):
    """A known vulnerability fails the audit, and the report is shown."""
    done = audit(status=1, report="bad 2 PYSEC-2026-1 3")
    assert done.returncode == 1
    assert "bad 2 PYSEC-2026-1 3" in done.stdout
    assert "FAILED" in done.stdout


def test_no_advisory_passes(audit):
    """A completed audit without advisories passes."""
    done = audit("--required", status=0)
    assert (done.returncode, done.stdout) == (0, "summary\naudit: passed\n")


SKIPPED = """Name                    Skip Reason
----------------------- ----------------------
airflow-provider-secoda distribution is editable
"""


def test_a_skipped_package_is_not_a_checked_one(audit):
    """Only this project itself may be skipped; with more, the audit is not passed."""
    assert audit("--required", status=0, report=SKIPPED).stdout.endswith("audit: passed\n")
    done = audit("--required", status=0, report=f"{SKIPPED}requests not found on the service\n")
    assert done.returncode == 1
    assert "NOT CHECKED" in done.stdout
    assert "passed" not in done.stdout


def test_an_accepted_advisory_is_ignored_until_its_date(audit, tmp_path):
    """pip-audit ignores what is on the list, until the date of the next review."""
    audit(status=0)
    arguments = (tmp_path / "arguments").read_text()
    assert "--ignore-vuln CVE-2026-1" in arguments
    assert "CVE-2026-2" not in arguments


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--required"], 1)])
def test_an_audit_that_cannot_complete_is_not_a_passed_one(audit, arguments, status):
    """Without a report the script says that nothing was checked; with --required it fails."""
    done = audit(*arguments, status=1)
    assert done.returncode == status, done.stderr
    assert "NOT CHECKED" in done.stdout
    assert "passed" not in done.stdout


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--required"], 1)])
def test_no_network_is_not_a_passed_audit(tmp_path, arguments, status):
    """Without network the script says that nothing was checked; with --required it fails."""
    environment = {**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment |= {"NO_PROXY": "", "no_proxy": "", "AIRFLOW_HOME": str(tmp_path), "PYTHON": sys.executable}
    command = [str(ROOT / "scripts" / "audit"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    assert "NOT CHECKED" in done.stdout
    assert "passed" not in done.stdout


def test_every_accepted_advisory_has_a_date_and_a_reason():
    """Each line of the list has an id, the date of the next review, and a reason."""
    for line in (ROOT / "scripts" / "audit-ignore.txt").read_text().splitlines():
        if not line.startswith("#"):
            _id, review, reason = line.split(maxsplit=2)
            assert date.fromisoformat(review)
            assert reason


#: The jobs that may write, and what: all others may read the repository.
MAY_WRITE = {
    ("docs", "publish"): {"pages: write", "id-token: write"},
    ("release", "publish"): {"id-token: write"},
    ("release", "create"): {"contents: write", "id-token: write", "attestations: write"},
}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_may_read_and_no_more(file):
    """A job has read permission only, or what MAY_WRITE lists; no credentials are kept, each action is pinned."""
    text = file.read_text()
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    jobs = re.split(r"^  (\w+):$", text.partition("\njobs:\n")[2], flags=re.MULTILINE)
    assert len(jobs) > 2
    for name, job in zip(jobs[1::2], jobs[2::2], strict=True):
        granted = re.findall(r"^\s+([a-z-]+: (?:read|write|write-all|read-all))\b.*$", job, re.MULTILINE)
        assert set(granted) == MAY_WRITE.get((file.stem, name), {"contents: read"}), name
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", one) for one in uses)
    assert text.count("persist-credentials: false") == sum(one.startswith("actions/checkout@") for one in uses)
    assert "pull_request_target" not in text
    assert not re.search(r"run:.*\$\{\{", text)
    for script in re.findall(r"run: (?:sh )?(\S+/\S+)", text):
        if not script.startswith(".venv"):
            assert os.access(ROOT / script, os.X_OK), script


def test_a_person_decides_on_an_upload():
    """Nothing is uploaded or released before a person approves, and all tests have passed."""
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    jobs = re.split(r"^  (\w+):$", text.partition("\njobs:\n")[2], flags=re.MULTILINE)
    jobs = dict(zip(jobs[1::2], jobs[2::2], strict=True))
    assert re.search(r"^    environment: release\b", jobs["publish"], re.MULTILINE)
    assert "needs: [test, build]" in jobs["publish"]
    assert "needs: publish" in jobs["create"]
    assert "secrets." not in text
    assert ".ci/run" in jobs["test"]
    assert 'scripts/build --tag "$GITHUB_REF_NAME"' in jobs["build"]


def test_the_security_rules_hold_for_the_package():
    """Ruff's security rules are on, and the settings exclude no file of the package from them."""
    settings = (ROOT / "pyproject.toml").read_text()
    lint = settings.split("[tool.ruff.lint]")[1].split("[tool.ruff.lint.pydocstyle]")[0]
    general, per_file = lint.split("[tool.ruff.lint.per-file-ignores]")
    assert 'select = ["ALL", "D212"]' in general
    assert re.findall(r'"S\d*"', general) == ['"S101"']
    left_out = [line.split("=")[0].strip().strip('"') for line in per_file.splitlines() if re.match(r'^"', line)]
    assert left_out
    assert not [pattern for pattern in left_out if pattern.startswith(("airflow_provider_secoda", "*"))]
    check = (ROOT / "scripts" / "check").read_text()
    assert "--isolated --select S --ignore S101" in check
    for door in ("zizmor --offline", "scripts/audit"):
        assert door in check
