"""The command line: ``python -m airflow_provider_secoda.verify``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from airflow_provider_secoda.get_provider_info import __version__
from airflow_provider_secoda.signing import PrivateKeySigner, load_public_keys
from airflow_provider_secoda.verify._files import UnreadableError
from airflow_provider_secoda.verify._keygen import keygen
from airflow_provider_secoda.verify._report import as_json, as_lines
from airflow_provider_secoda.verify._reports.chain import check_chain
from airflow_provider_secoda.verify._reports.chain_output import chain_as_json, chain_as_lines
from airflow_provider_secoda.verify._reports.command import check_command
from airflow_provider_secoda.verify._reports.write import check_report_path, write_report
from airflow_provider_secoda.verify._verify import Progress, check_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_secoda.signing import Signer

_FAILED = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files that the arguments name, print the result, and return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["keygen"]:
        return keygen(given[1:])
    parser = _parser()
    options = parser.parse_args(given)
    _check_combination(parser, options)
    out = sys.stdout
    try:
        # Airflow may print when it is imported or used; only the result goes to standard output.
        with contextlib.redirect_stdout(sys.stderr), _connections_of_database():
            lines, status = _check_chain(options) if options.chain is not None else _check_files(options)
        _print(lines, out)
    except (ValueError, _ReportError) as exc:
        sys.stderr.write(f"verify: {exc}\n")
        return _FAILED
    except KeyboardInterrupt:
        sys.stderr.write("verify: interrupted, there is no result\n")
        return _INTERRUPTED
    except Exception:  # noqa: BLE001 - Python's own exit status, 1, would mean findings
        traceback.print_exc()
        return _FAILED
    return status


class _ReportError(Exception):
    """A report cannot be written."""


def _check_combination(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.conn_id is not None and not options.against_source:
        parser.error("--conn-id requires --against-source")
    if options.signing_key is not None and options.report is None:
        parser.error("--signing-key requires --report")
    if options.chain is None and not options.paths:
        parser.error("the following arguments are required: PATH_OR_PREFIX")
    if options.chain is not None:
        others = ("start", "end", "against_source", "report")
        used = [f"--{name.replace('_', '-')}" for name in others if getattr(options, name)]
        if used:
            parser.error(f"--chain cannot be used with {used[0]}")


def _check_files(options: argparse.Namespace) -> tuple[Iterable[str], int]:
    """Return the lines to print, and the exit status."""
    check = {
        "start": options.start,
        "end": options.end,
        "against_source": options.against_source,
        "conn_id": options.conn_id,
        "public_keys": options.public_key,
        "max_findings": options.max_findings,
    }
    signer = None if options.signing_key is None else _read_key(options.signing_key)
    progress = Progress(None if options.quiet else sys.stderr, options.progress_seconds)
    if options.report is None:
        result, more = check_paths(options.paths, progress, **check), []
    else:
        try:
            check_report_path(options.report)
            result = check_paths(options.paths, progress, **check)
            written = write_report(result, options.report, command=check_command(options.paths, **check), signer=signer)
        except (OSError, UnreadableError, ModuleNotFoundError) as exc:
            raise _ReportError(f"cannot write report {options.report!r}: {exc}") from exc
        more = [
            f"report {written.sequence}: {written.path}",
            f"{written.json_path}: sha256 {written.json_sha256}",
            "not signed" if written.signing_key is None else f"signed by key {written.signing_key}",
        ]
    if not options.json:
        return [*as_lines(result), *more], result.exit_code
    if not options.quiet:
        sys.stderr.writelines(f"{line}\n" for line in more)
    return as_json(result).splitlines(), result.exit_code


def _check_chain(options: argparse.Namespace) -> tuple[Iterable[str], int]:
    """Return the lines to print, and the exit status."""
    keys = None if options.public_key is None else load_public_keys(options.public_key)
    result = check_chain(options.chain, options.paths, public_keys=keys, max_findings=options.max_findings)
    return chain_as_json(result).splitlines() if options.json else chain_as_lines(result), result.exit_code


def _read_key(path: str) -> Signer:
    try:
        return PrivateKeySigner.from_pem(Path(path).read_bytes())
    except OSError as exc:
        raise ValueError(f"signing key {path!r} cannot be read: {exc.strerror}") from exc


@contextlib.contextmanager
def _connections_of_database() -> Iterator[None]:
    """Let Airflow find the connections of its database, as its own commands do.

    Since Airflow 3, a process that is neither a task nor marked like this reads connections from the environment only.
    """
    name = "_AIRFLOW_PROCESS_CONTEXT"
    before = os.environ.get(name)
    os.environ[name] = before or "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _print(lines: Iterable[str], out: TextIO) -> None:
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    try:
        out.writelines(f"{line}\n" for line in lines)
        out.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_secoda.verify",
        description="Check audit log files against their manifests, the windows of each series for gaps and overlaps, "
        "and ids against each other. Exit status: 0 no findings, 1 findings, 2 something could not be checked.",
        epilog="`keygen KEY.PEM` instead of paths makes a pair of keys to sign with; `keygen --help` describes it.",
    )
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        metavar="PATH_OR_PREFIX",
        help="a file, a directory, or a URL that Airflow's object storage takes, such as s3://conn@bucket/prefix",
    )
    add("--start", help="a window of each series must begin here, with no gap after it (ISO 8601)")
    add("--end", help="a window of each series must end here, with no gap before it (ISO 8601)")
    add("--against-source", action="store_true", help="also read the windows again from the API, and compare")
    add("--conn-id", help="Airflow connection for --against-source (default: the one that each manifest names)")
    add(
        "--public-key",
        action="append",
        metavar="KEY.PEM",
        help="each manifest must be signed with this key, or with another one that is passed (several times)",
    )
    add(
        "--report",
        metavar="PATH.html",
        help="write a report, PATH.html and PATH.json; {sequence} in the name is replaced by its number",
    )
    add("--signing-key", metavar="KEY.PEM", help="sign the report with this private key")
    add(
        "--chain",
        metavar="REPORT.json",
        help="check this report and those before it instead, and whether the files that they cover were removed or "
        "replaced; with paths if the folders of the files are not where the report says",
    )
    add(
        "--max-findings",
        type=int,
        default=100,
        metavar="N",
        help="list at most N findings of each kind for each file and series (default %(default)s)",
    )
    add(
        "--json",
        action="store_true",
        help="print JSON, as `python -m pydoc airflow_provider_secoda.verify` describes it",
    )
    add("--quiet", action="store_true", help="do not print progress on standard error")
    add("--progress-seconds", type=float, default=3.0, help=argparse.SUPPRESS)
    add("--version", action="version", version=__version__)
    return parser
