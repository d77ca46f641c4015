"""Ask the advisory service about every package that is installed here; fail for an advisory that nobody has judged yet.

usage: scripts/audit.py [--must]

An audit that could not be made is no audit: then ``NOT CHECKED`` is printed, so that nobody takes it for one. It fails
the run only with ``--must``, since a machine without network could never pass else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

KNOWN = Path(__file__).with_name("audit-known.json")
#: The service takes no more than a minute for all of them; a network that swallows everything must not hold up CI.
_SECONDS = 120
_FRAME = "!" * 80


def interpret(report: dict[str, Any], known: list[dict[str, str]], today: date) -> tuple[bool | None, list[str]]:
    """Return whether all is well, None when that was not checked, and the lines that say why.

    :param report: what ``pip-audit --format json`` wrote
    :param known: judged advisories: ``id`` (or an alias), ``package``, ``reason``, ``until`` (ISO date, then again)
    """
    checked = [one for one in report.get("dependencies", []) if "skip_reason" not in one]
    skipped = [one for one in report.get("dependencies", []) if "skip_reason" in one]
    if not checked or len(skipped) > len(checked):
        return None, [f"{len(skipped)} packages were passed over, {len(checked)} were looked at"]
    lines, failed, used = [], False, set()
    for package in checked:
        for advisory in package["vulns"]:
            names = {advisory["id"], *advisory.get("aliases", [])}
            what = f"{package['name']} {package['version']}: {advisory['id']}"
            entry = next((one for one in known if one["id"] in names and one["package"] == package["name"]), None)
            if entry is not None:
                used.add(entry["id"])
            if entry is None:
                failed = True
                fixed = ", ".join(advisory.get("fix_versions", [])) or "none yet"
                lines.append(f"{what} (fixed in: {fixed})")
            elif date.fromisoformat(entry["until"]) < today:
                failed = True
                lines.append(f"{what} is known, but was to be judged again by {entry['until']}: {entry['reason']}")
            else:
                lines.append(f"{what} is known until {entry['until']}: {entry['reason']}")
    lines += [
        f"{one['id']} of {one['package']} is gone: take it off the list" for one in known if one["id"] not in used
    ]
    lines.append(f"{len(checked)} packages were looked at, {len(skipped)} passed over")
    return not failed, lines


def ask() -> tuple[dict[str, Any], str]:
    """Return what the service says about this environment, or nothing and why not."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--timeout", "15"]
    command += ["--progress-spinner", "off", "--skip-editable", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {_SECONDS} s"
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {}, (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
    return (report, "") if isinstance(report, dict) else ({}, "it did not say what was to be expected")


def main(arguments: list[str]) -> int:
    """Print the verdict; return the exit status."""
    report, trouble = ask()
    today = datetime.now(timezone.utc).date()
    well, lines = interpret(report, json.loads(KNOWN.read_text()), today) if report else (None, [trouble])
    print(*lines, sep="\n")
    if well is None:
        print(_FRAME, "!! audit: NOT CHECKED - the advisory service did not answer for the packages here.", sep="\n")
        print("!! This run says nothing about known vulnerabilities of dependencies.", _FRAME, sep="\n")
        return int("--must" in arguments)
    print("audit: passed" if well else "audit: FAILED (update, or judge it in scripts/audit-known.json)")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
