"""Logs: one line an event, with the request's id, without credentials."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from hypothesis import given
from hypothesis import strategies as st

from app.access_log import AccessLog
from app.logs import OneJsonLine, OneLine

_PROGRAM = """
import logging, logging.config, sys
from app.logs import logging_config, request_id
logging.config.dictConfig(logging_config("INFO", sys.argv[1]))
request_id.set("the-request")
logging.getLogger("some.where").info("hello")
logging.getLogger("some.where").debug("not this")
logging.getLogger("urllib3").info("nor this")
logging.getLogger("gunicorn.access").info("a request")
"""
_TEXT = "%(levelname)s [%(request_id)s] %(message)s"


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("test", logging.INFO, __file__, 1, message, None, None)
    made.request_id = "r1"
    made.__dict__.update(more)
    return made


@pytest.fixture
def raised() -> Iterator[tuple[type[BaseException], BaseException, object]]:
    """An exception with a traceback, whose text repeats a password over several lines."""
    try:
        raise RuntimeError("cannot reach\nhttp://ada:hunter2@mlflow")
    except RuntimeError as error:
        yield (RuntimeError, error, error.__traceback__)


@pytest.mark.parametrize("code", [0, 7, 8, 0x1B, 0x7F, 0x85, 0x9B, 0xAD, 0xA0, 0x61C, 0x180E, 0x200B, 0x200D, 0x200E,
                                  0x2028, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0x3000, 0xD800, 0xFEFF, 0xFFF9,
                                  0xE0041, 0x10FFFF])  # fmt: skip
def test_what_is_not_shown_as_itself_is_spelled_out(code: int) -> None:
    line = OneLine(_TEXT).format(record(f"a{chr(code)}b"))
    assert line == "INFO [r1] a" + (f"\\x{code:02x}" if code < 256 else _escape(code)) + "b"


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@given(st.text())
def test_whatever_is_logged_is_one_printable_line(message: str) -> None:
    made = record(message)
    made.request_id = message
    for one in (record(message), made):
        line = OneLine(_TEXT).format(one)
        assert line.isprintable()
        assert len(line.splitlines()) == 1


@given(st.text().filter(str.isprintable))
def test_what_can_be_shown_is_logged_as_it_is(message: str) -> None:
    assert OneLine("%(message)s").format(record(message.replace("://", "/"))) == message.replace("://", "/")


@given(st.text())
def test_whatever_is_logged_for_machines_is_one_line_of_json(message: str) -> None:
    line = OneJsonLine(_TEXT).format(record(message))
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["request_id"] == "r1"


@pytest.mark.parametrize("formatter", [OneLine(_TEXT), OneJsonLine(_TEXT)])
def test_a_traceback_is_on_the_line_and_its_credentials_are_not(
    formatter: logging.Formatter, raised: tuple[type[BaseException], BaseException, None]
) -> None:
    line = formatter.format(record("failed http://ada:hunter2@h/", exc_info=raised))
    assert "RuntimeError" in line
    assert "hunter2" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_event_goes_to_stderr_with_the_id_of_its_request(log_format: str) -> None:
    # In a process of its own: logging is configured once for all of it.
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, log_format], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    assert ["hello" in lines[0], "a request" in lines[1], len(lines)] == [True, True, 2]
    assert ["the-request" in line for line in lines] == [True, True]
    if log_format == "json":
        found = json.loads(lines[0])
        assert (found["level"], found["logger"], found["message"]) == ("INFO", "some.where", "hello")
        assert "time" in found


_SHOWN = "%(h)s %(m)s %(U)s %(s)s %(B)s bytes %(M)s ms"


def access_line(kind: type[Logger], shown: str, path: str, seconds: float = 0.0123) -> str:
    """The line of a request, as gunicorn makes it for a format."""
    config = Config()
    config.set("accesslog", "-")
    config.set("access_log_format", shown)
    answer = SimpleNamespace(status="200 OK", status_code=200, sent=17, headers=[("ETag", '"abc"')])
    asked = SimpleNamespace(headers=[("X-FORWARDED-PROTO", "https")])
    environ = {
        "REMOTE_ADDR": "10.0.0.7",
        "REQUEST_METHOD": "GET",
        "RAW_URI": path,
        "PATH_INFO": path,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_USER_AGENT": 'a "client"',
    }
    logger = kind(config)
    lines: list[logging.LogRecord] = []
    logger.access_log.setLevel(logging.INFO)
    logger.access_log.propagate = False
    logger.access_log.handlers = [_Keeping(lines)]
    logger.access(answer, asked, environ, timedelta(seconds=seconds))
    (line,) = lines
    return line.getMessage()


class _Keeping(logging.Handler):
    def __init__(self, kept: list[logging.LogRecord]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record)


@given(st.text(st.characters(max_codepoint=127)), st.floats(0, 1000))
def test_the_access_log_has_the_line_that_gunicorn_makes(path: str, seconds: float) -> None:
    line = access_line(AccessLog, _SHOWN, path, seconds)
    assert line == access_line(Logger, _SHOWN, path, seconds)


def test_the_access_log_takes_every_format_of_gunicorn_s() -> None:
    shown = '"%(r)s" %(a)s %({X-Forwarded-Proto}i)s %({etag}o)s %({absent}i)s %(D)s %(U)s'
    assert access_line(AccessLog, shown, '/a"b') == access_line(Logger, shown, '/a"b')


def test_the_access_log_shows_paths_as_utf_8() -> None:
    assert " /modèle/\\xff " in access_line(AccessLog, _SHOWN, "/modèle/".encode().decode("latin-1") + "\xff")
