"""Check that the files with logs that arrived late continue each other: none is missing, and none was replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_secoda._storage.window_files import split_window_file, window_file
from airflow_provider_secoda.verify._messages import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_secoda.verify._result import FileResult


def check_supplements(files: Sequence[FileResult]) -> None:
    """Check the manifest of each supplement against that of the file before it; add findings to the supplement.

    :param files: of one window, the first file and its supplements
    """
    by_path = {file.path: file for file in files}
    for file in files:
        first, number = split_window_file(file.path)
        if file.predecessor_sha256 is None or not number:
            continue
        name = window_file(first, number - 1)
        predecessor = by_path.get(name)
        if predecessor is None or predecessor.manifest_sha256 is None:
            what = "is missing" if predecessor is None else "has no manifest"
            text = f"follows {escape(name)}, which {what}"
            file.findings.add("predecessor_missing", text, other_path=name)
        elif predecessor.manifest_sha256 != file.predecessor_sha256:
            recorded = escape(file.predecessor_sha256)
            text = (
                f"follows a manifest of {escape(name)} with sha256 {recorded}, but that manifest has sha256 "
                f"{predecessor.manifest_sha256}: one of the two files was replaced"
            )
            file.findings.add("predecessor_changed", text, other_path=name)
