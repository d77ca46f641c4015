"""Check what a task is going to read and where it is going to write, before it waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_secoda._arguments import ArgumentError
from airflow_provider_secoda._storage.formats import format_of, require_format
from airflow_provider_secoda._storage.manifest import manifest_path
from airflow_provider_secoda._storage.target import resolve_target
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter
from airflow_provider_secoda.hooks.secoda import SecodaHook
from airflow_provider_secoda.operators._arguments import check_arguments
from airflow_provider_secoda.operators._output_path import RUN_NAMES_MESSAGE, replace_placeholders
from airflow_provider_secoda.operators._read import WindowRead
from airflow_provider_secoda.operators._replacing import ReplaceCheck
from airflow_provider_secoda.operators._signing import find_signer
from airflow_provider_secoda.windows import local_zone

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
    from airflow_provider_secoda.signing import Signer
    from airflow_provider_secoda.windows import Window


def prepare(
    task: SecodaAuditLogsOperator, window: Window, context: Context
) -> tuple[WindowRead, ReplaceCheck | None, Signer | None]:
    """Check filter, path, connection and key; return what to read, where to write it, and what signs the manifest.

    :return: without ``output_path``, only what to read
    :raises AirflowFailException: one of them cannot be used, or there is a file of another query at the path
    """
    hook = SecodaHook(task.secoda_conn_id)
    path = None
    try:
        check_arguments(vars(task))
        parsed = Filter.parse(task.filter)
        if task.output_path is not None:
            path = replace_placeholders(task.output_path, window, partial(local_zone, context))
            require_format(format_of(path))
            for target in (path, *([manifest_path(path)] if task.write_manifest else [])):
                resolve_target(target).check_writable()
        hook.get_conn()
    except (ArgumentError, SecodaConfigurationError) as exc:
        raise AirflowFailException(str(exc)) from exc
    except (ValueError, ModuleNotFoundError) as exc:
        raise AirflowFailException(f"`output_path`: {exc}") from exc
    except OSError as exc:
        raise AirflowFailException(f"`output_path`: cannot write {path!r}: {exc.strerror}: {exc.filename!r}") from exc
    signer = None if path is None else _find_signer(task, hook)
    read = WindowRead(
        hook=hook,
        window=window,
        timestamp_field=task.timestamp_field,
        filter=None if parsed is None else parsed.as_dict(),
        concurrency=task.concurrency,
        require_history=task.require_history,
        skip_if_empty=task.skip_if_empty,
        log=task.log,
    )
    if path is None:
        return read, None, None
    if task.suggested_path is not None:
        task.log.warning(
            "%s %s is the file of %s. Write output_path=%r", RUN_NAMES_MESSAGE, path, window, task.suggested_path
        )
    map_index = getattr(context.get("ti"), "map_index", -1)
    is_mapped = isinstance(map_index, int) and map_index >= 0  # in a unit test, `ti` may be a mock
    replace = ReplaceCheck(path, read, overwrite=task.overwrite, on_change=task.on_change, is_mapped=is_mapped)
    replace.before_read()
    return read, replace, signer


def _find_signer(task: SecodaAuditLogsOperator, hook: SecodaHook) -> Signer | None:
    try:
        return find_signer(task, hook.settings)
    except (ArgumentError, SecodaConfigurationError) as exc:
        raise AirflowFailException(str(exc)) from exc
