"""Import the package with a changed source, in memory only."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = "airflow_provider_secoda"
FOLDER = Path(__file__).parents[2] / PACKAGE


class _Loader(importlib.machinery.SourceFileLoader):
    """Load a module from a mutated source."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.text = source

    def get_code(self, fullname: str):
        return compile(self.text, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Find the modules that are mutated."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = {
            f"{PACKAGE}.{file.removesuffix('.py').replace('/', '.')}": (file, text) for file, text in sources.items()
        }
        #: The modules that were not imported yet.
        self.waiting = set(self.sources)

    def find_spec(self, fullname, path, target=None):
        if fullname not in self.sources:
            return None
        self.waiting.discard(fullname)
        file, text = self.sources[fullname]
        place = str(FOLDER / file)
        return importlib.util.spec_from_file_location(fullname, place, loader=_Loader(fullname, place, text))


def mutated(mutant, folder: str = "") -> dict[str, str]:
    """Return the sources of a mutant by file below the package.

    :param folder: below the package, of which the mutant names files; with a slash at its end
    :raises LookupError: when what it replaces is no longer there
    """
    sources: dict[str, str] = {}
    for file, old, new in mutant.changes:
        text = sources.get(folder + file) or (FOLDER / folder / file).read_text()
        if old not in text:
            raise LookupError(f"mutant {mutant.name!r}: its old text is not in {file}")
        sources[folder + file] = text.replace(old, new)
    return sources


@contextmanager
def importing(sources: Mapping[str, str], own: str | None = None) -> Iterator[None]:
    """Import the package afresh inside of this context, with these sources; all of them must be imported there.

    :param own: the beginning of the names of other modules that are imported afresh
    """
    for name in list(sys.modules):
        if name.split(".")[0] == PACKAGE or (own is not None and name.startswith(own)):
            del sys.modules[name]
    finder = _Finder(sources)
    sys.meta_path.insert(0, finder)
    try:
        yield
        assert not finder.waiting, f"never imported, so not mutated: {finder.waiting}"
    finally:
        sys.meta_path.remove(finder)
