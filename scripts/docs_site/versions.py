"""Write what the versions of the site share: the list for the selector, llms.txt, and an address without a version."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path


def main(site: Path) -> None:
    """Describe the versions in the folders of a site."""
    names = sorted(
        (path.name for path in site.iterdir() if path.is_dir() and path.name != "dev"), key=_key, reverse=True
    )
    newest = names[0] if names else "dev"
    versions = [
        {"version": name, "title": name, "aliases": ["latest"] if name == newest else []} for name in [*names, "dev"]
    ]
    (site / "versions.json").write_text(json.dumps(versions), encoding="utf-8")
    (site / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>airflow-provider-secoda</title>\n'
        f'<meta http-equiv="refresh" content="0; url={newest}/"><a href="{newest}/">Documentation</a>\n',
        encoding="utf-8",
    )
    shutil.copy(site / newest / "llms.txt", site / "llms.txt")


def _key(version: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in version.split(".")]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
