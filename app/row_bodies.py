"""Bodies with rows: larger than others, of several formats, and read by their view instead of before it."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from flask import current_app, request
from marshmallow import Schema

from app.domain.bodies import MOST_DRAINED_BYTES, PIECE
from app.domain.errors import Busy, InvalidInput, TooLarge
from app.domain.messages import BODY_CUT_SHORT, OTHERS_ARE_COUNTED
from app.services.data_drift.order import CSV, JSON, MEDIA_TYPES, NDJSON, PARQUET

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

F = TypeVar("F", bound=Callable[..., Any])

_AT_ONCE = 4
# The bodies that this process holds, until they are counted.
_held = BoundedSemaphore(_AT_ONCE)
_READ = "control_tower.rows_read"


@dataclass(frozen=True, slots=True)
class RowsBody:
    """A body as it arrived: one of the formats of `order.py`, its Content-Encoding, and the bytes in a file."""

    media_type: str
    coding: str
    file: BinaryIO


def takes_rows(schema: type[Schema], examples: Mapping[str, Any]) -> Callable[[F], F]:
    """Declare that a view reads its body itself, with `rows_body`; in JSON it is as the schema and examples say."""
    content: dict[str, Any] = {
        JSON: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}},
        NDJSON: {"schema": {"type": "string"}},
        CSV: {"schema": {"type": "string"}},
        PARQUET: {"schema": {"type": "string", "format": "binary"}},
    }

    def declare(view: F) -> F:
        view.takes_rows = True  # type: ignore[attr-defined]  # read back by this module
        docs = view.__dict__.setdefault("_apidoc", {}).setdefault("manual_doc", {})
        docs["requestBody"] = {"required": True, "content": content}
        return view

    return declare


def is_read_by_its_view() -> bool:
    """Whether the view of this request reads its body itself."""
    return hasattr(current_app.view_functions.get(request.endpoint or ""), "takes_rows")


@contextmanager
def rows_body(most_megabytes: int) -> Iterator[RowsBody]:
    """The body of this request, for a block in which it is counted.

    Raises `InvalidInput` for another format, `TooLarge`, and `Busy` while this process holds as many as it may.
    """
    media_type = MEDIA_TYPES.get(request.mimetype)
    if media_type is None:
        raise InvalidInput(
            f"Send rows as {JSON}, {NDJSON}, {CSV} or {PARQUET}, and say in the header Content-Type which it is."
        )
    if not _held.acquire(blocking=False):
        raise Busy(OTHERS_ARE_COUNTED)
    try:
        coding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
        with _file_without_name() as file:
            _read_into(file, request.environ, most_megabytes)
            yield RowsBody(media_type, coding, file)
    finally:
        _held.release()


def drain_rows() -> None:
    """Discard what nobody read of a body, as after a refusal. Called when the answer is made."""
    environ = request.environ
    if _has_body(environ) and _READ not in environ and is_read_by_its_view():
        left, stream = MOST_DRAINED_BYTES, _stream(environ)
        # The answer is made already, and says what is wrong.
        with suppress(OSError):
            while left > 0 and (piece := stream.read(min(left, PIECE))):
                left -= len(piece)


def _file_without_name() -> BinaryIO:
    """A file that ends with this process' and its children's use of it: in memory, where the system has such."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("control-tower-rows", os.MFD_CLOEXEC), "w+b")
    return tempfile.TemporaryFile()


def _read_into(file: BinaryIO, environ: "WSGIEnvironment", most_megabytes: int) -> None:
    """Read the body piece by piece. As a whole it would hold back the other threads of this process."""
    most = most_megabytes << 20
    if not _has_body(environ):
        raise InvalidInput("The body is empty.")
    length = None if "HTTP_TRANSFER_ENCODING" in environ else request.content_length or 0
    taken = 0
    if (length or 0) <= most:
        stream = _stream(environ)
        while taken <= most and (piece := _piece(stream, PIECE if length is None else min(PIECE, length - taken))):
            file.write(piece)
            taken += len(piece)
    if (length or 0) > most or taken > most:
        raise TooLarge(
            f"The request body is too large: at most {most_megabytes} MiB. Send the rows in several requests."
        )
    environ[_READ] = True
    if length is not None and taken < length:
        raise InvalidInput("The body is shorter than its Content-Length.")
    file.seek(0)


def _piece(stream: Any, most: int) -> bytes:
    try:
        piece: bytes = stream.read(most)
    except OSError:
        raise InvalidInput(BODY_CUT_SHORT) from None
    return piece


def _has_body(environ: "WSGIEnvironment") -> bool:
    return environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ


def _stream(environ: "WSGIEnvironment") -> Any:
    # gunicorn's body asks its reader for a kilobyte at a time, each of which copies all that has arrived.
    stream = environ["wsgi.input"]
    return getattr(stream, "reader", stream)
