"""Logs: to stderr, one line per event, with the request's id and without credentials."""

import logging
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from app.domain.redact import redact

NO_REQUEST = "-"
request_id: ContextVar[str] = ContextVar("request_id", default=NO_REQUEST)

_TEXT = "%(asctime)s %(levelname)s %(process)d %(name)s [%(request_id)s] %(message)s"


class RequestId(logging.Filter):
    """Puts the id of the request being served on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime(_Utc.default_time_format, time.gmtime(seconds))


class _Utc(logging.Formatter):
    """Writes times as the API does."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002 - logging has it so
        return self.default_msec_format % (_second(int(record.created)), record.msecs)


class OneLine(_Utc):
    """Text for people. A traceback is on the line of its event."""

    def format(self, record: logging.LogRecord) -> str:
        line = redact(super().format(record))
        return line if line.isprintable() else "".join(map(_spelled, line))


def _spelled(char: str) -> str:
    """Escape a character that is not printable: it could break, colour or reverse a line, or hide in it."""
    if char == "\t":
        return " "
    return char if char.isprintable() else char.encode("unicode_escape").decode()


class OneJsonLine(_Utc, JsonFormatter):
    """One JSON object per event, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`, gunicorn's loggers included."""
    quiet = {"level": "WARNING"}
    to_stderr = {"handlers": ["stderr"], "propagate": False, "level": level}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestId}},
        "formatters": {
            "text": {"()": OneLine, "format": _TEXT},
            "json": {
                "()": OneJsonLine,
                "fmt": _TEXT,
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            },
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": log_format,
                "filters": ["request_id"],
            },
            "nowhere": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "gunicorn.error": to_stderr,
            "gunicorn.access": to_stderr,
            # APScheduler logs each run of each job, and warns when it skips a run because the last is not over.
            "apscheduler": {"level": "ERROR"},
            "alembic": quiet,
            "mlflow": quiet,
            # Their warnings repeat the URLs of alert receivers, whose paths are secrets.
            "urllib3": {"level": "ERROR"},
            "apprise": {"handlers": ["nowhere"], "propagate": False, "level": "WARNING"},
            "requests_oauthlib": quiet,
            "oauthlib": quiet,
        },
    }
