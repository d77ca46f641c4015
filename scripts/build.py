"""Build wheel and sdist twice, compare bytes and contents, and test the wheel outside the checkout.

The packages are built from copies of the files that git tracks, in two folders whose path, file modes and times differ.
The second wheel is built from the sdist. ``dist/`` is replaced when everything has passed.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, NAME = "airflow_provider_secoda", "airflow-provider-secoda"
OLDEST, NEWEST = "2.11.0", "3.3.2"
DIST = ROOT / "dist"
SBOM, NOTES = f"{PACKAGE}.cdx.json", "RELEASE_NOTES.md"
#: Time of files in the packages where git does not give one: a ZIP file cannot contain an earlier one than 1980.
EPOCH = "1767225600"
UV = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_PYTHON_DOWNLOADS": "never"}
#: What differs between a checkout and the sdist: its own metadata, and settings of git.
ONLY_IN_SDIST, ONLY_IN_CHECKOUT = {"PKG-INFO"}, {".gitattributes"}
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
#: Imports the public modules, as far as they need none of the packages that only some users have (OpenLineage, pytest).
IMPORT_ALL = f"""
import importlib, pkgutil, sys, {PACKAGE} as package
assert package.__file__.startswith(sys.prefix), package.__file__
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
public = [name for name in names if "._" not in name and not name.endswith("pytest_plugin")]
for name in public:
    importlib.import_module(name)
print(f"imported {{len(public)}} public modules")
"""


class BuildError(Exception):
    """A step failed; the message says which and why."""


def say(text: str) -> None:
    """Print a line of progress without buffering."""
    print(f"build: {text}", flush=True)


def run(*command: object, cwd: Path | None = None, **variables: str) -> str:
    """Run a command and return its output; raise BuildError with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd or ROOT, env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


# The release


def version() -> str:
    """Return the version of the code."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / PACKAGE / "get_provider_info.py").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{PACKAGE}/get_provider_info.py does not contain __version__")
    return found[1]


def release_notes(changelog: str, wanted: str, tag: str | None) -> str:
    """Return the section of a version; raise BuildError if the changelog and the tag are not those of this version.

    :param changelog: text of CHANGELOG.md
    :param wanted: version of the code
    :param tag: name of the tag that is released; None: nothing is released, so the version needs no date yet
    """
    heading, _, section = changelog.partition("\n## ")[2].partition("\n")
    number, _, when = heading.partition(" ")
    if number != wanted:
        raise BuildError(f"the first heading of CHANGELOG.md is {heading!r}, but the code has version {wanted}")
    if tag is not None and tag != f"v{wanted}":
        raise BuildError(f"the tag is {tag}, but the code has version {wanted}; the tag must be v{wanted}")
    if tag is not None and not re.fullmatch(r"\(\d{4}-\d\d-\d\d\)", when):
        raise BuildError(f"CHANGELOG.md must have the date of the release in the heading {heading!r}: (YYYY-MM-DD)")
    return section.partition("\n## ")[0].strip() + "\n"


# The packages


def project_files() -> list[str]:
    """Return the paths of all files of the project: those that git tracks, or without git all but hidden folders."""
    if (ROOT / ".git").exists():  # a folder, or the file of a work tree
        return sorted(path for path in run("git", "ls-files", "-z").split("\0") if path and (ROOT / path).is_file())
    found = []
    for folder, folders, files in os.walk(ROOT):
        at = Path(folder).relative_to(ROOT)
        hidden = [name for name in folders if name.startswith(".") and name not in {".ci", ".github"}]
        folders[:] = [name for name in folders if name not in {*hidden, "__pycache__", "dist"}]
        found += [(at / name).as_posix() for name in files]
    return sorted(set(found) - ONLY_IN_SDIST)


def copy_project(files: list[str], to: Path, mode: int) -> None:
    """Copy the files to a new folder with the present time, and these permissions (in addition to "executable")."""
    for name in files:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(mode | ((ROOT / name).stat().st_mode & 0o100))


def build(project: Path, out: Path, *options: str) -> dict[str, Path]:
    """Build packages with the pinned tools; return them by suffix."""
    epoch = EPOCH
    if (ROOT / ".git").exists():
        epoch = run("git", "log", "-1", "--format=%ct").strip() or EPOCH
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", out, project]
    run(*command, SOURCE_DATE_EPOCH=epoch)
    return {"".join(file.suffixes[-1:]): file for file in out.iterdir()}


def build_twice(files: list[str], work: Path) -> list[Path]:
    """Build in two folders, the wheel of the first one from its sdist; raise BuildError if any byte differs."""
    copy_project(files, work / "one", 0o644)
    copy_project(files, work / "another" / "folder", 0o600)
    first = build(work / "one", work / "first")  # the wheel from the sdist
    second = build(work / "another" / "folder", work / "second", "--sdist", "--wheel")
    if set(first) != {".whl", ".gz"} or set(second) != set(first):
        raise BuildError(
            f"expected one wheel and one sdist, found {sorted(map(str, [*first.values(), *second.values()]))}"
        )
    for suffix, file in first.items():
        if file.read_bytes() != second[suffix].read_bytes():
            raise BuildError(f"two builds of {file.name} differ; compare them with diffoscope")
    return [first[".whl"], first[".gz"]]


def check_contents(wheel: Path, sdist: Path, files: list[str], wanted: str) -> None:
    """Raise BuildError unless the packages contain the files of the project that they must contain, and no others.

    :param files: all files of the project
    :param wanted: version of the code
    """
    info = f"{PACKAGE}-{wanted}"
    expected = {file for file in files if file.startswith(f"{PACKAGE}/")} | {
        f"{info}.dist-info/{name}" for name in METADATA
    }
    with zipfile.ZipFile(wheel) as archive:
        compare(wheel.name, expected, set(archive.namelist()))
        metadata = email.message_from_bytes(archive.read(f"{info}.dist-info/METADATA"))
    if (metadata["Name"], metadata["Version"]) != (NAME, wanted):
        raise BuildError(f"{wheel.name} is {metadata['Name']} {metadata['Version']}, expected {NAME} {wanted}")
    if dead := re.findall(r"\]\((?!https?://|#)([^)]+)\)", metadata.get_payload()):
        raise BuildError(f"the description in {wheel.name} has links that are dead on the package index: {dead}")
    expected = {f"{info}/{file}" for file in {*files, *ONLY_IN_SDIST} - ONLY_IN_CHECKOUT}
    with tarfile.open(sdist) as archive_of_source:
        members = archive_of_source.getmembers()
    compare(sdist.name, expected, {member.name for member in members if member.isfile()})
    if odd := [member.name for member in members if not (member.isfile() or member.isdir())]:
        raise BuildError(f"{sdist.name} contains entries that are neither files nor folders: {odd}")


def compare(name: str, expected: set[str], found: set[str]) -> None:
    """Raise BuildError that lists missing and unexpected files."""
    wrong = [f"  missing: {file}" for file in sorted(expected - found)]
    wrong += [f"  unexpected: {file}" for file in sorted(found - expected)]
    if wrong:
        raise BuildError("\n".join([f"{name} does not contain what it must:", *wrong]))


# The wheel with Airflow


def install(wheel: Path, airflow: str, folder: Path) -> Path:
    """Install the wheel and one Airflow into a new virtual environment; return its Python."""
    supported = ">=3.10,<3.13" if airflow.startswith("2.") else ">=3.10,<3.15"
    python = folder / "venv" / "bin" / "python"
    constraints = ROOT / "constraints" / f"airflow-{airflow}.txt"
    wanted = [f"{wheel}[parquet,sandbox]", f"apache-airflow=={airflow}"]
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--quiet", "--python", supported, folder / "venv", **UV)
    run(*uv, "pip", "install", "--quiet", "--python", python, *wanted, "-c", constraints, **UV)
    return python


def smoke(wheel: Path, airflow: str, work: Path) -> Path:
    """Use the wheel as a new user does: all modules, Airflow's list of providers, a DAG, verify; return its Python.

    It runs in a folder that contains the demo and the example DAGs, not the package, with an empty home.
    """
    started = time.monotonic()
    folder = work / f"airflow-{airflow}"
    home, project = folder / "home", folder / "project"
    home.mkdir(parents=True)
    python = install(wheel, airflow, folder)
    for name in ("example_dags", "scripts"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    variables = {
        "HOME": str(home), "AIRFLOW_HOME": str(home / "airflow"), "PYTHONPATH": "",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    shown = run(python, "-c", IMPORT_ALL, cwd=project, **variables)
    say(f"Airflow {airflow}: {shown.strip().splitlines()[-1]}")
    shown = run(python, "-m", "airflow", "providers", "get", NAME, "--full", "-o", "yaml", cwd=project, **variables)
    for line in (f"package-name: {NAME}", "name: Secoda", "description: Audit logs", f"- {version()}"):
        if line not in shown:
            raise BuildError(f"airflow providers get {NAME} --full does not show {line!r}:\n{shown}")
    shown = run(python, "scripts/demo.py", cwd=project, **variables)
    if "\nOK" not in shown:
        raise BuildError(f"the demo did not verify its file:\n{shown}")
    say(f"Airflow {airflow}: the provider is listed, a DAG and verify passed, in {time.monotonic() - started:.0f} s")
    return python


def write_sbom(python: Path, wheel: Path, to: Path) -> None:
    """Write the components of an environment as a CycloneDX document, the same for the same environment.

    The tool does not read a version that the build computes, so it is added, with the wheel's checksum.
    """
    tool = Path(sys.executable).with_name("cyclonedx-py")
    options = ["--pyproject", ROOT / "pyproject.toml", "--mc-type", "library", "--output-reproducible", "--validate"]
    run(tool, "environment", python, *options, "--output-format", "JSON", "--output-file", to)
    document = json.loads(to.read_text())
    document["metadata"]["component"] |= {
        "version": version(),
        "purl": f"pkg:pypi/{NAME}@{version()}",
        "hashes": [{"alg": "SHA-256", "content": sha256(wheel)}],
    }
    to.write_text(json.dumps(document, indent=2) + "\n")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Build and test; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/build", description="Build and test the packages of a release.")
    parser.add_argument("--no-smoke", action="store_true", help="do not install the wheel with Airflow; no SBOM")
    parser.add_argument("--tag", help="the tag that is released, such as v1.2.3")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            build_all(Path(temporary), options.tag, smoke_too=not options.no_smoke)
    except BuildError as error:
        print(f"build: FAILED: {error}", file=sys.stderr)
        return 1
    return 0


def build_all(work: Path, tag: str | None, *, smoke_too: bool) -> None:
    """Do all steps, then replace ``dist/``."""
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(), version(), tag)
    files = project_files()
    wheel, sdist = build_twice(files, work)
    say("two builds have the same bytes")
    check_contents(wheel, sdist, files, version())
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    say(f"contents and metadata are as expected ({len(files)} files)")
    results = [wheel, sdist]
    if smoke_too:
        smoke(wheel, OLDEST, work)
        write_sbom(smoke(wheel, NEWEST, work), wheel, work / SBOM)
        results.append(work / SBOM)
    (work / NOTES).write_text(notes)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for file in [*results, work / NOTES]:
        shutil.copy(file, DIST)
        print(f"{sha256(file)}  dist/{file.name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
