"""gunicorn's access log, with paths decoded as UTF-8, and without the work for what no line shows."""

from collections.abc import Callable
from typing import Any

from gunicorn.glogging import Logger, SafeAtoms


class AccessLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own logger shows each byte of a path as a character of its own.

    For each line it also collects all headers and the whole environ, which takes an eighth of a request's time. Here
    that is done only for a format that shows more than this service's.
    """

    @staticmethod
    def atoms_wrapper_class(atoms: "Atoms") -> "Atoms":
        """Nothing is wrapped: `Atoms` escapes."""
        return atoms

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> "Atoms":
        # A request that gunicorn refuses has no parsed path, only its request line.
        path = environ.get("PATH_INFO", environ["RAW_URI"])
        if not path.isascii():
            path = path.encode("latin-1").decode("utf-8", "backslashreplace")
        shown = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "m": environ.get("REQUEST_METHOD"),
            "U": path.replace('"', '\\"'),
            "s": str(resp.status).partition(" ")[0],
            "B": resp.sent,
            "M": request_time.seconds * 1000 + request_time.microseconds // 1000,
        }
        return Atoms(shown, lambda: super(AccessLog, self).atoms(resp, req, environ, request_time))


class Atoms(dict[str, Any]):
    """The atoms that this service's format shows. `others` makes gunicorn's own; another format may show them."""

    def __init__(self, shown: dict[str, Any], others: Callable[[], dict[str, Any]]) -> None:
        super().__init__(shown)
        self._others = others

    def __missing__(self, atom: str) -> Any:
        return SafeAtoms(self._others())[atom]
