"""The command line: ``python -m airflow_provider_secoda.verify``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.verify._check import verify
from airflow_provider_secoda.verify._json_report import as_json
from airflow_provider_secoda.verify._progress import Progress
from airflow_provider_secoda.verify._text_report import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_FAILED = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name, print the result, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.conn_id is not None and not options.against_source:
        parser.error("--conn-id is for --against-source")
    out = sys.stdout
    progress = Progress(None if options.quiet else sys.stderr, options.every)
    try:
        # Only the result goes to standard output, whatever Airflow has to say when it is needed.
        with contextlib.redirect_stdout(sys.stderr):
            result = verify(
                options.paths,
                start=options.start,
                end=options.end,
                against_source=options.against_source,
                conn_id=options.conn_id,
                listed=options.list,
                progress=progress,
            )
        _print(as_json(result).splitlines() if options.json else table(result), out)
    except ValueError as exc:
        sys.stderr.write(f"verify: {exc}\n")
        return _FAILED
    except KeyboardInterrupt:
        sys.stderr.write("verify: interrupted, so nothing is said\n")
        return _INTERRUPTED
    except Exception:  # noqa: BLE001 - Python's own exit status would say "findings"
        traceback.print_exc()
        return _FAILED
    return result.exit_code


def _print(lines: Iterable[str], out: TextIO) -> None:
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    try:
        out.writelines(f"{line}\n" for line in lines)
        out.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_secoda.verify",
        description="Check output files against their manifests, their windows against time, their ids against each "
        "other. Exit status: 0 all is as it should be, 1 something is not, 2 something could not be checked.",
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH_OR_PREFIX",
        help="a file, a directory, or a URL that Airflow's object storage takes, such as s3://conn@bucket/prefix",
    )
    add("--start", type=_moment, help="each series must begin a window here, and leave no gap after (ISO 8601)")
    add("--end", type=_moment, help="each series must end a window here, and leave no gap before (ISO 8601)")
    add("--against-source", action="store_true", help="also read the windows again from the API, and compare")
    add("--conn-id", help="the Airflow connection for that (default: the one that each manifest names)")
    add("--list", type=_count, default=100, help="findings of each kind to list for each file (default %(default)s)")
    add(
        "--json",
        action="store_true",
        help="print JSON; python -m pydoc airflow_provider_secoda.verify._json_report says what",
    )
    add("--quiet", action="store_true", help="no progress on standard error")
    add("--every", type=float, default=3.0, help=argparse.SUPPRESS)
    add("--version", action="version", version=__version__)
    return parser


def _moment(text: str) -> datetime:
    try:
        return parse_datetime("it", text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count
