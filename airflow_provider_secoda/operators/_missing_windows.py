"""Find the windows that have not been written yet: the windows of runs that have none of their own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_secoda._arguments import ArgumentError, check_duration, parse_datetime
from airflow_provider_secoda.client._api.timestamps import format_datetime
from airflow_provider_secoda.operators._output_path import replace_placeholders
from airflow_provider_secoda.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator


def missing_windows(
    output_path: str,
    start: datetime | str,
    end: datetime | str | None = None,
    *,
    every: timedelta | float = timedelta(days=1),
    at_most: int | None = None,
) -> list[dict[str, str]]:
    """Return the windows whose file has not been written yet, oldest first, for runs that have no window.

    The windows follow one another from ``start`` on, and all have the length ``every``, measured in UTC. A window is
    returned once it is over, until a file at its path has a manifest. So the files have neither gaps nor overlaps,
    however often, in which order and by what runs are started: the only state is the files. The result is
    what ``expand_kwargs`` takes::

        PATH = "s3://my_conn@my-bucket/audit_logs/{start:%Y-%m-%d}.jsonl"


        @task
        def missing():
            return missing_windows(PATH, start="2026-01-01")


        SecodaAuditLogsOperator.partial(task_id="fetch", output_path=PATH).expand_kwargs(missing())

    A task with ``skip_if_empty=True`` or ``write_manifest=False`` leaves no manifest, so its windows are read in every
    run.

    :param output_path: the operator's, rendered; each window must have a path of its own
    :param start: start of the first window: an aware datetime, or an ISO 8601 string (UTC if it has no offset)
    :param end: no window ends later; now by default
    :param every: the length of each window: a timedelta, or a number of seconds
    :param at_most: the largest number of windows; Airflow's ``[core] max_map_length`` by default
    :return: ``start`` and ``end`` of each window, in order, as ISO 8601 strings in UTC
    :raises ValueError: an argument is wrong, the file at a path is that of another window, or more than ``at_most``
        windows are missing
    :raises OSError: a manifest may not be read
    """
    first = parse_datetime("start", start)
    last = datetime.now(timezone.utc) if end is None else parse_datetime("end", end)
    step = check_duration("every", every)
    if at_most is None:
        from airflow.providers.common.compat.sdk import conf  # noqa: PLC0415 - only the default needs Airflow

        at_most = conf.getint("core", "max_map_length", fallback=1024)
    found: list[dict[str, str]] = []
    for window, path in _with_paths(output_path, first, last, step):
        if _is_written(path, window):
            continue
        # Not the oldest ones only: if these stayed missing, such as windows that are skipped, no others would follow.
        if len(found) == at_most:
            raise ValueError(
                f"From {found[0]['start']} on, more than {at_most} windows of {step} are missing. Pass an earlier "
                "`end` for some runs, increase `at_most` and Airflow's `core.max_map_length`, or make `every` longer "
                "(with another `output_path`)."
            )
        found.append({"start": format_datetime(window.start), "end": format_datetime(window.end)})
    return found


def _with_paths(output_path: str, first: datetime, last: datetime, every: timedelta) -> Iterator[tuple[Window, str]]:
    paths: dict[str, Window] = {}
    for number in range((last - first) // every):
        window = Window(first + every * number, first + every * (number + 1), "start_end")
        path = replace_placeholders(output_path, window)
        if path in paths:
            raise ArgumentError(
                f"`output_path`: the windows {paths[path]} and {window} have the same path, {path!r}. Add "
                "{start} to it, with a format that differs from window to window"
            )
        paths[path] = window
        yield window, path


def _is_written(path: str, window: Window) -> bool:
    """Return whether there is a manifest of a file at a path.

    :raises ValueError: it is that of another window, or cannot be read
    """
    from airflow_provider_secoda._storage import manifest  # noqa: PLC0415 - not for parsing

    # An error is raised if it may exist, but not be read: all windows would be missing, in every run.
    file = manifest.open_manifest(path, may_be_forbidden=False)
    if file is None:
        return False
    with file:
        try:
            query: dict[str, Any] = manifest.read_manifest(file)[0]["query"]
            written = Window.from_dict(query)
        except (manifest.ManifestError, LookupError, TypeError, ValueError) as exc:
            raise ValueError(
                f"Cannot read manifest {manifest.manifest_path(path)} ({exc}). Move or delete it and retry"
            ) from exc
    if (written.start, written.end) != (window.start, window.end):
        raise ValueError(
            f"The file {path} has the window {written}, not {window}. Write windows of another start or length to "
            "another `output_path`"
        )
    return True
