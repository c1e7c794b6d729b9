"""gunicorn's log of the requests, with paths as clients mean them."""

from typing import Any

from gunicorn.glogging import Logger


class AccessLog(Logger):  # type: ignore[misc]
    """gunicorn's own shows each byte of a path as a character of its own."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().atoms(resp, req, environ, request_time)
        # A request that gunicorn refuses has no path yet, only what stands in its first line.
        told["U"] = environ.get("PATH_INFO", environ["RAW_URI"]).encode("latin-1").decode("utf-8", "backslashreplace")
        return told
