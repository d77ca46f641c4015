"""What a contributor meets: the issue forms, the hooks before a commit, and the updates of pins, fit the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.test_metadata import urls

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
FORMS = sorted(file for file in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if file.name != "config.yml")


def checks():
    """Return the names of the checks of `scripts/check`, in order."""
    [names] = re.findall(r"^\[ \$# -gt 0 \] \|\| set -- (.+)$", (ROOT / "scripts" / "check").read_text(), re.MULTILINE)
    return names.split()


def test_each_check_is_a_hook():
    """pre-commit runs every check of `scripts/check`, and no others."""
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["id"] for hook in repository["hooks"]] == checks()
    for hook in repository["hooks"]:
        assert hook["entry"] == f"sh scripts/check {hook['id']}"
        assert hook["pass_filenames"] is False


def test_each_check_can_be_run_alone(tmp_path):
    """Each name is a function of the script and in its usage; another name is an error."""
    source = (ROOT / "scripts" / "check").read_text()
    assert set(re.findall(r"^(\w+)\(\) \{", source, re.MULTILINE)) == {*checks(), "files"}
    assert " | ".join(checks()) + " …]" in source
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "check").write_text(source)
    (tmp_path / "scripts" / "setup").touch()
    done = subprocess.run(["sh", "scripts/check", "nothing"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "check: there is no check nothing\n")


def test_the_hooks_are_valid():
    """pre-commit accepts the configuration."""
    pytest.importorskip("pre_commit")
    from pre_commit.clientlib import load_config

    assert load_config(ROOT / ".pre-commit-config.yaml")["repos"]


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_the_issue_forms_are_complete(file):
    """Each form has a name, a description and fields with labels; ids are unique; something is required."""
    form = yaml.safe_load(file.read_text())
    assert form["name"]
    assert form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in fields)
    assert all(part["attributes"].get("options") for part in fields if part["type"] in ("dropdown", "checkboxes"))
    ids = [part["id"] for part in fields]
    assert len(set(ids)) == len(ids)
    assert any(part.get("validations", {}).get("required") for part in fields)


def test_the_bug_form_asks_for_what_is_needed():
    """The form says what to paste (error, arguments, versions, manifest), and what must not be pasted."""
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    assert {"error", "dag", "versions", "manifest"} <= {part.get("id") for part in form["body"]}
    assert "Do not paste API keys" in form["body"][0]["attributes"]["value"]


def test_security_problems_are_reported_privately():
    """There is no issue without a form, and the contact for security problems is that of this repository."""
    config = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "config.yml").read_text())
    assert config["blank_issues_enabled"] is False
    assert config["contact_links"][0]["url"] == f"{urls()['Repository']}/security/advisories/new"


def test_the_files_with_owners_exist():
    """Each pattern of CODEOWNERS names a file or folder, and each owner is a team of the repository's organization."""
    owner = urls()["Repository"].split("/")[-2]
    lines = [line.split() for line in (GITHUB / "CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0][0] == "*"
    assert [path for path, *_ in lines[1:] if not (ROOT / path.strip("/")).exists()] == []
    assert all(team.startswith(f"@{owner}/") for _, *teams in lines for team in teams)


def test_dependabot_updates_actions_and_pins():
    """Actions and constraints are updated, but not the files with the lowest versions."""
    actions, pins = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert actions["package-ecosystem"] == "github-actions"
    assert (pins["package-ecosystem"], pins["directory"]) == ("pip", "/constraints")
    assert pins["exclude-paths"] == sorted(file.name for file in (ROOT / "constraints").glob("airflow-2.*.txt"))
