"""What local files and objects have in common: their names in errors, and what an error means."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def naming(verb: str, name: str) -> Iterator[None]:
    """Name ``output_path`` in an error of the storage; its number and class are kept where they have a meaning."""
    try:
        yield
    except FileExistsError:
        raise
    except Exception as exc:
        reason = getattr(exc, "strerror", None) or f"{type(exc).__name__}: {exc}"
        text = f"Cannot {verb} `output_path` {name!r}: {reason}"
        if isinstance(exc, OSError) and exc.errno is not None:
            raise OSError(exc.errno, text) from exc
        known = (kind for kind in type(exc).__mro__ if kind.__module__ == "builtins" and issubclass(kind, OSError))
        raise next(known, OSError)(text) from exc


def is_forbidden(exc: OSError) -> bool:
    """Return whether an object store answered that something is not permitted; gcsfs says so only in the text."""
    if isinstance(exc.__cause__, OSError) and is_forbidden(exc.__cause__):
        return True  # an error that :func:`naming` has named
    return isinstance(exc, PermissionError) or str(exc).startswith("Forbidden: ")


def name_below(name: str, path: str, file: str) -> str:
    """Return how a caller writes the name of a file below a directory whose name and path are given."""
    return name.rstrip("/") + file.removeprefix(path.rstrip("/"))
