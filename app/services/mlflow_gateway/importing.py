"""Importing mlflow in a third of the time and memory."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# mlflow imports them where they are installed, for models and data sets, which the service never touches. Without them
# it works as the distribution mlflow-skinny does, which comes without them.
_DATA_LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "scipy"})
# What mlflow has for language models: a fifth of its modules, and FastAPI. The client of a server uses none of it; the
# stores of databases need it.
_FOR_LANGUAGE_MODELS = "mlflow.genai"
_GATEWAY_TO_LANGUAGE_MODELS = "mlflow.gateway"


def set_before_import() -> None:
    """Set what MLflow reads from the environment when it is imported: it sends nobody figures of its use, and what it
    logs has the format of this process, without credentials, instead of its own."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_CONFIGURE_LOGGING="false")


class _LeanFinder:
    """A finder of modules, for which no data library is installed, and mlflow's part for language models is empty."""

    def __init__(self, finder: Any, for_server: bool) -> None:
        self.finder = finder
        self._for_server = for_server

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in _DATA_LIBRARIES or (self._for_server and name == _GATEWAY_TO_LANGUAGE_MODELS):
            return None
        if self._for_server and name == _FOR_LANGUAGE_MODELS:
            # A package without modules: mlflow imports it without asking whether it is there.
            return ModuleSpec(name, None, is_package=True)
        spec: ModuleSpec | None = self.finder.find_spec(name, path, target)
        return spec


@contextmanager
def lean_import(for_server: bool) -> Iterator[None]:
    """Import mlflow in the block, without the data libraries and without the garbage collector.

    `for_server`: as the client of a server, which does without mlflow's part for language models too.

    The collector would take a fifth of the time, and hold up all other threads for a tenth of a second at a time. What
    was imported stays for good, so that the collector need not look at it later either. What was imported before
    stays, and all that was left out can be imported after the block. No other thread may import any of it meanwhile.
    """
    gc.disable()
    sys.meta_path[:] = [_LeanFinder(finder, for_server) for finder in sys.meta_path]
    try:
        yield
    finally:
        # By type, since what was imported may have added finders.
        sys.meta_path[:] = [f.finder if isinstance(f, _LeanFinder) else f for f in sys.meta_path]
        _forget_the_empty_package()
        gc.freeze()
        gc.enable()


def _forget_the_empty_package() -> None:
    """Have mlflow's part for language models imported in full by whoever needs it later."""
    package = sys.modules.get(_FOR_LANGUAGE_MODELS)
    if package is not None and package.__file__ is None:
        del sys.modules[_FOR_LANGUAGE_MODELS]
        # It is missing where the import of mlflow failed.
        with suppress(KeyError, AttributeError):
            del sys.modules["mlflow"].genai
