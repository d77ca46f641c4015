"""`scripts/build` rejects packages with other contents, other bytes, another version, or a release without notes."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_matrix import constants

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("build_script", ROOT / "scripts" / "build.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

CHANGELOG = "# Changelog\n\n## 0.2.0 (2026-03-01)\n\n- New.\n\n## 0.1.0 (2026-01-01)\n\n- Old.\n"
FILES = ["README.md", "airflow_provider_secoda/__init__.py", "tests/test_it.py", ".gitattributes"]
INFO = "airflow_provider_secoda-0.2.0"
METADATA = "Metadata-Version: 2.4\nName: airflow-provider-secoda\nVersion: {}\n\n[A]({})\n"


def make_wheel(folder, *, missing=(), extra=(), version="0.2.0", link="https://example.com"):
    """Write a wheel of FILES."""
    names = {"airflow_provider_secoda/__init__.py", *(f"{INFO}.dist-info/{name}" for name in script.METADATA)}
    wheel = folder / "it.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (names - set(missing)) | set(extra):
            archive.writestr(name, METADATA.format(version, link) if name.endswith("/METADATA") else "")
    return wheel


def make_sdist(folder, *, missing=(), extra=(), links=()):
    """Write an sdist of FILES."""
    sdist = folder / "it.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ({*FILES, "PKG-INFO"} - {".gitattributes", *missing}) | set(extra):
            archive.addfile(tarfile.TarInfo(f"{INFO}/{name}"), io.BytesIO())
        for name in links:
            link = tarfile.TarInfo(f"{INFO}/{name}")
            link.type = tarfile.SYMTYPE
            archive.addfile(link)
    return sdist


def test_the_expected_contents_pass(tmp_path):
    """The files of the project, and the metadata of a wheel and of an sdist, are what is expected."""
    script.check_contents(make_wheel(tmp_path), make_sdist(tmp_path), FILES, "0.2.0")


@pytest.mark.parametrize(
    ("wheel", "sdist", "message"),
    [
        ({"missing": ["airflow_provider_secoda/__init__.py"]}, {}, "missing: airflow_provider_secoda/__init__.py"),
        ({"extra": ["airflow_provider_secoda/_debug.py"]}, {}, "unexpected: airflow_provider_secoda/_debug.py"),
        ({"extra": ["tests/test_it.py"]}, {}, "unexpected: tests/test_it.py"),
        ({"missing": [f"{INFO}.dist-info/licenses/LICENSE"]}, {}, "missing: .*LICENSE"),
        ({"version": "0.1.0"}, {}, "is airflow-provider-secoda 0.1.0, expected airflow-provider-secoda 0.2.0"),
        ({"link": "docs/index.md"}, {}, r"links that are dead on the package index: \['docs/index.md'\]"),
        ({}, {"missing": ["tests/test_it.py"]}, "missing: .*tests/test_it.py"),
        ({}, {"extra": [".env"]}, "unexpected: .*/.env"),
        ({}, {"links": ["outside"]}, "neither files nor folders: .*outside"),
    ],
)
def test_other_contents_fail(tmp_path, wheel, sdist, message):
    """A missing file, an additional one, a link or another version fails, and the message names it."""
    with pytest.raises(script.BuildError, match=message):
        script.check_contents(make_wheel(tmp_path, **wheel), make_sdist(tmp_path, **sdist), FILES, "0.2.0")


@pytest.mark.parametrize("differs", [".whl", ".gz", None])
def test_two_builds_must_have_the_same_bytes(tmp_path, monkeypatch, differs):
    """If the wheel or the sdist differs between two builds, the build fails."""
    builds = []

    def build(project, out, *options):
        assert (project / "scripts" / "build").stat().st_mode & 0o100
        builds.append(options)
        out.mkdir()
        made = {suffix: out / f"it{suffix}" for suffix in (".whl", ".gz")}
        for suffix, file in made.items():
            file.write_text(str(project) if suffix == differs else "same")
        return made

    monkeypatch.setattr(script, "build", build)
    if differs is None:
        assert [file.name for file in script.build_twice(["scripts/build"], tmp_path)] == ["it.whl", "it.gz"]
        # Without options, the wheel is built from the sdist.
        assert builds == [(), ("--sdist", "--wheel")]
    else:
        with pytest.raises(script.BuildError, match=rf"two builds of it\{differs} differ"):
            script.build_twice(["scripts/build"], tmp_path)


def test_the_notes_of_a_release_are_its_section_of_the_changelog():
    """The notes are the section of the version; other versions are not in it."""
    assert script.release_notes(CHANGELOG, "0.2.0", "v0.2.0") == "- New.\n"
    assert script.release_notes(CHANGELOG.replace("2026-03-01", "unreleased"), "0.2.0", None) == "- New.\n"


@pytest.mark.parametrize(
    ("changelog", "version", "tag", "message"),
    [
        (CHANGELOG, "0.3.0", None, "first heading of CHANGELOG.md is '0.2.0 .*, but the code has version 0.3.0"),
        (CHANGELOG, "0.2.0", "v0.3.0", "the tag is v0.3.0, but the code has version 0.2.0; the tag must be v0.2.0"),
        (CHANGELOG.replace("2026-03-01", "unreleased"), "0.2.0", "v0.2.0", "must have the date of the release"),
    ],
)
def test_a_release_needs_its_version_its_tag_and_its_date(changelog, version, tag, message):
    """The version of the code, the tag and the changelog must agree, and a release has a date."""
    with pytest.raises(script.BuildError, match=message):
        script.release_notes(changelog, version, tag)


def test_a_wrong_tag_fails_before_anything_is_built(tmp_path):
    """The script ends with status 1 and says what to change; ``dist/`` stays as it was."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "build.py", tmp_path / "scripts")
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    (tmp_path / "airflow_provider_secoda").mkdir()
    shutil.copy(ROOT / "airflow_provider_secoda" / "get_provider_info.py", tmp_path / "airflow_provider_secoda")
    command = [sys.executable, "scripts/build.py", "--tag", "v99.0.0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "build: FAILED: the tag is v99.0.0" in done.stderr
    assert not (tmp_path / "dist").exists()


def test_the_files_of_the_project_without_git_are_those_that_git_tracks(tmp_path, monkeypatch):
    """In an unpacked sdist the script finds the same files as in a checkout, and none that a run left."""
    for name in ["README.md", ".ci/run", ".github/ci.yml", "airflow_provider_secoda/a.py", ".gitignore"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    left = ["PKG-INFO", ".venv/bin/python", "dist/it.whl", "airflow_provider_secoda/__pycache__/a.pyc", ".env/key"]
    monkeypatch.setattr(script, "ROOT", tmp_path)
    tracked = script.project_files()
    for name in left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert script.project_files() == tracked
    assert tracked == sorted([".ci/run", ".github/ci.yml", ".gitignore", "README.md", "airflow_provider_secoda/a.py"])


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_file_that_git_does_not_track_is_not_built(tmp_path, monkeypatch):
    """A file that was never added to git is in no package."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for name in ("tracked.py", "untracked.py", "deleted.py"):
        (tmp_path / name).touch()
    for command in (["init", "-q"], ["add", "tracked.py", "deleted.py"]):
        subprocess.run(["git", *command], cwd=tmp_path, env=environment, check=True)
    (tmp_path / "deleted.py").unlink()
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert script.project_files() == ["tracked.py"]


def test_the_wheel_is_tested_with_the_oldest_and_the_newest_airflow():
    """The versions in the script are the first and the last one that noxfile.py supports."""
    versions = [version for version in constants()["SUPPORTED"] if version != "none"]
    assert [versions[0], versions[-1]] == [script.OLDEST, script.NEWEST]
