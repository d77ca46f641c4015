"""Limit the size of files, as a full disk does."""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Have this process fail to write more to a file.

    Bytecode is not written in the block: Python before 3.12.8 does not notice that a part of it is missing, and all
    later imports of the module fail.

    :param size: in bytes.
    """
    limit, bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        sys.dont_write_bytecode = bytecode
