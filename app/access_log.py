"""gunicorn's access log, with paths decoded as UTF-8."""

from typing import Any

from gunicorn.glogging import Logger


class AccessLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own logger shows each byte of a path as a character of its own."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        atoms: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        # A request that gunicorn refuses has no parsed path, only its request line.
        atoms["U"] = environ.get("PATH_INFO", environ["RAW_URI"]).encode("latin-1").decode("utf-8", "backslashreplace")
        return atoms
