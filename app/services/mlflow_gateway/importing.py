"""Importing mlflow in half of the time and memory."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# mlflow imports them where they are installed, for models and data sets, which the service never touches. Without them
# it works as the distribution mlflow-skinny does, which comes without them.
_DATA_LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "scipy"})


class _WithoutDataLibraries:
    """A finder of modules, for which no data library is installed."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        found: ModuleSpec | None = None if name in _DATA_LIBRARIES else self.finder.find_spec(name, path, target)
        return found


@contextmanager
def lean_import() -> Iterator[None]:
    """Import mlflow in the block, without the data libraries and without the garbage collector.

    The collector would take a fifth of the time, and hold up all other threads for a tenth of a second at a time. What
    was imported stays for good, so that the collector need not look at it later either. A data library that was
    imported before stays, and each can be imported again after the block. No other thread may import one meanwhile.
    """
    gc.disable()
    sys.meta_path[:] = [_WithoutDataLibraries(finder) for finder in sys.meta_path]
    try:
        yield
    finally:
        # By type, since what was imported may have added finders.
        sys.meta_path[:] = [f.finder if isinstance(f, _WithoutDataLibraries) else f for f in sys.meta_path]
        gc.freeze()
        gc.enable()
